"""One run -> data/predictions/<dataset>/<run>/<image_id>.png, at the original sizes."""

import torch

from segmodels import models, params, process
from segmodels.data import masks, voc
from segmodels.data.loading import whole_images
from segmodels.prediction import runtime, testtime
from segmodels.prediction.inference import label_map
from segmodels.training import tensors, weights


def main() -> None:
    here = process.study()
    settings = params.load(f"{here}params.yaml")
    paths = settings.paths
    name = process.argument(settings.runs)
    data, entry = settings.data, settings.runs[name]
    choices = settings.prediction(name)
    machine = runtime.start(choices.precision, choices.threads, deterministic=True, seed=0)
    model = models.build(entry.arch, num_classes=len(data.classes), **entry.arguments)
    trained = paths.train(name) / choices.weights_file
    weights.fill(model, tensors.read(trained), trained)
    model.to(machine.device).to(memory_format=torch.channels_last)
    network = testtime.network(
        model,
        normalization=settings.normalization(name),
        device=torch.device(machine.device),
        precision=machine.precision,
        tile=choices.tile,
    )
    index = voc.read_index(paths.index, data.classes)
    rows = index[index["split"] == choices.split]
    pictures = whole_images(
        paths.tree,
        rows,
        size=None,
        batch_size=choices.batch_size,
        as_stored=True,
        workers=runtime.loader_workers(),
    )
    scores = testtime.scores(network, pictures, choices)
    colours = voc.palette(data.palette)
    for image_id, score in process.progress(scores, len(rows), f"predict {name}"):
        labels = label_map(score).cpu().numpy()
        file = paths.predictions(name) / f"{image_id}.png"
        voc.write_target(file, labels, colours, masks.note())


if __name__ == "__main__":
    process.run(main)
