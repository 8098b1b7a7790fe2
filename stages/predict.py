"""One model -> data/predictions/<dataset>/<model>/<image_id>.png, at the original sizes."""

from pathlib import Path

import torch

from segmodels import models, params, process
from segmodels.data import images, layout, masks
from segmodels.data.loading import whole_images
from segmodels.prediction import runtime, testtime
from segmodels.prediction.inference import label_map
from segmodels.training import tensors, weights


def main() -> None:
    settings = params.load()
    name = process.argument(settings.models)
    data, entry = settings.data, settings.models[name]
    choices = settings.predict[settings.dataset]
    run = Path("data/runs") / settings.dataset / name
    folder = Path("data/predictions") / settings.dataset / name
    machine = runtime.start(choices.precision, choices.threads, deterministic=True, seed=0)
    model = models.build(entry.arch, num_classes=len(data.classes), **entry.arguments)
    trained = run / "train" / choices.weights_file
    weights.fill(model, tensors.read(trained), trained)
    model.to(machine.device).to(memory_format=torch.channels_last)
    network = testtime.network(
        model,
        normalization=settings.normalization(name),
        device=torch.device(machine.device),
        precision=machine.precision,
        tile=choices.tile,
    )
    index = layout.read_index(settings.dataset, data.classes)
    rows = index[index["split"] == choices.split]
    root = layout.dataset_root(settings.dataset)
    pictures = whole_images(
        root,
        rows,
        size=None,
        batch_size=choices.batch_size,
        as_stored=True,
        workers=runtime.loader_workers(),
    )
    scores = testtime.scores(network, pictures, choices)
    colours = images.palette(data.palette)
    for image_id, score in process.progress(scores, len(rows), f"predict {name}"):
        labels = label_map(score).cpu().numpy()
        images.write_target(folder / f"{image_id}.png", labels, colours, masks.note())


if __name__ == "__main__":
    process.run(main)
