"""Files of weights, which may come from anyone: tensors and plain values, or one line.

A file that asks to run code is refused, and so is one whose checksums are wrong: torch itself
compares none, so that a changed bit would be another weight. `read` takes the project's own files
and nothing else; `state_dicts` takes those of other programs, safetensors among them.
"""

import argparse
import importlib.util
import pickle
import re
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

NUMBERS = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64}
WRAPPERS = ("model", "state_dict")  # keys under which torchvision's scripts store the state dict
DEPTH = 4  # keys that may lead to a state dict in a file of another program
HOW = 'from torch.save(model.state_dict(), "weights.pth")'
SAVE = 'save it there with torch.save(model.state_dict(), "weights.pth") and name that file'
FOREIGN = (  # where in a file, what stands there, and what that means
    (0, b"\x89HDF", "an HDF5 file (Keras)"),
    (4, b"TFL3", "a model of TensorFlow Lite"),
    (0, b"\x93NUMPY", "an array of numpy"),
    (0, b"version https://git-lfs", "a pointer of Git LFS (`git lfs pull` fetches the file)"),
    (0, b"<", "HTML or XML, a web page in place of the file"),
    (0, b"\x1f\x8b", "packed with gzip (unpack it first)"),
)
SUFFIXES = {  # of files without a mark at their beginning
    ".onnx": "an ONNX model",
    ".pb": "a graph of TensorFlow",
    ".index": "a checkpoint of TensorFlow",
    ".caffemodel": "a model of Caffe",
    ".pdparams": "weights of PaddlePaddle",
    ".msgpack": "weights of Flax",
}
MEMBERS = {  # of ZIP files
    "config.json": "a Keras model",
    "constants.pkl": "a TorchScript module",
}
MULTIARRAY = "numpy.core.multiarray"  # the module's name before numpy 2
SCALAR = np.float64(0).__reduce__()[0]
ARRAY = np.zeros(1).__reduce__()[0]
# Numbers of numpy, such as the scores that training scripts store beside the weights.
NUMPY: list[Any] = [np.dtype, np.ndarray, SCALAR, (SCALAR, f"{MULTIARRAY}.scalar")]
NUMPY += [ARRAY, (ARRAY, f"{MULTIARRAY}._reconstruct")]
NUMPY += [type(np.dtype(kind)) for kind in "?bBhHiIlLefd"]
DAMAGED = (  # what zipfile and torch.load raise on a file that is cut off, altered, or another
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


def read(path: Path) -> dict[str, Tensor]:
    """Read a state dict, bare or under "model" or "state_dict", as torchvision's scripts store it.

    Returns:
        name -> tensor on the CPU.
    Raises:
        ValueError: cut off, altered, not from torch.save, not a state dict, with values that are
            not finite, or asking to run code.
    """
    with torch.serialization.safe_globals([argparse.Namespace]):  # "args" of those scripts
        content = unpickled(path)
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not _is_state_dict(content):
        raise ValueError(f"{path}: expected a state dict (names and tensors), found something else")
    for name, tensor in content.items():
        if not is_plain(tensor):
            raise ValueError(f"{path}: {name}: expected plain numbers, found another tensor")
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: {name}: has values that are not finite")
    return content


def state_dicts(path: Path) -> dict[str, dict[str, Tensor]]:
    """All state dicts in a file of weights, whichever program has written it.

    Returns:
        the keys that lead to each, joined by dots ("" if there are none), -> name -> tensor on the
        CPU, of any type. At least one.
    Raises:
        ValueError: cut off, altered, of another format, without tensors, or asking to run code.
    """
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: 0 bytes, expected weights")
    content = _safetensors(path) if _is_safetensors(path) else _of_torch(path)
    found = dict[str, dict[str, Tensor]]()
    _collect(content, (), found, set())
    if not found:
        what = type(content).__name__
        if isinstance(content, dict):
            what = f"a dict of {', '.join(map(str, content))}"[:100] if content else "nothing"
        raise ValueError(f"{path}: expected a state dict (names and tensors), found {what}; {SAVE}")
    return found


def is_plain(tensor: Tensor) -> bool:
    """Whether it is dense real numbers on the CPU, all of which are in the file."""
    return (
        (tensor.layout, tensor.device.type) == (torch.strided, "cpu")
        and tensor.dtype in NUMBERS
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )


def unpickled(path: Path) -> Any:
    """The tensors and plain values of a file of torch.save.

    Raises:
        ValueError: cut off, altered, not from torch.save, or asking to run code.
    """
    try:
        wrong = _wrong_member(path)
        if wrong is None:
            return torch.load(path, map_location="cpu", weights_only=True)
        reason = f"the checksum of its member {wrong} is wrong"
    except FileNotFoundError:
        raise
    except (*DAMAGED, OSError) as error:  # torch's own reader answers a cut-off file with the last
        asked = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for {asked[1]}" if asked else "cut off, or not from torch.save"
    raise ValueError(f"{path}: refused, {reason}; expected tensors only")


def _wrong_member(path: Path) -> str | None:
    """The first member of a ZIP whose checksum is wrong; a legacy file has none."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:  # torch stores; this may be a bomb
                return member.filename
        return archive.testzip()


def _of_torch(path: Path) -> Any:
    """Content of a file of torch.save that another program has written."""
    try:
        allowed = torch.serialization.safe_globals([argparse.Namespace, *NUMPY])
        with allowed, warnings.catch_warnings(action="ignore"):
            return unpickled(path)
    except ValueError as error:
        if kind := _foreign(path):
            raise ValueError(f"{path}: {kind}; expected a state dict of PyTorch, {HOW}") from None
        raise ValueError(f"{error}; of a whole model or another program: {SAVE}") from None


def _foreign(path: Path) -> str | None:
    """What a file is that is not from torch.save, if that can be told."""
    with open(path, "rb") as file:
        begin = file.read(64)
    for offset, mark, kind in FOREIGN:
        if begin[offset:].startswith(mark):
            return kind
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).name for name in archive.namelist()}
        if "data.pkl" not in names and any(name.endswith(".npy") for name in names):
            return "arrays of numpy"
        for name, kind in MEMBERS.items():
            if name in names:
                return kind
        return None
    return SUFFIXES.get(path.suffix.lower())


def _is_safetensors(path: Path) -> bool:
    """By its name, or the length of its header, which comes first, and the header's first letter.

    torch reads one by its name too, and then raises errors of safetensors.
    """
    if path.suffix.lower() == ".safetensors":
        return True
    with open(path, "rb") as file:
        begin = file.read(9)
    length = int.from_bytes(begin[:8], "little")
    return begin[8:] == b"{" and length < path.stat().st_size


def _safetensors(path: Path) -> dict[str, Tensor]:
    if importlib.util.find_spec("safetensors") is None:
        raise ValueError(f"{path}: a safetensors file: pip install safetensors reads it")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (*DAMAGED, OSError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: damaged safetensors file ({reason}): fetch it again") from None


def _collect(
    content: Any, place: tuple[str, ...], found: dict[str, dict[str, Tensor]], met: set[int]
) -> None:
    """Add the state dicts in content to those found; each dict counts once."""
    if not isinstance(content, dict) or id(content) in met or len(place) > DEPTH:
        return
    met.add(id(content))
    named = {name: value for name, value in content.items() if isinstance(name, str)}
    state = dict[str, Tensor]()
    for name, value in named.items():
        if isinstance(value, Tensor):
            state[name] = value
    if state:
        found[".".join(place)] = state
    for name, value in named.items():
        _collect(value, (*place, name), found, met)


def _is_state_dict(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    )
