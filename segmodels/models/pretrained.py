"""Starting weights: what a file covers of a model, loaded and recorded tensor by tensor.

`init` is none, imagenet (torchvision's classifier, for the backbone), coco (torchvision's whole
model) or a file of a state dict, of a whole model or of a backbone alone. The file may come from
any program: a prefix of all its names is removed. Whatever does not fit keeps its random start and
is named in the coverage, so that models with unequal starts are never taken for equal. BatchNorm's
batch counters decide nothing and are left out.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from segmodels import models
from segmodels.core import files
from segmodels.data.sources import download
from segmodels.models import matching, safe_load
from segmodels.models.backbones import IMAGENET
from segmodels.models.matching import BACKBONE, Match

ATTEMPTS = (1,)  # seconds before each new one to reach a server


def start(model: nn.Module, *, arch: str, arguments: dict[str, Any], init: str) -> dict[str, Any]:
    """Load all that fits into a model, in place.

    Args:
        model: as built from arch and arguments.
        init: none, imagenet, coco or a file (.pt, .pth, .safetensors).
    Returns:
        the coverage: init (none, imagenet, coco or file), file (its name without folder) and its
        sha256, or None; names of tensors that are loaded, missing (they stay random) and
        unexpected (the model has no such); wrong_shape: [{name, file, model}] with the two shapes.
        Only where there is something to say of a file: prefix, which its names had before the
        model's; key, under which the weights stood, and other_keys, under which others did that
        fit as well; no_numbers, names in the file of tensors that cannot be weights.
    Raises:
        ValueError: there are no such weights, the file cannot be had or read, or nothing fits.
    """
    origin = source(arch=arch, arguments=arguments, init=init)
    path = _download(origin) if isinstance(origin, str) else origin
    facts = {
        "init": init if init in ("none", "imagenet", "coco") else "file",
        "file": path and path.name,
        "sha256": path and files.sha256(path),
    }
    if isinstance(origin, Path):
        return facts | _foreign(model, origin, f"{arch} {arguments}")
    given = {} if path is None else _counted(safe_load.read(path))
    coverage = load(model, given, [BACKBONE] if init == "imagenet" else ["", BACKBONE])
    if path and not coverage["loaded"]:
        raise ValueError(f"{path}: none of its {len(given)} tensors fits {arch} {arguments}")
    return facts | coverage


def source(*, arch: str, arguments: dict[str, Any], init: str) -> str | Path | None:
    """Where starting weights come from, without reading them.

    Returns:
        a URL, a file, or None: for none, and for imagenet where the arch has no backbone.
    Raises:
        ValueError: there are no such weights.
    """
    backbone = models.backbone(arch, arguments)
    if init == "none" or (init == "imagenet" and backbone is None):
        return None
    if init == "imagenet" and backbone not in IMAGENET:
        raise ValueError(
            f"init = 'imagenet': torchvision has none for backbone {backbone}; save a state dict "
            "of it with torch.save and name that file"
        )
    if init == "imagenet":
        return IMAGENET[str(backbone)]
    if init == "coco":
        return _coco(arch, backbone)
    if not Path(init).is_file():
        raise ValueError(
            f"init = {init!r}: expected none, imagenet, coco, a model that comes "
            "along, or a file that exists"
        )
    return Path(init)


def fill(model: nn.Module, given: dict[str, Tensor], origin: Path) -> None:
    """Load all of a model's tensors, from nothing but these.

    Args:
        given: name -> tensor; batch counters may be among them.
        origin: the file, for the error.
    Raises:
        ValueError: names the tensors that are missing, unexpected or of another shape.
    """
    coverage = load(model, _counted(given), [""])
    if coverage["missing"] or coverage["unexpected"] or coverage["wrong_shape"]:
        coverage["init"] = "weights"
        coverage["file"] = origin.name
        raise ValueError(f"{origin}: of another model or other classes; {summary(coverage)}")


def load(model: nn.Module, given: dict[str, Tensor], prefixes: Sequence[str]) -> dict[str, Any]:
    """Load what fits and say what does not, in the model's and then the file's order.

    Args:
        model: on the meta device, only the coverage is of use.
        given: name -> tensor, from `safe_load.read`.
        prefixes: of which one is put before the names of the file, the one with which most fits.
    Returns:
        loaded, missing, unexpected and wrong_shape, see `start`.
    """
    own = _counted(model.state_dict())
    return _load(model, given, matching.plain(own, given, prefixes))


def summary(coverage: dict[str, Any]) -> str:
    """The coverage as one line for people."""
    loaded = len(coverage["loaded"])
    wrong = coverage["wrong_shape"]
    prefix = coverage.get("prefix", "")
    total = loaded + len(coverage["missing"]) + len(wrong)
    origin = coverage["init"] + (f" ({coverage['file']})" if coverage["file"] else "")
    parts = [f"{origin}: {loaded} of {total} tensors loaded"]
    if coverage["missing"]:
        parts.append(f"random: {_grouped(coverage['missing'])}")
    if wrong:
        parts.append(f"random, other shape in the file: {', '.join(map(_shapes, wrong))}")
    if coverage["unexpected"]:
        names = [name.removeprefix(prefix) for name in coverage["unexpected"]]
        parts.append(f"in the file only: {_grouped(names)}")
    if prefix:
        parts.append(f'without "{prefix}"')
    if "other_keys" in coverage:
        others = ", ".join(f'"{key}"' for key in coverage["other_keys"])
        parts.append(f'from "{coverage["key"]}", not {others}')
    if "no_numbers" in coverage:
        parts.append(f"no plain numbers: {_grouped(coverage['no_numbers'])}")
    return "; ".join(parts)


def _foreign(model: nn.Module, path: Path, what: str) -> dict[str, Any]:
    """Load what fits of a file that any program may have written; see `start`.

    Args:
        what: the model's arch and arguments, for the error.
    """
    found = dict[str, dict[str, Tensor]]()
    usable = dict[str, dict[str, Tensor]]()
    for keys, state in safe_load.state_dicts(path).items():
        found[keys] = _counted(state)
        usable[keys] = _usable(found[keys])
    own = _counted(model.state_dict())
    try:
        key, match, others = matching.chosen(own, usable, ["", BACKBONE])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    given = usable[key]
    if not match.fits:
        raise ValueError(f"{path}: {_unlike(own, given, what)}")
    for theirs in match.fits.values():
        if not given[theirs].isfinite().all():
            raise ValueError(f"{path}: {theirs}: has values that are not finite")
    coverage = _load(model, given, match)
    if match.removed:
        coverage["prefix"] = match.removed
    if others:
        coverage["key"] = key
        coverage["other_keys"] = others
    if left := [name for name in found[key] if name not in given]:
        coverage["no_numbers"] = left
    return coverage


def _load(model: nn.Module, given: dict[str, Tensor], match: Match) -> dict[str, Any]:
    """Load what fits in one way, and say what does not."""
    own = _counted(model.state_dict())
    fits = dict[str, Tensor]()
    for name, theirs in match.fits.items():
        fits[name] = matching.as_convolution(given[theirs], own[name])
    model.load_state_dict(fits, strict=False)
    coverage: dict[str, Any] = {"loaded": [], "missing": [], "unexpected": [], "wrong_shape": []}
    shapes = dict[str, list[int]]()
    for theirs, tensor in given.items():
        wanted = match.name(theirs)
        if wanted in own:
            shapes[wanted] = list(tensor.shape)
        else:
            coverage["unexpected"].append(theirs)
    for name, tensor in own.items():
        if name in fits:
            coverage["loaded"].append(name)
        elif name not in shapes:
            coverage["missing"].append(name)
        else:
            sizes = {"name": name, "file": shapes[name], "model": list(tensor.shape)}
            coverage["wrong_shape"].append(sizes)
    return coverage


def _unlike(own: dict[str, Tensor], given: dict[str, Tensor], what: str) -> str:
    """Why nothing fits: a name of the file beside one of the model, of the same end if there is."""
    if not given:
        return f"no tensor of plain numbers in it, expected weights of {what}"
    theirs, name = matching.alike(own, given) or (next(iter(given)), next(iter(own)))
    there, here = given[theirs].shape, own[name].shape
    hint = "expected names of this model or of its backbone: rename them and save them again"
    if theirs.endswith(name.removeprefix(BACKBONE)) and there != here:
        hint = "give the model the arguments and classes with which they were trained"
    return (
        f"none of its {len(given)} tensors fits {what}: it has {theirs} ({_size(there)}), "
        f"the model {name} ({_size(here)}); {hint}"
    )


def _coco(arch: str, backbone: str | None) -> str:
    """URL of torchvision's weights for a model, or a ValueError that names those there are."""
    weights = models.coco_weights(arch)
    if backbone in weights:
        return weights[backbone]
    there = list[str]()
    for name in models.available():
        if backbones := models.coco_weights(name):
            there.append(f"{name} ({', '.join(backbones)})")
    wanted = f"{arch} with backbone {backbone}" if backbone else arch
    raise ValueError(
        f"init = 'coco': torchvision has none for {wanted}, only for {', '.join(there)}"
    )


def _download(url: str) -> Path:
    """The file in torch's cache, where TORCH_HOME says; its name ends in its checksum's start."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    prefix = path.stem.rpartition("-")[2]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _fetch(url, path, prefix)
        except download.Refused as error:
            raise ValueError(
                f"{url}: cannot be downloaded ({error}); fetch it elsewhere and put it at {path}"
            ) from None
    if not files.sha256(path).startswith(prefix):
        raise ValueError(f"{path}: sha256 does not start with {prefix}; delete it and try again")
    return path


def _fetch(url: str, path: Path, prefix: str) -> None:
    """Download into a folder of this process alone, and keep a file of the right checksum only."""
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        part = Path(folder) / path.name
        download.complete(url, part, ATTEMPTS)
        found = files.sha256(part)
        if not found.startswith(prefix):
            raise download.Refused(f"invalid hash {found}, expected {prefix}...")
        part.replace(path)


def _counted(given: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in given.items() if _counts(name)}


def _usable(given: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in given.items() if safe_load.is_plain(tensor)}


def _counts(name: str) -> bool:
    return not name.endswith(".num_batches_tracked")


def _grouped(names: Iterable[str]) -> str:
    """E.g. "classifier 7, aux_classifier 7": how many tensors of each part."""
    counts = Counter[str]()
    for name in names:
        counts[name.partition(".")[0]] += 1
    return ", ".join(f"{part} {count}" for part, count in counts.items())


def _shapes(entry: dict[str, Any]) -> str:
    """E.g. "classifier.4.weight (21 outputs there, 5 here)", or whole shapes if more differs."""
    there, here = entry["file"], entry["model"]
    if there[1:] == here[1:]:
        return f"{entry['name']} ({there[0]} outputs there, {here[0]} here)"
    return f"{entry['name']} ({_size(there)} there, {_size(here)} here)"


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a number"
