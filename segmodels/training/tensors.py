"""Files of torch.save, which may come from anyone: tensors and plain values, or one line.

A file that asks to run code is refused, and so is one whose checksums are wrong: torch itself
compares none, so that a changed bit would be another weight.
"""

import argparse
import pickle
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

NUMBERS = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64}
WRAPPERS = ("model", "state_dict")  # keys under which training scripts store the state dict
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
        if not _is_plain(tensor):
            raise ValueError(f"{path}: {name}: expected plain numbers, found another tensor")
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: {name}: has values that are not finite")
    return content


def unpickled(path: Path, *, checksums: bool = True, mmap: bool = False) -> Any:
    """The tensors and plain values of a file of torch.save.

    Args:
        checksums: whether to compare those of the ZIP format.
        mmap: whether the tensors stay in the file.
    Raises:
        ValueError: cut off, altered, not from torch.save, or asking to run code.
    """
    try:
        wrong = _wrong_member(path) if checksums else None
        if wrong is None:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
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


def _is_plain(tensor: Tensor) -> bool:
    """Whether it is dense real numbers on the CPU, all of which are in the file."""
    return (
        (tensor.layout, tensor.device.type) == (torch.strided, "cpu")
        and tensor.dtype in NUMBERS
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )


def _is_state_dict(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    )
