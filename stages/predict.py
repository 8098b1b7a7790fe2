"""One run -> data/predictions/<dataset>/<run>/<image_id>.png, at the original sizes; and its cost.

data/runs/<dataset>/<run>/gflops.json is counted and has the same bits everywhere;
data/costs/<dataset>/<run>.json is measured and differs from run to run.
"""

import json
from typing import Any

from pandas import DataFrame

from segmodels.config import params
from segmodels.config.params import Params
from segmodels.core import machine, supervise
from segmodels.core.files import write_json
from segmodels.data import images, masks, splits
from segmodels.data.loading import whole_images
from segmodels.inference import cost, testtime
from segmodels.models import trained
from segmodels.models.network import Network


def main() -> None:
    here = supervise.study()
    settings = params.load(f"{here}params.yaml")
    name = supervise.argument(settings.runs)
    choices = settings.prediction(name)
    runtime = machine.start(choices.precision, choices.threads, deterministic=True, seed=0)
    model = trained.load(settings, name, runtime=runtime)
    rows = splits.rows(settings.paths, settings.data, choices.split)
    predict(settings, model, rows)
    ((_, image, *_),) = whole_images(
        settings.paths.tree, cost.usual_picture(rows), size=None, batch_size=1, as_stored=True
    )
    counted, measured = cost.measure(model, image, choices, runtime)
    save_cost(settings, name, counted, measured)


def predict(settings: Params, model: Network, rows: DataFrame) -> None:
    """Write the label map of every image of a split."""
    choices = settings.prediction(model.name)
    batches = whole_images(
        settings.paths.tree,
        rows,
        size=None,
        batch_size=choices.batch_size,
        as_stored=True,
        workers=machine.loader_workers(),
    )
    folder = settings.paths.predictions(model.name)
    label_maps = testtime.label_maps(model, batches, choices)
    for image_id, labels in supervise.progress(label_maps, len(rows), f"predict {model.name}"):
        path = folder / f"{image_id}.png"
        images.write_target(path, labels.cpu().numpy(), model.palette, masks.note())


def save_cost(
    settings: Params, name: str, counted: dict[str, Any], measured: dict[str, Any]
) -> None:
    """Write what was counted, and apart from it what was measured, in training too."""
    run_dir = settings.paths.run(name)
    write_json(run_dir / "gflops.json", counted)
    measured["training"] = json.loads((run_dir / "cost.json").read_text(encoding="utf-8"))
    write_json(settings.paths.costs / f"{name}.json", measured)


if __name__ == "__main__":
    supervise.run(main)
