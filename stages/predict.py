"""One model -> data/predictions/<dataset>/<model>/<image_id>.png, at the original sizes."""

from pathlib import Path

from segmodels import params, process
from segmodels.core import machine
from segmodels.data import images, layout, masks
from segmodels.data.loading import whole_images
from segmodels.models import network
from segmodels.prediction import testtime


def main() -> None:
    settings = params.load()
    name = process.argument(settings.models)
    choices = settings.predict[settings.dataset]
    folder = Path("data/predictions") / settings.dataset / name
    runtime = machine.start(choices.precision, choices.threads, deterministic=True, seed=0)
    model = network.load(settings, name, runtime=runtime)
    index = layout.read_index(settings.dataset, settings.data.classes)
    rows = index[index["split"] == choices.split]
    batches = whole_images(
        layout.dataset_root(settings.dataset),
        rows,
        size=None,
        batch_size=choices.batch_size,
        as_stored=True,
        workers=machine.loader_workers(),
    )
    found = testtime.label_maps(model, batches, choices)
    for image_id, labels in process.progress(found, len(rows), f"predict {name}"):
        path = folder / f"{image_id}.png"
        images.write_target(path, labels.cpu().numpy(), model.palette, masks.note())


if __name__ == "__main__":
    process.run(main)
