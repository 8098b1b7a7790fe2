"""Starting weights: what a file covers of a model, loaded and recorded tensor by tensor.

`init` is none, imagenet (torchvision's classifier, for the backbone), coco (torchvision's whole
model) or a file of a state dict, of a whole model or of a backbone alone. Whatever does not fit
keeps its random start and is named in the coverage, so that models with unequal starts are never
taken for equal. Only tensors are read: a file that asks to run code is refused. BatchNorm's batch
counters decide nothing and are left out.
"""

import argparse
import pickle
import re
import struct
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segmodels import files, models
from segmodels.models.backbones import IMAGENET

BACKBONE = "backbone."  # how the names of a model's backbone begin
WRAPPERS = ("model", "state_dict")  # keys under which training scripts store the state dict
DAMAGED = (  # what torch.load raises on a file that is cut off, altered, or something else
    pickle.UnpicklingError,
    struct.error,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def start(model: nn.Module, *, arch: str, arguments: dict[str, Any], init: str) -> dict[str, Any]:
    """Load all that fits into a model, in place.

    Args:
        model: as built from arch and arguments.
        init: none, imagenet, coco or a file (.pt, .pth).
    Returns:
        the coverage: init (none, imagenet, coco or file), file (its name without folder) and its
        sha256, or None; names of tensors that are loaded, missing (they stay random) and
        unexpected (the model has no such); wrong_shape: [{name, file, model}] with the two shapes.
    Raises:
        ValueError: there are no such weights, the file cannot be had or read, or nothing fits.
    """
    origin = source(arch=arch, arguments=arguments, init=init)
    path = _download(origin) if isinstance(origin, str) else origin
    given = {} if path is None else read(path)
    coverage = load(model, given, [BACKBONE] if init == "imagenet" else ["", BACKBONE])
    if path and not coverage["loaded"]:
        raise ValueError(f"{path}: none of its {len(given)} tensors fits {arch} {arguments}")
    return {
        "init": init if init in ("none", "imagenet", "coco") else "file",
        "file": path and path.name,
        "sha256": path and files.sha256(path),
        **coverage,
    }


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
        return IMAGENET[str(backbone)].url
    if init == "coco":
        return _coco(arch, backbone)
    if not Path(init).is_file():
        raise ValueError(f"init = {init!r}: expected none, imagenet, coco or a file that exists")
    return Path(init)


def read(path: Path) -> dict[str, Tensor]:
    """Read a state dict, bare or under "model" or "state_dict", as torchvision's scripts store it.

    Returns:
        name -> tensor on the CPU, BatchNorm's batch counters aside.
    Raises:
        ValueError: cut off, not from torch.save, not a state dict, or asking to run code.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # "args" of those scripts
            content = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGED as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for {asked[1]}" if asked else "cut off, or not from torch.save"
        raise ValueError(f"{path}: refused, {reason}; expected tensors only") from None
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not _is_state_dict(content):
        raise ValueError(f"{path}: expected a state dict (names and tensors), found something else")
    return {name: tensor for name, tensor in content.items() if _counts(name)}


def load(model: nn.Module, given: dict[str, Tensor], prefixes: Sequence[str]) -> dict[str, Any]:
    """Load what fits and say what does not, in the model's and then the file's order.

    Args:
        model: on the meta device, only the coverage is of use.
        given: name -> tensor, from `read`.
        prefixes: of which one is put before the names of the file, the one with which most fits.
    Returns:
        loaded, missing, unexpected and wrong_shape, see `start`.
    """
    own = {name: tensor for name, tensor in model.state_dict().items() if _counts(name)}
    prefix = max(prefixes, key=lambda prefix: len(_fitting(own, given, prefix)))
    fits = _fitting(own, given, prefix)
    model.load_state_dict(fits, strict=False)
    given = {prefix + name: tensor for name, tensor in given.items()}
    return {
        "loaded": [name for name in own if name in fits],
        "missing": [name for name in own if name not in given],
        "unexpected": [name.removeprefix(prefix) for name in given if name not in own],
        "wrong_shape": [
            {"name": name, "file": list(given[name].shape), "model": list(own[name].shape)}
            for name in own
            if name in given and name not in fits
        ],
    }


def summary(coverage: dict[str, Any]) -> str:
    """The coverage as one line for people."""
    loaded, wrong = len(coverage["loaded"]), coverage["wrong_shape"]
    total = loaded + len(coverage["missing"]) + len(wrong)
    origin = coverage["init"] + (f" ({coverage['file']})" if coverage["file"] else "")
    parts = [f"{origin}: {loaded} of {total} tensors loaded"]
    if coverage["missing"]:
        parts.append(f"random: {_grouped(coverage['missing'])}")
    if wrong:
        parts.append(f"random, other shape in the file: {', '.join(map(_shapes, wrong))}")
    if coverage["unexpected"]:
        parts.append(f"in the file only: {_grouped(coverage['unexpected'])}")
    return "; ".join(parts)


def _fitting(own: dict[str, Tensor], given: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors of a file that have a place in a model, by their name there."""
    known = {prefix + name: tensor for name, tensor in given.items() if prefix + name in own}
    shaped = {name: _as_convolution(tensor, own[name]) for name, tensor in known.items()}
    return {name: tensor for name, tensor in shaped.items() if tensor.shape == own[name].shape}


def _coco(arch: str, backbone: str | None) -> str:
    """URL of torchvision's weights for a model, or a ValueError that names those there are."""
    weights = models.coco_weights(arch)
    if backbone in weights:
        return weights[backbone].url
    known = {name: ", ".join(models.coco_weights(name)) for name in models.available()}
    there = ", ".join(f"{name} ({backbones})" for name, backbones in known.items() if backbones)
    wanted = f"{arch} with backbone {backbone}" if backbone else arch
    raise ValueError(f"init = 'coco': torchvision has none for {wanted}, only for {there}")


def _as_convolution(given: Tensor, own: Tensor) -> Tensor:
    """A fully-connected layer's weight for the convolution that replaces it (VGG16's fc6, fc7)."""
    same = given.ndim == 2 and own.ndim == 4 and given.shape == own.flatten(1).shape
    return given.reshape_as(own) if same else given


def _download(url: str) -> Path:
    """The file in torch's cache, where TORCH_HOME says; its name ends in its checksum's start."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    prefix = path.stem.rpartition("-")[2]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), prefix, progress=sys.stderr.isatty())
        except (OSError, RuntimeError, HTTPException) as error:
            raise ValueError(
                f"{url}: cannot be downloaded ({error}); fetch it elsewhere and put it at {path}"
            ) from None
    if not files.sha256(path).startswith(prefix):
        raise ValueError(f"{path}: sha256 does not start with {prefix}; delete it and try again")
    return path


def _is_state_dict(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    )


def _counts(name: str) -> bool:
    return not name.endswith(".num_batches_tracked")


def _grouped(names: Iterable[str]) -> str:
    """E.g. "classifier 7, aux_classifier 7": how many tensors of each part."""
    return ", ".join(f"{part} {n}" for part, n in Counter(n.split(".")[0] for n in names).items())


def _shapes(entry: dict[str, Any]) -> str:
    """E.g. "classifier.4.weight (21 outputs there, 5 here)", or whole shapes if more differs."""
    there, here = entry["file"], entry["model"]
    if there[1:] == here[1:]:
        return f"{entry['name']} ({there[0]} outputs there, {here[0]} here)"
    sizes = [" x ".join(map(str, shape)) for shape in (there, here)]
    return f"{entry['name']} ({sizes[0]} there, {sizes[1]} here)"
