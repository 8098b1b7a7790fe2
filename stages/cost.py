"""One run -> data/runs/<dataset>/<run>/gflops.json, and data/costs/<dataset>/<run>.json.

The first is counted and has the same bits everywhere; the second is measured, on the CPU whatever
else the machine has, and differs from run to run.
"""

import json
import os

import torch

from segmodels.config import params
from segmodels.core import machine, supervise
from segmodels.core.files import write_json
from segmodels.data import splits
from segmodels.data.loading import whole_images
from segmodels.data.transforms import seen_size
from segmodels.inference import cost, testtime
from segmodels.models import trained
from segmodels.models.flops import gflops


def main() -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    here = supervise.study()
    settings = params.load(f"{here}params.yaml")
    paths = settings.paths
    name = supervise.argument(settings.runs)
    choices = settings.prediction(name)
    runtime = machine.start(choices.precision, choices.threads, deterministic=True, seed=0)
    model = trained.load(settings, name, runtime=runtime)
    rows = splits.rows(paths, settings.data, choices.split)
    picture = cost.usual_picture(rows)
    ((ids, image, _, shape),) = whole_images(
        paths.tree, picture, size=None, batch_size=1, as_stored=True
    )
    height, width = seen_size(shape[0], shape[1], choices.long_side)

    def predict() -> list[tuple[str, torch.Tensor]]:
        return list(testtime.label_maps(model, [(ids, image)], choices))

    counted = {"gflops": gflops(predict), "picture": f"{width} x {height}"}
    write_json(paths.run(name) / "gflops.json", counted)
    milliseconds, passes = cost.latency(predict)
    training = json.loads((paths.run(name) / "cost.json").read_text(encoding="utf-8"))
    measured = {"latency_ms": milliseconds, "passes": passes, "training": training}
    measured |= {"picture": counted["picture"], **runtime.record()}
    write_json(paths.costs / f"{name}.json", measured)


if __name__ == "__main__":
    supervise.run(main)
