"""Weights that are one file: a model, and all that is needed to run it and to judge it.

The file is a safetensors file (huggingface.co/docs/safetensors): 8 bytes, the length of a JSON
header, then tensors. Tensors are float16 and get float32 when they are loaded. The header's
metadata has one text under "segmodels", a JSON object with the fields of `Card`. The same model
gives the same bytes: names are sorted, and nothing is written that is not of the model.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmodels.core.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor  # slow to import, and a card needs none

FOLDER = Path(__file__).parents[1] / "weights"  # of the files that come along
SUFFIX = ".safetensors"
KEY = "segmodels"  # of the header's metadata
LONGEST = 1 << 24  # bytes of a header that is read
DEFAULT = "animals"  # the model that is used where none is named
TEXTS = ("name", "summary", "arch")  # fields of a card by their type
LISTS = ("classes", "scored", "palette")
TABLES = ("normalize", "arguments", "predict", "training", "scores", "licences", "source")


@dataclass(frozen=True)
class Card:
    """What a file of weights says of its model.

    Attributes:
        name: of the model.
        summary: one sentence for people.
        classes: name of each label.
        scored: the classes that were measured; of the others nothing is known.
        palette: [red, green, blue] of each class.
        normalize: mean and std of RGB in 0..1.
        arch, arguments: of `models.build`.
        predict: long_side, scales and the rest of `config.schema.Predict`, as it was scored.
        training: data set, number of images and recipe.
        scores: of the validation images, fractions 0..1, with the limits of a 95% interval.
        licences: of the weights, the encoder, and the photographs.
        source: study, run, and the SHA-256 of the run's weights.
    """

    name: str
    summary: str
    classes: list[str]
    scored: list[str]
    palette: list[list[int]]
    normalize: dict[str, Any]
    arch: str
    arguments: dict[str, Any]
    predict: dict[str, Any]
    training: dict[str, Any]
    scores: dict[str, Any]
    licences: dict[str, str]
    source: dict[str, str]

    def __post_init__(self) -> None:
        for name in TEXTS:
            self._check(name, str)
        for name in LISTS:
            self._check(name, list)
        for name in TABLES:
            self._check(name, dict)
        if not 2 <= len(self.classes) <= 255 or len(self.palette) != len(self.classes):
            raise ValueError(
                f"{len(self.classes)} classes and {len(self.palette)} colours, expected 2 to 255 "
                "and as many"
            )
        if not all(isinstance(name, str) for name in self.classes):
            raise ValueError("classes are no texts")
        for colour in self.palette:
            whole = isinstance(colour, list) and all(value in range(256) for value in colour)
            if not whole or len(colour) != 3:
                raise ValueError(f"palette has {colour!r:.60}, expected [red, green, blue]")

    def _check(self, name: str, kind: type) -> None:
        value = getattr(self, name)
        if not isinstance(value, kind):
            raise ValueError(f"{name} is {value!r:.60}, expected {kind.__name__}")


def names() -> list[str]:
    """The models that come along."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def find(name: str) -> Path | None:
    """The file of a model that comes along, or of a path that ends in .safetensors."""
    if name.endswith(SUFFIX):
        return Path(name)
    path = FOLDER / f"{name}{SUFFIX}"
    return path if "/" not in name and path.is_file() else None


def read_card(path: Path) -> Card:
    """The card in a file of weights, without its tensors.

    Raises:
        ValueError: missing, no safetensors file, or without a card that is whole.
    """
    if not path.is_file():
        known = ", ".join(names()) or "none"
        raise ValueError(f"{path}: there is no file; models that come along: {known}")
    with open(path, "rb") as file:
        begin = file.read(8)
        length = int.from_bytes(begin, "little")
        header = file.read(length) if length <= LONGEST else b""
    try:
        text = json.loads(header)["__metadata__"][KEY]
        values = json.loads(text)
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{path}: no card of segmodels in it; `python -m tools.pack_weights` makes such files"
        ) from None
    return _card(path, values)


def _card(path: Path, values: Any) -> Card:
    known = {*TEXTS, *LISTS, *TABLES}
    if not isinstance(values, dict) or set(values) != known:
        raise ValueError(f"{path}: its card has other fields than {', '.join(sorted(known))}")
    try:
        return Card(**values)
    except ValueError as error:
        raise ValueError(f"{path}: its card: {error}") from None


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """name -> float32 tensor on the CPU.

    Raises:
        ValueError: damaged, or with values that are not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        given = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: damaged ({reason}): fetch it again") from None
    tensors = {name: tensor.float() for name, tensor in given.items()}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: {name}: has values that are not finite")
    return tensors


def write(path: Path, card: Card, state: "Mapping[str, Tensor]") -> None:
    """Write a model's weights in float16, with its card.

    Args:
        state: a state dict; batch counters are left out.
    Raises:
        ValueError: a value is too large for float16.
    """
    arrays = dict[str, np.ndarray]()
    for name in sorted(state):
        if not name.endswith(".num_batches_tracked"):
            with np.errstate(over="ignore"):
                arrays[name] = state[name].cpu().numpy().astype("<f2")
            if not np.isfinite(arrays[name]).all():
                raise ValueError(f"{name}: has values beyond those of float16")
    text = json.dumps(asdict(card), sort_keys=True, ensure_ascii=False, allow_nan=False)
    header: dict[str, Any] = {"__metadata__": {"format": "pt", KEY: text}}
    end = 0
    for name, array in arrays.items():
        offsets = [end, end + array.nbytes]
        header[name] = {"dtype": "F16", "shape": list(array.shape), "data_offsets": offsets}
        end += array.nbytes
    begin = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    begin += b" " * (-len(begin) % 8)
    content = [struct.pack("<Q", len(begin)), begin]
    content += [array.tobytes() for array in arrays.values()]
    write_bytes(path, b"".join(content))
