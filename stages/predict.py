"""One run -> data/predictions/<dataset>/<run>/<image_id>.png, at the original sizes."""

from segmodels.config import params
from segmodels.core import machine, supervise
from segmodels.data import images, masks, splits
from segmodels.data.loading import whole_images
from segmodels.inference import testtime
from segmodels.models import trained


def main() -> None:
    here = supervise.study()
    settings = params.load(f"{here}params.yaml")
    paths = settings.paths
    name = supervise.argument(settings.runs)
    choices = settings.prediction(name)
    runtime = machine.start(choices.precision, choices.threads, deterministic=True, seed=0)
    model = trained.load(settings, name, runtime=runtime)
    rows = splits.rows(paths, settings.data, choices.split)
    batches = whole_images(
        paths.tree,
        rows,
        size=None,
        batch_size=choices.batch_size,
        as_stored=True,
        workers=machine.loader_workers(),
    )
    label_maps = testtime.label_maps(model, batches, choices)
    for image_id, labels in supervise.progress(label_maps, len(rows), f"predict {name}"):
        path = paths.predictions(name) / f"{image_id}.png"
        images.write_target(path, labels.cpu().numpy(), model.palette, masks.note())


if __name__ == "__main__":
    supervise.run(main)
