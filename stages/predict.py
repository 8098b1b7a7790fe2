"""One run -> data/predictions/<dataset>/<run>/<image_id>.png, at the original sizes."""

from segmodels import params, process
from segmodels.core import machine
from segmodels.data import images, layout, masks
from segmodels.data.loading import whole_images
from segmodels.models import network
from segmodels.prediction import testtime


def main() -> None:
    here = process.study()
    settings = params.load(f"{here}params.yaml")
    paths = settings.paths
    name = process.argument(settings.runs)
    choices = settings.prediction(name)
    runtime = machine.start(choices.precision, choices.threads, deterministic=True, seed=0)
    model = network.load(settings, name, runtime=runtime)
    index = layout.read_index(paths.index, settings.data.classes)
    rows = index[index["split"] == choices.split]
    batches = whole_images(
        paths.tree,
        rows,
        size=None,
        batch_size=choices.batch_size,
        as_stored=True,
        workers=machine.loader_workers(),
    )
    label_maps = testtime.label_maps(model, batches, choices)
    for image_id, labels in process.progress(label_maps, len(rows), f"predict {name}"):
        path = paths.predictions(name) / f"{image_id}.png"
        images.write_target(path, labels.cpu().numpy(), model.palette, masks.note())


if __name__ == "__main__":
    process.run(main)
