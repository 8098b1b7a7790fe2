"""Good files, and what makes them wrong; see fuzz.py."""

import io
import random
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from segmodels.data import images, layout

torch.set_num_threads(1)  # a process that forks may have no others
CLASSES, VOID = ["background", "cat", "dog"], 255
HEIGHT, WIDTH = 24, 32
IDS = ["a", "b", "c"]
STRANGE_IDS = ["../c", "/etc/hostname", "c/../c", "c\\d", ".", "..", "c\0", "nobody", "c" * 300]


def picture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize((WIDTH, HEIGHT)))


def labels(seed: int) -> np.ndarray:
    small = np.random.default_rng(seed).choice([0, 0, 1, 2, VOID], (HEIGHT // 4, WIDTH // 4))
    return np.kron(small, np.ones((4, 4))).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def mask_bytes(values: np.ndarray, mode: str = "P") -> bytes:
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette(images.palette().tobytes())
    return encoded(image, "PNG")


JPEGS = [encoded(Image.fromarray(picture(k)), "JPEG", quality=90) for k in range(3)]
MASKS = [mask_bytes(labels(k)) for k in range(3)]


def tree(root: Path) -> Path:
    """A good VOC tree of three pictures, two to train."""
    for k, image_id in enumerate(IDS):
        for path, content in (
            (layout.image_path(root, image_id), JPEGS[k]),
            (layout.target_path(root, image_id), MASKS[k]),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for split, ids in (("train", "a\nb\n"), ("val", "c\n")):
        layout.split_path(root, split).parent.mkdir(parents=True, exist_ok=True)
        layout.split_path(root, split).write_text(ids)
    return root


def damaged(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A few bits, bytes or ranges of a file changed."""
    data, at = bytearray(content), rng.randrange(max(1, len(content)))
    length = rng.choice([1, 4, 16, 200])
    what = rng.choice(
        ["bits", "bits", "bytes", "cut", "zeros", "insert", "delete", "again", "tail"]
    )
    if what == "bits":
        for _ in range(rng.choice([1, 1, 3])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif what == "bytes":
        data[at : at + length] = rng.randbytes(len(data[at : at + length]))
    elif what == "cut":
        del data[at:]
    elif what == "zeros":
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif what == "insert":
        data[at:at] = rng.randbytes(length)
    elif what == "delete":
        del data[at : at + length]
    elif what == "again":
        data[at:at] = data[at : at + length]
    else:
        data += rng.randbytes(length)
    return bytes(data), f"{what} at {at}"


VALUES = "0 -1 1 2 1e9 1e400 -0.0 .nan .inf nan inf null true false yes 010 1:30 1_0 0x1F 1e-3"
VALUES = [
    *VALUES.split(),
    "''",
    "[]",
    "{}",
    "[1, 2]",
    "'a b'",
    "9" * 30,
    "9" * 5000,
    "0." + "9" * 99,
]
NUMBER = re.compile(r"(?<![\w.'])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.])")


def swapped(rng: random.Random, text: str) -> tuple[str, str]:
    """One number of a text replaced, or its lines or bytes changed."""
    what = rng.choice(["number", "number", "number", "line", "twice", "bytes"])
    lines = text.splitlines(keepends=True)
    k = rng.randrange(len(lines))
    if what == "number" and (found := list(NUMBER.finditer(text))):
        one, value = rng.choice(found), rng.choice(VALUES)
        return text[: one.start()] + value + text[one.end() :], f"{one[0]} -> {value[:20]}"
    if what == "line":
        return "".join(lines[:k] + lines[k + 1 :]), f"without {lines[k][:40]!r}"
    if what == "twice":
        return "".join([*lines[: k + 1], lines[k], *lines[k + 1 :]]), f"twice {lines[k][:40]!r}"
    content, what = damaged(rng, text.encode())
    return content.decode("utf-8", "surrogateescape"), what


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
