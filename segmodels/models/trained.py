"""Models of params.yaml with their weights: of a training, or those torchvision published."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from segmodels import models
from segmodels.config.params import Params
from segmodels.config.schema import Model, Normalize
from segmodels.core.machine import Runtime
from segmodels.data import images
from segmodels.models import pretrained, safe_load
from segmodels.models.network import Network

RECORDED = {"arch": str, "arguments": dict, "recipe": dict, "seed": int, "normalize": dict}
COCO_CLASSES = 21  # torchvision trained on those of COCO's images that show VOC's classes


def load(settings: Params, name: str, *, runtime: Runtime | None = None) -> Network:
    """A model of params.yaml with the weights that the train stage wrote.

    Args:
        settings: its `dataset` says on what the model was trained.
        name: a key of `models` or `variants`.
        runtime: device and precision, from `machine.start`; None: the CPU, in float32.
    Raises:
        ValueError: there are no weights that cover it.
    """
    network = _trained(settings, name)
    return network if runtime is None else network.on(runtime)


def as_trained(settings: Params, name: str) -> Params:
    """params.yaml with one model as it was when its weights were trained: form, recipe and seed.

    Raises:
        ValueError: there are no such weights, or no record of them.
    """
    path = settings.paths.train(name) / "provenance.json"
    record = _record(path)
    values = {"train": record["recipe"], "seed": record["seed"], "normalize": record["normalize"]}
    try:
        entry = Model(arch=record["arch"], **values, **record["arguments"])
    except ValidationError as error:
        raise ValueError(f"{path}: {error.errors()[0]['msg']}") from None
    variants = {key: value for key, value in settings.variants.items() if key != name}
    models = settings.models | {name: entry}
    return settings.model_copy(update={"models": models, "variants": variants})


def _trained(settings: Params, name: str) -> Network:
    """The weights of the train stage, in the form and with the classes that the model had then."""
    path = settings.paths.train(name) / settings.prediction(name).weights_file
    if not path.is_file():
        raise ValueError(
            f"{path}: missing; `dvc repro {settings.here}dvc.yaml` makes it, `dvc pull` fetches "
            "it; `segmodels models` lists models that come along"
        )
    settings = as_trained(settings, name)
    entry = settings.models[name]
    classes = _classes(path.with_name("provenance.json")) or settings.data.classes
    models.check_arguments(name, entry.arch, entry.arguments)
    module = models.build(entry.arch, num_classes=len(classes), **entry.arguments)
    pretrained.fill(module, safe_load.read(path), path)
    palette = images.palette(settings.data.palette)
    return Network(name, module, settings.normalization(name), classes, palette)


def _published(name: str, entry: Model) -> Network:
    """torchvision's weights, which know VOC's classes."""
    from torchvision.models.segmentation import FCN_ResNet50_Weights  # slow to import

    arch, arguments = entry.arch, dict(entry.arguments)
    module = models.build(arch, num_classes=COCO_CLASSES, **arguments)
    coverage = pretrained.start(module, arch=arch, arguments=arguments, init="coco")
    random = coverage["missing"] + [tensor["name"] for tensor in coverage["wrong_shape"]]
    if any(not key.startswith("aux_classifier.") for key in random):
        raise ValueError(f"models.{name}: {pretrained.summary(coverage)}")
    published = FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1  # preset and classes of all of them
    preset = published.transforms()
    normalization = Normalize(mean=tuple(preset.mean), std=tuple(preset.std))
    classes = ["background", *published.meta["categories"][1:]]
    return Network(name, module, normalization, classes, images.palette())


def of_torchvision(name: str) -> Network:
    """torchvision's model of this name with its published weights.

    Args:
        name: as fcn_resnet50, deeplabv3_resnet101.
    Raises:
        ValueError: it publishes none of that name, or they cannot be downloaded.
    """
    known = published_names()
    if name not in known:
        raise ValueError(f"torchvision/{name}: expected one of {', '.join(known)}")
    arch, backbone = known[name]
    return _published(name, Model.model_validate({"arch": arch, "backbone": backbone}))


def published_names() -> dict[str, tuple[str, str]]:
    """torchvision's name of each model with published weights -> arch and backbone."""
    names = {}
    for arch in models.available():
        for backbone in models.coco_weights(arch):
            names[f"{arch}_{backbone}"] = (arch, backbone)
    return names


def _record(path: Path) -> dict[str, Any]:
    """What a training noted of itself."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = None
    if not isinstance(record, dict) or not all(
        isinstance(record.get(key), kind) for key, kind in RECORDED.items()
    ):
        raise ValueError(f"{path}: expected the train stage's record with {', '.join(RECORDED)}")
    return record


def _classes(path: Path) -> list[str] | None:
    """Names of the classes at the time of a training; None: it is from before they were noted.

    Raises:
        ValueError: they are no names.
    """
    classes = _record(path).get("classes")
    if classes is None:
        return None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"{path}: classes = {classes!r}: expected a list of names")
    return classes
