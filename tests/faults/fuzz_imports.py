"""Sources for `segmodels import` and label maps that are wrong or odd; see fuzz.py.

A source is one of the forms of tests/helpers/import_forms.py, drawn with known labels, then
changed: bytes, numbers, names, links. What is imported has to be those labels, unless the change
says otherwise of a mask's pixels; then a mask may differ, but not of an image that was left alone.
"""

import argparse
import functools
import importlib
import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from segmodels import importing
from segmodels.config.paths import Paths
from segmodels.config.schema import VOID, Dataset
from segmodels.data import images, layout, masks
from segmodels.data.sources import importer, sourced, splits
from segmodels.data.sources.formats.sample import Asked

from .fuzz import Trial
from .fuzz_samples import damaged

sys.path.append(str(Path(__file__).parents[1]))  # `python -m tests.faults.fuzz` has it not
forms = importlib.import_module("helpers.import_forms")
CLASSES, FORMS, pictures = forms.CLASSES, forms.FORMS, functools.cache(forms.pictures)

RAW = Path("data/own/raw")  # in the folder in which a trial runs: errors stay short
MOST_LINES = 6
TEXTS = {".json", ".xml", ".txt", ".yaml", ".csv"}
HOSTILE = ["-1", "1e308", "NaN", "99999999999", "null", '""', "[]", "{}", "true", "../../x", "\x00"]
HOSTILE += ["é", "0.5", "256", "65536", "1e-9", "'", "&#0;", "!!python/name:os.system", "*a"]
NUMBER = re.compile(r"-?\d+(\.\d+)?")
WORD = re.compile(r'"[^"\n]*"')


def source_of(rng: random.Random, home: Path) -> tuple[str, Path, list[str]]:
    """One of the forms; its name, its folder, and the words of the command."""
    form = rng.choice(sorted(FORMS))
    root = home / RAW
    return form, root, FORMS[form](root)


def bring(root: Path, made: Path, words: list[str]) -> Path:
    """What the command does, without what it prints."""
    parser = argparse.ArgumentParser()
    importing.add(parser)
    given = parser.parse_args([str(root), "--to", str(made), *words])
    asked = Asked(given.classes, dict(given.map or []), given.table)
    choice = splits.Choice(given.val, given.val_list, given.group, given.seed)
    try:
        importer.bring(root, made, given.format, asked, choice, skip=given.skip)
    except ValueError as error:  # of twelve images, a line each, a few are judged
        raise ValueError("\n".join(str(error).splitlines()[:MOST_LINES])) from None
    return made


def differs(made: Path, altered: set[str], may_lack: bool) -> str | None:
    """Whether an image that was left alone has other labels than were drawn."""
    lists = [layout.read_split(made, split) for split in ("train", "val")]
    listed = [image_id for members in lists for image_id in members]
    if len(set(listed)) < len(listed):
        return "an image twice in the lists"
    for one in pictures():
        if one.id in altered:
            continue
        if one.id not in listed:
            if may_lack:
                continue
            return f"{one.id} is missing"
        labels = images.read_target(layout.target_path(made, one.id))
        if labels.shape != one.labels.shape or (labels != one.labels).any():
            return f"labels of {one.id}"
        pixels = images.read_image(layout.image_path(made, one.id))
        if pixels.shape[:2] != labels.shape:
            return f"size of {one.id}"
    return None


def annotations(rng: random.Random, home: Path) -> Trial:
    """A text of a source with a value or a piece that is another; or bytes that are."""
    form, root, words = source_of(rng, home)
    texts = sorted(path for path in root.rglob("*") if path.suffix in TEXTS)
    if not texts:
        return files(rng, home)
    path = rng.choice(texts)
    text = path.read_text(encoding="utf-8-sig")
    how = rng.choice(["number", "number", "word", "lines", "bytes", "twice", "empty"])
    if how in ("number", "word"):
        places = list((NUMBER if how == "number" else WORD).finditer(text))
        if places:
            place = rng.choice(places)
            text = text[: place.start()] + rng.choice(HOSTILE) + text[place.end() :]
    elif how == "lines":
        lines = text.splitlines()
        rng.shuffle(lines)
        text = "\n".join(lines[: rng.randrange(len(lines) + 1)])
    elif how == "twice":
        text += text
    elif how == "empty":
        text = ""
    content = text.encode("utf-8", "surrogatepass")
    if how == "bytes":
        content, _ = damaged(rng, content)
    path.write_bytes(content)
    skip = ["--skip"] * (rng.random() < 0.3)
    # A changed number may be a coordinate: then one image has other labels, and that is right.
    one_alone = {one.id for one in pictures() if one.name == path.stem}
    everything = {one.id for one in pictures()}
    altered = one_alone or everything
    return Trial(
        f"{form}, {path.name}, {how}",
        lambda: bring(RAW, home / "data/own/made", [*words, *skip]),
        lambda made: differs(made, altered, may_lack=True),
        ["raw", "--map", "--classes", "class", "train:", "val:", "source"],
        lines=True,
    )


def files(rng: random.Random, home: Path) -> Trial:
    """An image or a mask of a source that is damaged, gone, another, or no file."""
    form, root, words = source_of(rng, home)
    pictured = sorted(p for p in root.rglob("*") if p.suffix.lower() in layout.SUFFIXES)
    path = rng.choice(pictured)
    how = rng.choice(["bytes", "gone", "empty", "size", "mode", "folder", "link", "other", "text"])
    if how == "bytes":
        content, _ = damaged(rng, path.read_bytes())
        path.write_bytes(content)
    elif how == "text":
        path.write_bytes(
            rng.choice([b"%!PS-Adobe-3.0 EPSF-3.0\n", b"GIF89a", b"<svg/>", b"\x00" * 99])
        )
    elif how in ("size", "mode"):
        with Image.open(path) as opened:
            kind, image = opened.format, opened.copy()
        if how == "size":
            image = image.resize((image.height + 1, image.width))
        else:
            image = image.convert(rng.choice(["L", "RGBA", "1", "CMYK", "LA", "F", "I"]))
        path.unlink()
        image.save(path.with_suffix(".tif"), rng.choice(["TIFF"] if image.mode != "L" else [kind]))
    else:
        path.unlink()
        if how == "folder":
            path.mkdir()
        elif how == "link":
            path.symlink_to(rng.choice(["/etc/passwd", path.name, "/dev/zero", "nothing"]))
        elif how == "empty":
            path.write_bytes(b"")
        elif how == "other":
            path.write_bytes(pictured[0].read_bytes() if pictured[0].exists() else b"x")
    altered = {one.id for one in pictures() if path.name.startswith(one.name)}
    skip = ["--skip"] * (rng.random() < 0.3)
    return Trial(
        f"{form}, {path.name}, {how}",
        lambda: bring(RAW, home / "data/own/made", [*words, *skip]),
        lambda made: differs(made, altered, may_lack=True),
        ["raw", "source", "--map", "train:", "val:"],
        lines=True,
    )


def label_entry(rng: random.Random, meaning: dict[int, str]) -> dict[Any, Any]:
    """`labels` as a person may write it: values of one class together, or each by itself."""
    entry: dict[Any, Any] = {}
    for name in dict.fromkeys(meaning.values()):
        members = [value for value in meaning if meaning[value] == name]
        if rng.random() < 0.7:
            entry[rng.choice([", ", ",", " , "]).join(map(str, members))] = name
        else:
            entry |= {rng.choice([value, str(value)]): name for value in members}
    return entry


def label_map(rng: random.Random, home: Path) -> Trial:
    """`labels` of a data set, right or wrong, and a mask that it translates."""
    classes = rng.sample(["a", "b", "c", "d e", "日"], rng.randrange(2, 5))
    values = rng.sample(range(rng.choice([12, 256, 65536])), rng.randrange(2, 9))
    meaning = {value: rng.choice([*classes, VOID]) for value in values}
    entry = label_entry(rng, meaning)
    how = rng.choice(
        ["right", "right", "right", "twice", "unknown", "key", "class", "text", "nested"]
    )
    if how == "twice":
        entry[f"{rng.choice(values)}, 77777"] = classes[0]
    elif how == "key":
        entry[rng.choice(["", ",", "1;2", "x", -1, 70000, 1.5, True, None, "0x1", "１"])] = classes[
            0
        ]
    elif how == "class":
        entry[rng.choice(list(entry))] = rng.choice(["unicorn", 3, None, ["a"], {}])
    stored = np.array(rng.choices(values, k=99), np.uint16).reshape(9, 11)
    if how == "unknown":
        stored[0, 0] = next(v for v in range(65536) if v not in meaning)
    labels: Any = (
        entry if how not in ("text", "nested") else rng.choice(["all", [entry], {"a": entry}])
    )
    path = home / "mask.png"
    small = stored.max() < 256
    Image.fromarray(stored.astype(np.uint8) if small else stored).save(path)

    def attempt() -> np.ndarray:
        text = yaml.safe_dump({"classes": classes, "labels": labels}, allow_unicode=True)
        data = Dataset.model_validate(yaml.safe_load(text))
        return masks.read(path, data)

    def complaint(found: np.ndarray) -> str | None:
        if how != "right":
            return "was used"
        names = [[meaning[value] for value in row] for row in stored.tolist()]
        table = {name: label for label, name in enumerate(classes)} | {VOID: 255}
        expected = np.array([[table[name] for name in row] for row in names])
        return None if (found == expected).all() else f"{labels}: other labels"

    return Trial(how, attempt, complaint, ["labels", "mask.png"], lines=True)


def group_map(rng: random.Random, home: Path) -> Trial:
    """`labels: groups`; the witness merges by a loop."""
    classes = ["a", "b", "c", "d", "e"]
    groups: dict[Any, Any] = {}
    how = rng.choice(["right", "right", "twice", "unknown", "name", "no list"])
    free = rng.sample(classes, rng.randrange(2, 6))
    for k, name in enumerate(free):
        groups.setdefault(f"g{k % 2}", []).append(name)
    if how == "twice":
        groups["more"] = [free[0]]
    elif how == "unknown":
        groups["more"] = [rng.choice(["f", "void", "", 3])]
    elif how == "name":
        groups[rng.choice([VOID, 3, None])] = [name for name in classes if name not in free]
    elif how == "no list":
        groups["more"] = rng.choice(["a", None, {"a": 1}, 3])
    stored = np.array(rng.choices([0, 1, 2, 3, 4, 255], k=99), np.uint8).reshape(9, 11)
    path = home / "mask.png"
    images.write_target(path, stored, images.palette())

    def attempt() -> tuple[Dataset, np.ndarray]:
        data = Dataset.model_validate({"classes": classes, "groups": groups, "labels": "groups"})
        return data, masks.read(path, data)

    def complaint(made: tuple[Dataset, np.ndarray]) -> str | None:
        if how != "right":
            return "was used"
        data, found = made
        for value, label in zip(stored.ravel().tolist(), found.ravel().tolist(), strict=True):
            if value == 255 or label == 255:
                if value != label:
                    return "void"
                continue
            name = classes[value]
            group = next((g for g, members in groups.items() if name in members), name)
            if data.classes[label] != group:
                return f"{name} became {data.classes[label]}"
        return None

    return Trial(how, attempt, complaint, ["groups", "class"], lines=True)


def sections(rng: random.Random, home: Path) -> Trial:
    """`source` of a data set with keys and values that cannot be, or can."""
    FORMS["pairs"](home / "data/own/raw")
    source: dict[str, Any] = {"path": "data/own/raw"}
    odd: list[Any] = [
        None,
        "",
        "x",
        "../x",
        "/etc",
        -1,
        0,
        0.5,
        1,
        2**70,
        True,
        [],
        {},
        "(",
        "\x00",
    ]
    for _ in range(rng.randrange(1, 4)):
        key = rng.choice(
            ["path", "format", "map", "table", "images", "masks", "mask_suffix", "crowd", "val"]
            + ["val_list", "group", "seed", "skip", "strange"]
        )
        source[key] = rng.choice(odd)
    json.dumps(source)

    def attempt() -> Path:
        data = Dataset.model_validate({"classes": CLASSES, "source": source})
        sourced.bring(data, Paths(dataset="roads"), home / "made/VOC2012")
        return home / "made/VOC2012"

    return Trial(
        str(source)[:200],
        attempt,
        lambda made: differs(made, set(), may_lack=False),
        ["source", "raw", "train:", "val:", "--group", "data/own"],
        lines=True,
    )


TARGETS: dict[str, tuple[Callable[[random.Random, Path], Trial], int]] = {
    "import annotations": (annotations, 8),
    "import files": (files, 6),
    "label map": (label_map, 4),
    "label groups": (group_map, 2),
    "source": (sections, 3),
}
