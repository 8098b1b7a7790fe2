"""The files of ImageNet weights that `init: imagenet` comes to where a Python package has them.

They are made when a recipe is checked, before any stage needs one. A package's tensors have timm's
order under other names, and get timm's; what stands after the last feature is left out.
"""

import hashlib
import importlib.util
import io
from pathlib import Path

import torch
from torch import Tensor

from segmodels import models
from segmodels.config.encoders import ENCODERS, FOLDER, LITE
from segmodels.core import files
from segmodels.models import backbones


def provide(init: str) -> None:
    """Write the file that a recipe starts from, if it is one of a package and not there yet.

    Args:
        init: as `Params.recipe` gives it.
    Raises:
        ValueError: the package is not installed, or its file has another content.
    """
    path = Path(init)
    if path.parent != Path(FOLDER) or path.stem not in ENCODERS or path.exists():
        return
    content = _packaged(path.stem)
    state = backbone_state(content, path.stem)
    buffer = io.BytesIO()  # torch.save writes a file's name into it
    torch.save(state, buffer)
    files.write_bytes(path, buffer.getvalue())


def backbone_state(content: bytes, network: str) -> dict[str, Tensor]:
    """The tensors of a file of weights under their backbone's names, those of its features alone.

    Args:
        content: of a file of torch.save whose tensors have the order of the backbone's.
        network: a key of ENCODERS.
    Raises:
        ValueError: the backbone has other tensors, or timm is not installed.
    """
    given = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    name = network if network in LITE else f"timm/{network}"
    with models.weightless():
        own = backbones.build(name, output_stride=32)[0].state_dict()
    state = dict(zip(own, given.values(), strict=False))  # what comes last is no feature
    for key, tensor in own.items():
        if key not in state or state[key].shape != tensor.shape:
            raise ValueError(f"backbone = {name!r}: another {key} than in its package")
    return state


def _packaged(network: str) -> bytes:
    """The file of weights in an installed package, its hash compared."""
    encoder = ENCODERS[network]
    spec = importlib.util.find_spec(encoder.package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"init = 'imagenet': the weights of {network} come with a package that is not "
            f"installed: {encoder.install}"
        )
    path = Path(spec.submodule_search_locations[0]) / encoder.member
    content = path.read_bytes() if path.is_file() else b""
    found = hashlib.sha256(content).hexdigest()
    if found != encoder.sha256:
        raise ValueError(
            f"{path}: sha256 is {found}, expected {encoder.sha256}: install the package again"
        )
    return content
