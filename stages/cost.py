"""One run -> data/runs/<dataset>/<run>/gflops.json, and data/costs/<dataset>/<run>.json.

The first is counted and has the same bits everywhere; the second is measured, on the CPU whatever
else the machine has, and differs from run to run.
"""

import json
import os

import torch

from segmodels import models, params, process
from segmodels.data import voc
from segmodels.data.loading import whole_images
from segmodels.data.transforms import seen_size
from segmodels.files import write_json
from segmodels.prediction import cost, runtime, testtime
from segmodels.prediction.inference import label_map
from segmodels.training import tensors, weights


def main() -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
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
    network = testtime.network(
        model.to(memory_format=torch.channels_last),
        normalization=settings.normalization(name),
        device=torch.device(machine.device),
        precision=machine.precision,
        tile=choices.tile,
    )
    index = voc.read_index(paths.index, data.classes)
    picture = cost.usual_picture(index[index["split"] == choices.split])
    ((ids, image, _, shape),) = whole_images(
        paths.tree, picture, size=None, batch_size=1, as_stored=True
    )
    height, width = seen_size(shape[0], shape[1], choices.long_side)

    def predict() -> list[torch.Tensor]:
        return [label_map(score) for _, score in testtime.scores(network, [(ids, image)], choices)]

    counted = {"gflops": cost.gflops(predict), "picture": f"{width} x {height}"}
    write_json(paths.run(name) / "gflops.json", counted)
    milliseconds, passes = cost.latency(predict)
    training = json.loads((paths.run(name) / "cost.json").read_text(encoding="utf-8"))
    measured = {"latency_ms": milliseconds, "passes": passes, "training": training}
    measured |= {"picture": counted["picture"], **machine.record()}
    write_json(paths.costs / f"{name}.json", measured)


if __name__ == "__main__":
    process.run(main)
