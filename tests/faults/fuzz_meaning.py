"""Own data whose labels, colours, turns, names and lists mean something else; see fuzz.py.

Each case draws labels first and stores them in some form; the labels that were drawn are the
witness. Whatever the product takes has to be those labels on the image that was drawn with them.
"""

import random
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from segmodels import models
from segmodels.config.schema import VOID, Dataset
from segmodels.data import images, index, layout
from segmodels.data.sources import tidy
from segmodels.evaluation import score_masks, submitted
from segmodels.models import pretrained

from .fuzz import Trial

CLASSES = ["a", "b", "c"]
SIZE = (20, 26)
TRAIN, VAL = ["i0", "i1", "i2"], ["i3", "i4"]
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.swapaxes(a[::-1, ::-1], 0, 1),
    8: lambda a: np.rot90(a, -1),
}  # how a viewer's image is stored under each EXIF orientation


def drawn(rng: random.Random) -> np.ndarray:
    """Labels of an image; all classes occur, some pixels are void."""
    seed = np.random.default_rng(rng.randrange(1 << 30))
    result = seed.integers(0, 3, (5, 5)).astype(np.uint8).repeat(4, 0).repeat(6, 1)[:, :26]
    result = np.pad(result, ((0, 0), (0, 26 - result.shape[1])))
    result[:2, :6] = [[0, 0, 1, 1, 2, 2]] * 2
    if rng.random() < 0.5:
        result[-2:] = 255
    return result


def image_of(labels: np.ndarray) -> np.ndarray:
    """An image of which the labels can be read: dark, middle, bright, void as background."""
    levels = np.array([30, 120, 220] + [30] * 253, np.uint8)
    return np.repeat(levels[labels][..., None], 3, 2)


def labels_of(image: np.ndarray) -> np.ndarray:
    return np.digitize(image.mean(-1), [75, 170])


def tree(rng: random.Random, home: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A tree of five images as it should be, and its labels."""
    root = home / "own"
    truth = {image_id: drawn(rng) for image_id in TRAIN + VAL}
    for image_id, labels in truth.items():
        path = layout.image_path(root, image_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image_of(labels)).save(path, quality=95)
        images.write_target(layout.target_path(root, image_id), labels, images.palette())
    for split, ids in (("train", TRAIN), ("val", VAL)):
        path = layout.split_path(root, split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{i}\n" for i in ids))
    return root, truth


def taken(root: Path, data: Dataset) -> Path:
    """What the stages download and index do with a tree."""
    tidy.tidy(root, data)
    table, _ = index.build(root, data)
    tidy.refuse(index.meaning_problems(table, data, "own"), root)
    return root


def differs(root: Path, truth: dict[str, np.ndarray]) -> str | None:
    """Whether training would see other labels than were drawn, or other images with them."""
    for image_id, labels in truth.items():
        found = images.read_target(layout.target_path(root, image_id))
        if found.shape != labels.shape or (found != labels).any():
            return f"labels of {image_id}"
        image = images.read_image(layout.image_path(root, image_id))
        counted = labels != 255
        if image.shape[:2] != labels.shape:
            return f"size of {image_id}"
        if (labels_of(image) == labels)[counted].mean() < 0.9:
            return f"image of {image_id}"
    return None


def meaning(rng: random.Random, home: Path) -> Trial:
    """Masks whose values or colours stand for the labels in another way."""
    root, truth = tree(rng, home)
    values = np.arange(256)
    keys: dict[str, Any] = {}
    how = rng.choice(["plain", "shifted", "void for one", "gaps", "colours", "palette", "swapped"])
    colours = images.palette().copy()
    if how == "shifted":  # 0 stands for nothing
        values[[0, 1, 2]] = [1, 2, 3]
        values[255] = 0
    elif how == "void for one":
        values[2] = 255
    elif how == "gaps":
        values[[0, 1, 2]] = rng.sample(range(3, 250), 3)
    elif how in ("colours", "swapped"):
        colours[:3] = np.random.default_rng(rng.randrange(99)).choice(200, (3, 3), replace=False)
    told = rng.random() < 0.6
    if told and how in ("shifted", "gaps"):
        keys["labels"] = {int(values[k]): CLASSES[k] for k in range(3)} | {int(values[255]): VOID}
    if told and how in ("colours", "swapped"):
        keys["palette"] = [(*map(int, colour),) for colour in colours[:3]]
        keys["masks"] = rng.choice(["auto", "colour"])
    only = [*truth]
    if how == "palette" or (how == "swapped" and not told):  # of all, it would be what is meant
        only = rng.choice([["i1"], ["i3"], ["i0", "i4"]])
    for image_id in only:
        path = layout.target_path(root, image_id)
        _store(rng, path, values[truth[image_id]].astype(np.uint8), how, colours)
    data = Dataset(classes=CLASSES, **keys)
    return Trial(
        f"{how}, told: {told}",
        lambda: taken(root, data),
        lambda made: differs(made, truth),
        ["SegmentationClass", "no pixel", "void", "`labels`"],
        lines=True,
    )


def _store(
    rng: random.Random, path: Path, values: np.ndarray, how: str, colours: np.ndarray
) -> None:
    """Save values in a mode that keeps them."""
    if how == "colours":
        Image.fromarray(colours[values]).convert(rng.choice(["RGB", "RGBA"])).save(path)
    elif how == "swapped":  # right colours, sorted values
        order = np.array([2, 0, 1, *range(3, 256)])
        image = Image.fromarray(np.argsort(order)[values].astype(np.uint8))
        image.putpalette(colours[order].astype(np.uint8).tobytes())
        image.save(path)
    elif how == "palette":  # right values, other colours
        image = Image.fromarray(values)
        image.putpalette(np.random.default_rng(rng.randrange(99)).bytes(768))
        image.save(path)
    else:
        mode = rng.choice(["L", "RGB", "I;16", "LA", "P"])
        if mode == "I;16":
            Image.fromarray(values.astype(np.uint16)).save(path)
        elif mode == "P":
            images.write_target(path, values, images.palette())
        else:
            Image.fromarray(values).convert(mode).save(path)


def turned(rng: random.Random, home: Path) -> Trial:
    """Images stored turned, with EXIF that says so; masks drawn on what a viewer shows or not."""
    root, truth = tree(rng, home)
    orientation = rng.randrange(1, 9)
    fits_stored = orientation >= 5 and rng.random() < 0.4
    for image_id in rng.choice([[*truth], ["i0"], ["i4", "i2"]]):
        image = image_of(truth[image_id])
        stored = image if fits_stored else TURNS[orientation](image)
        exif = Image.Exif()
        exif[0x0112] = (
            rng.choice([orientation, orientation, 0, 9]) if orientation == 1 else orientation
        )
        kind, suffix = rng.choice([("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp")])
        layout.image_path(root, image_id).unlink()
        path = root / f"JPEGImages/{image_id}{suffix}"
        Image.fromarray(np.ascontiguousarray(stored)).save(path, kind, exif=exif, quality=95)
    data = Dataset(classes=CLASSES)
    return Trial(
        f"orientation {orientation}, fits as stored: {fits_stored}",
        lambda: taken(root, data),
        lambda made: differs(made, truth),
        ["JPEGImages", "SegmentationClass"],
        lines=True,
    )


def named(rng: random.Random, home: Path) -> Trial:
    """Files and lists that spell an image's name in another way."""
    root, truth = tree(rng, home)
    base = rng.choice(["straße", "日本 1", "a.b", "x.jpg", "É", "n-1", "o'k", "#1", "00012"])
    image_id = unicodedata.normalize("NFC", base)
    truth[image_id] = truth.pop("i1")
    spelt = unicodedata.normalize(rng.choice(["NFC", "NFD"]), base)
    suffix = rng.choice(
        [".jpg", ".JPG", ".jpeg", ".JPEG", ".jpe", ".png", ".PNG", ".heic", ".JFIF"]
    )
    layout.image_path(root, "i1").unlink()
    kind = "PNG" if suffix.lower() == ".png" else "JPEG"
    Image.fromarray(image_of(truth[image_id])).save(
        root / f"JPEGImages/{spelt}{suffix}", kind, quality=95
    )
    mask = rng.choice([".png", ".PNG", ".tif", ".bmp"])
    labels = images.read_target(layout.target_path(root, "i1"))
    layout.target_path(root, "i1").unlink()
    Image.fromarray(labels).save(root / f"SegmentationClass/{spelt}{mask}", _kind(mask))
    line = unicodedata.normalize(rng.choice(["NFC", "NFD"]), base)
    line = rng.choice(["{}"] * 4 + ["{}.jpg", "{} 1", "JPEGImages/{}.jpg", "{}\t0", "./{}"]).format(
        line
    )
    lines = ["i0", line, "i2"]
    encoding = rng.choice(["utf-8"] * 5 + ["utf-8-sig", "utf-16", "latin-1"])
    content = rng.choice(["\n", "\r\n"]).join(lines).encode(encoding, "replace")
    layout.split_path(root, "train").write_bytes(content)

    def complaint(made: Path) -> str | None:
        table, _ = index.build(made, Dataset(classes=CLASSES))
        if set(table["image_id"]) != set(truth):
            return f"other images: {sorted(table['image_id'])}"
        return differs(made, truth)

    names = ["ImageSets", "JPEGImages", "SegmentationClass"]
    data = Dataset(classes=CLASSES)
    return Trial(f"{spelt}{suffix}, {line!r}", lambda: taken(root, data), complaint, names, True)


def _kind(suffix: str) -> str:
    return {".png": "PNG", ".tif": "TIFF", ".bmp": "BMP"}[suffix.lower()]


def _answer(path: Path, labels: np.ndarray, how: str) -> None:
    """Save a prediction as another program would."""
    stored = labels + (how == "beyond")
    image = Image.fromarray(stored.astype(np.uint8))
    if how == "sorted":
        order = np.array([1, 2, 0, *range(3, 256)])
        image = Image.fromarray(np.argsort(order)[labels].astype(np.uint8))
        image.putpalette(images.palette()[order].tobytes())
    elif how == "colours":
        image = Image.fromarray(images.palette()[labels])
    elif how == "16 bits":
        image = Image.fromarray(labels.astype(np.uint16))
    image.save(path, _kind(path.suffix))


def submission(rng: random.Random, home: Path) -> Trial:
    """Predictions of another program through the work of `segmodels evaluate`."""
    root, truth = tree(rng, home)
    data = Dataset(classes=CLASSES)
    answers = home / "masks"
    answers.mkdir()
    name = rng.choice(["{}.png", "{}.PNG", "{}_unet_mask.png", "{}.tif", "{}_mask_of_it.png"])
    how = rng.choice(["plain", "sorted", "sorted", "void", "colours", "16 bits", "beyond"])
    read, undecided = rng.choice([None, "index", "colour"]), rng.choice([None, "ignore", "wrong"])
    predicted = {}
    for image_id in VAL:
        labels = np.roll(np.where(truth[image_id] == 255, 0, truth[image_id]), rng.randrange(5), 1)
        if how == "void":
            labels[:3] = 255
        predicted[image_id] = labels
        _answer(answers / name.format(image_id), labels, how)

    def attempt() -> score_masks.Counts:
        files = submitted.Folder(answers, root)
        counts = score_masks.per_image(
            answers,
            root,
            VAL,
            num_classes=3,
            ignore_index=255,
            read=submitted.Reader(data, read, files),
            undecided=undecided,
        )
        counts.check_complete()
        return counts

    def complaint(counts: score_masks.Counts) -> str | None:
        if how == "sorted" and read == "index":
            return None  # as it was asked for
        true = np.concatenate([truth[i].ravel() for i in VAL])
        found = np.concatenate([predicted[i].ravel() for i in VAL])
        open_ = found == 255
        kept = (true != 255) & ~(open_ & (undecided == "ignore"))
        right = [((true == c) & (found == c) & kept).sum() for c in range(3)]
        totals = [((true == c) & kept).sum() for c in range(3)]
        guessed = [((found == c) & kept).sum() for c in range(3)]
        expected = np.array([right, totals, guessed])
        return None if (counts.overlap.sum(0) == expected).all() else f"{counts.overlap.sum(0)}"

    what = f"{how}, {name}, {read}, {undecided}"
    return Trial(what, attempt, complaint, ["masks/", "cannot be scored"], lines=True)


STATE = models.build("unet", num_classes=3, width=2).state_dict()


def start_file(rng: random.Random, home: Path) -> Trial:
    """A start whose names are wrapped or another program's; the saved values are the witness."""
    wrappers = ["", "module.", "model.", "net.", "_orig_mod.", "x1."]
    prefix = rng.choice(wrappers) + rng.choice(wrappers)
    state = {prefix + name: tensor for name, tensor in STATE.items()}
    how = rng.choice(["whole", "whole", "some", "other shape", "mixed", "other names", "no floats"])
    if how == "some":
        state = dict(rng.sample(sorted(state.items()), len(state) // 2))
    elif how == "other shape":
        name = rng.choice([n for n in state if state[n].ndim == 4])
        state[name] = state[name][:, :1].repeat(1, 1, 3, 1)
    elif how == "mixed":
        name = rng.choice(sorted(state))
        state["backbone." + name] = state.pop(name)
    elif how == "other names":
        state = {f"layers.{k}": tensor for k, tensor in enumerate(state.values())}
    elif how == "no floats":
        state["mask"] = torch.ones(2, dtype=torch.bool)
    key = rng.choice([None, "state_dict", "model_state", "model_state_dict", "net", "ema"])
    path = home / "start.pth"
    torch.save({key: state, "epoch": 3} if key else state, path)
    torch.manual_seed(1)
    model = models.build("unet", num_classes=3, width=2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def attempt() -> dict[str, Any]:
        return pretrained.start(model, arch="unet", arguments={"width": 2}, init=str(path))

    def complaint(coverage: dict[str, Any]) -> str | None:
        loaded = set(coverage["loaded"])
        for name, tensor in model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            if name in loaded and not torch.equal(tensor, STATE[name]):
                return f"{name} has other values than the file"
            if name not in loaded and not torch.equal(tensor, before[name]):
                return f"{name} changed and is not named"
        return None

    return Trial(f"{prefix} {how} {key}", attempt, complaint, ["start.pth"])


TARGETS = {
    "meaning": (meaning, 8),
    "turned": (turned, 5),
    "named": (named, 5),
    "submission": (submission, 8),
    "start": (start_file, 5),
}
