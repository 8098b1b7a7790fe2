"""Wrong pictures and masks; see fuzz.py."""

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image, ImageOps

from segmodels.data import images
from segmodels.evaluation import score_masks
from segmodels.inference import photos

from .fuzz import Trial
from .fuzz_samples import (
    HEIGHT,
    IDS,
    JPEGS,
    VOID,
    WIDTH,
    damaged,
    encoded,
    labels,
    mask_bytes,
    picture,
    tree,
)


def jpeg(rng: random.Random, home: Path) -> Trial:
    """A damaged photograph of a data set; torchvision's own decoder is the witness."""
    content, what = damaged(rng, rng.choice(JPEGS))
    others = ["PNG", "GIF", "BMP", "TIFF", "WEBP", "EPS"]
    if rng.random() < 0.25:
        what = rng.choice(others)
        content = encoded(Image.fromarray(picture(0)), what)
    elif rng.random() < 0.1:
        sizes = struct.pack(">HH", *rng.choice([(65535, 65535), (0, 0), (1, 60000), (60000, 0)]))
        at = rng.choice(JPEGS).index(b"\xff\xc0") + 5
        what, content = "size", JPEGS[0][:at] + sizes + JPEGS[0][at + 4 :]
    path = home / "a.jpg"
    path.write_bytes(content)

    def complaint(image: np.ndarray) -> str | None:
        data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        try:
            decode = torchvision.io.decode_jpeg
            expected = decode(data, mode=torchvision.io.ImageReadMode.RGB)
        except RuntimeError:  # stricter, e.g. with unknown markers: then Pillow's own decoder
            expected = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)
        if tuple(expected.shape[1:]) != image.shape[:2]:
            return f"{image.shape}, expected {tuple(expected.shape)}"
        apart = np.abs(expected.permute(1, 2, 0).numpy().astype(int) - image).max()
        return f"{apart} apart from the witness" if apart > 4 else None

    return Trial(what, lambda: images.read_image(path), complaint, ["a.jpg"])


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """With the checksums that belong to the chunks."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in chunks:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        parts.append(struct.pack(">I", len(data)) + kind + data + checksum)
    return b"".join(parts)


def wrong_mask(rng: random.Random, values: np.ndarray) -> tuple[bytes, str, np.ndarray | None]:
    """Content of a file, how it was made, and the labels that it holds (None: none that count)."""
    what = rng.choice(
        ["damage", "damage", "damage", "mode", "size", "labels", "chunk", "header", "grey", "void"]
    )
    if what == "damage":
        content, how = damaged(rng, mask_bytes(values))
        return content, how, values  # used only if nothing of it was hit
    if what == "mode":
        mode = rng.choice(["RGB", "RGBA", "1", "LA", "I;16", "L4"])
        image = Image.fromarray(values)
        kind = rng.choice(["PNG", "TIFF", "BMP", "GIF"])
        if mode == "L4" or kind != "PNG":
            small = Image.fromarray(values % 4)
            return encoded(small, kind, **({"bits": 4} if kind == "PNG" else {})), kind, None
        return encoded(image.convert(mode), "PNG"), mode, None
    if what == "size":
        height, width = rng.choice([(WIDTH, HEIGHT), (HEIGHT, WIDTH + 1), (1, 1), (HEIGHT * 2, 9)])
        return mask_bytes(np.resize(values, (height, width))), what, None
    if what == "labels":
        bad = values.copy()
        bad[values == 0] = rng.choice([3, 21, 100, 254, 255])
        return mask_bytes(bad), what, None
    if what == "chunk":
        chunks = _chunks(mask_bytes(values))
        kind = rng.choice([b"gAMA", b"zTXt", b"iCCP", b"tEXt", b"tRNS", b"acTL", b"fcTL", b"eXIf"])
        data = rng.randbytes(rng.choice([0, 1, 3, 30]))
        chunks.insert(rng.randrange(1, len(chunks)), (kind, data))
        return _png(chunks), f"{kind.decode()} {len(data)}", values
    if what == "header":
        chunks = _chunks(mask_bytes(values))
        sizes = rng.choice([(1 << 31, 1), (30_000, 30_000), (0, 0), (9_000, 9_900), (1 << 20, 2)])
        chunks[0] = (b"IHDR", struct.pack(">II", *sizes) + chunks[0][1][8:])
        return _png(chunks), f"says {sizes}", None
    if what == "grey":
        return mask_bytes(values, "L"), what, values
    return mask_bytes(np.full_like(values, 1)), what, np.full_like(values, 1)


def mask(rng: random.Random, home: Path) -> Trial:
    """A prediction that `segmodels evaluate` is given; the witness counts pixel by pixel."""
    root, masks = tree(home / "voc"), home / "masks"
    masks.mkdir()
    given = {i: np.where(labels(k) == VOID, 0, labels(k)) for k, i in enumerate(IDS)}
    for image_id, values in given.items():
        (masks / f"{image_id}.png").write_bytes(mask_bytes(values))
    content, what, values = wrong_mask(rng, given["b"])
    path = masks / "b.png"
    path.write_bytes(content)
    if rng.random() < 0.1:
        path.unlink()
        what, values = rng.choice(["pipe", "folder", "link", "device"]), None
        {"pipe": os.mkfifo, "folder": os.mkdir}.get(
            what, lambda p: os.symlink({"link": p, "device": "/dev/zero"}[what], p)
        )(path)

    def complaint(counts: score_masks.Counts) -> str | None:
        scored = [i for i in IDS if i in counts.image_ids]
        if "b" not in scored and (len(counts.problems) != 1 or "b.png" not in counts.problems[0]):
            return f"problems {counts.problems}"
        if "b" in scored and values is None:
            return "scored what is no mask of this picture"
        if set(scored) - {"b"} != {"a", "c"}:
            return f"only {scored} of the good ones"
        expected = np.zeros((3, 3), np.int64)
        for k, i in enumerate(IDS):
            if i in scored:
                answer = values if i == "b" else given[i]
                counted = labels(k) != VOID
                np.add.at(expected, (labels(k)[counted], answer[counted]), 1)
        same = np.array_equal(expected, counts.confusion)
        return None if same else f"counts {counts.confusion.tolist()}"

    def attempt() -> score_masks.Counts:
        return score_masks.per_image(masks, root, IDS, num_classes=3, ignore_index=VOID)

    return Trial(what, attempt, complaint, ["b.png"])


def photo(rng: random.Random, home: Path) -> Trial:
    """A photograph that `segmodels predict` is given; Pillow without our conversions is a witness
    for what is plain RGB."""
    kind = rng.choice(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "EPS", "PPM", "ICO"])
    mode = rng.choice(["RGB", "RGB", "L", "P"]) if kind in ("PNG", "TIFF") else "RGB"
    image = Image.fromarray(picture(rng.randrange(9))).convert(mode)
    options = {"compression": rng.choice(["raw", "tiff_lzw", "jpeg"])} if kind == "TIFF" else {}
    if kind == "JPEG":
        exif = Image.Exif()
        exif[274] = rng.randrange(0, 12)
        options = {"exif": exif}
    if mode == "P" or options.get("compression") == "jpeg" and mode != "RGB":
        options = {}
    content, what = damaged(rng, encoded(image, kind, **options))
    path = home / "photo.jpg"
    path.write_bytes(content)

    def complaint(array: np.ndarray) -> str | None:
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            return f"{array.dtype} {array.shape}"
        with Image.open(io.BytesIO(content)) as again:
            if again.mode != "RGB" or again.has_transparency_data:
                return None
            expected = np.asarray(ImageOps.exif_transpose(again))
        return None if np.array_equal(array, expected) else "other pixels"

    return Trial(f"{kind} {what}", lambda: photos.read(path), complaint, ["photo.jpg"])


TARGETS = {"jpeg": (jpeg, 3), "mask": (mask, 5), "photo": (photo, 3)}
