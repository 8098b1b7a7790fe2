"""One model -> data/runs/<dataset>/<model>/gflops.json, and data/costs/<dataset>/<model>.json.

The first is counted and has the same bits everywhere; the second is measured, on the CPU whatever
else the machine has, and differs from run to run.
"""

import json
import os
from pathlib import Path

import torch

from segmodels import params, process
from segmodels.core import machine
from segmodels.data import layout
from segmodels.data.loading import whole_images
from segmodels.data.transforms import seen_size
from segmodels.files import write_json
from segmodels.models import network
from segmodels.models.flops import gflops
from segmodels.prediction import cost, testtime


def main() -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    settings = params.load()
    name = process.argument(settings.models)
    choices = settings.predict[settings.dataset]
    run = Path("data/runs") / settings.dataset / name
    runtime = machine.start(choices.precision, choices.threads, deterministic=True, seed=0)
    model = network.load(settings, name, runtime=runtime)
    index = layout.read_index(settings.dataset, settings.data.classes)
    picture = cost.usual_picture(index[index["split"] == choices.split])
    root = layout.dataset_root(settings.dataset)
    ((ids, image, _, shape),) = whole_images(root, picture, size=None, batch_size=1, as_stored=True)
    height, width = seen_size(shape[0], shape[1], choices.long_side)

    def predict() -> list[tuple[str, torch.Tensor]]:
        return list(testtime.label_maps(model, [(ids, image)], choices))

    counted = {"gflops": gflops(predict), "picture": f"{width} x {height}"}
    write_json(run / "gflops.json", counted)
    milliseconds, passes = cost.latency(predict)
    training = json.loads((run / "cost.json").read_text(encoding="utf-8"))
    measured = {"latency_ms": milliseconds, "passes": passes, "training": training}
    measured |= {"picture": counted["picture"], **runtime.record()}
    write_json(Path("data/costs") / settings.dataset / f"{name}.json", measured)


if __name__ == "__main__":
    process.run(main)
