"""Wrong params.yaml, reports, tables, weights and checkpoints; see fuzz.py."""

import csv
import io
import json
import math
import random
import re
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from segmodels import models, params
from segmodels.data import voc
from segmodels.reporting import checks, page, tables
from segmodels.training import tensors, weights
from segmodels.training.checkpoint import Checkpoints, save_weights

from .fuzz import Trial, must_be_refused
from .fuzz_files import CLASSES, damaged

ROOT = Path(__file__).parents[2]
PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")
REPORT = ROOT / "reports/models/fcn8s"
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


def _swapped(rng: random.Random, text: str) -> tuple[str, str]:
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


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))


# params.yaml


def _params_text(rng: random.Random) -> tuple[str, str]:
    what = rng.choice(
        ["swap", "swap", "swap", "swap", "bomb", "deep", "loop", "tag", "key", "name", "twice"]
    )
    if what == "bomb":
        levels = [f"l{k}: &l{k} [{', '.join([f'*l{k - 1}'] * 9)}]" for k in range(1, 12)]
        bomb = "l0: &l0 [lol]\n" + "\n".join(levels) + "\n"
        where = rng.choice(["seed", "studies", "normalize", "checkpoint_minutes"])
        return bomb + re.sub(rf"(?m)^{where}:.*(\n  .*)*", f"{where}: *l11", PARAMS), what
    if what == "deep":
        return PARAMS + "deep: " + rng.choice(["[", "{a: "]) * 10_000, what
    if what == "loop":
        return re.sub("(?m)^seed:.*", "seed: &a [*a]", PARAMS), what
    if what == "tag":
        tags = ["!!python/object/apply:os.system ['true']", "!!binary aGk=", "!!set {a}", "!x y"]
        return re.sub("(?m)^seed:.*", f"seed: {rng.choice(tags)}", PARAMS), what
    if what == "key":
        key = rng.choice(["sead: 1", "'a\\nb': 1", "1: 2", "? [a]\n: b", "'': 0", "null: 1"])
        return rng.choice([PARAMS + key + "\n", PARAMS.replace("seed: 0", key)]), f"{what} {key}"
    if what == "name":
        names = ["../x", "/tmp/x", "a b", "x" * 300, "''", "own", "a\\0b", "é", "%s", "runs/x"]
        old, new = rng.choice(["miniature", "fcn_resnet50"]), rng.choice(names)
        return PARAMS.replace(f"  {old}:", f'  "{new}":').replace(f": {old} ", f': "{new}" '), what
    if what == "twice":
        return PARAMS + rng.choice(["seed: 1\n", "model: unet\n", "models: {}\n"]), what
    return _swapped(rng, PARAMS)


def parameters(rng: random.Random, home: Path) -> Trial:
    """params.yaml; what PyYAML makes of the same text is the witness where YAML 1.1 agrees."""
    text, what = _params_text(rng)
    path = home / "params.yaml"
    _write(path, text)

    def attempt() -> params.Params:
        settings = params.load(path)
        for name, model in settings.every_model:
            models.check_arguments(name, model.arch, model.arguments)
        return settings

    def complaint(settings: params.Params) -> str | None:
        given, taken = yaml.safe_load(text), settings.model_dump()
        for place in _leaves(given):
            here, there = _at(given, place), _at(taken, place)
            alike = here == there and isinstance(here, bool) == isinstance(there, bool)
            near = isinstance(there, float) and isinstance(here, str) and float(here) == there
            if not alike and not near and place[0] != "studies" and there is not _NOWHERE:
                return f"{place} is {here!r} and was read as {there!r}"
        return None

    return Trial(what, attempt, complaint, ["params.yaml", "models."], lines=True)


_NOWHERE = object()


def _leaves(value: Any, above: tuple = ()) -> list[tuple]:
    """Places of all numbers and texts of nested dictionaries and lists."""
    if isinstance(value, dict | list | tuple):
        keys = value if isinstance(value, dict) else range(len(value))
        return [leaf for key in keys for leaf in _leaves(value[key], (*above, key))]
    return [above]


def _at(value: Any, place: tuple) -> Any:
    try:
        for key in place:
            value = value[key]
    except (KeyError, IndexError, TypeError):
        return _NOWHERE
    return value


# What evaluate, plot and index wrote


def report(rng: random.Random, home: Path) -> Trial:
    """One file of reports/models/<model>/; csv and json are the witnesses of what it says."""
    folder = home / "reports/models/fcn8s"
    shutil.copytree(REPORT, folder)
    stem = rng.choice(["metrics", "provenance", "history", *checks.COLUMNS])
    path = folder / f"{stem}.{'json' if stem in ('metrics', 'provenance') else 'csv'}"
    text, what = _swapped(rng, path.read_text(encoding="utf-8"))
    _write(path, text)

    def attempt() -> tuple:
        result = tables.read_result("fcn8s", folder.parent)
        tables.caption([result])
        return result, tables.summary([result]), tables.curves([result])

    def complaint(found: tuple) -> str | None:
        result, summary, curves = found
        clean = tables.read_result("fcn8s", REPORT.parent)
        for name, score in clean.metrics.items():
            derived = name in (*tables.SCORES, *tables.COUNTS, "images", "best_epoch_miou")
            if derived and not math.isclose(result.metrics[name], score, rel_tol=1e-8):
                return f"{name} is {result.metrics[name]}, was {score}"
        if stem == "metrics" and result.metrics != json.loads(text):
            return "metrics are not those of the file"
        rows = list(csv.DictReader(io.StringIO((folder / "history.csv").read_text())))
        own = curves[curves["model"] == "fcn8s"]
        for name in rows[0]:
            if name and not all(map(math.isclose, (float(r[name]) for r in rows), own[name])):
                return f"{name} is not that of history.csv"
        for name in ("per_class", "confusion"):
            if not getattr(result, name).equals(getattr(clean, name)) and stem not in (name,):
                return f"{name} changed"
        return None if len(summary) == 2 else "models"

    return Trial(f"{stem} {what}", attempt, complaint, [path.name, "fcn8s"])


def index_table(rng: random.Random, home: Path) -> Trial:
    """index.csv as every stage reads it; csv is the witness."""
    head = "image_id,split,width,height,void_share," + ",".join(CLASSES)
    rows = [
        f"{k:03d},{'val' if k % 3 else 'train'},10,8,0.125,40,{20 + k},{10 - k}" for k in range(9)
    ]
    text, what = _swapped(rng, "\n".join([head, *rows]) + "\n")
    if rng.random() < 0.2:
        what, text = rng.choice(
            [
                ("swapped columns", text.replace("width,height", "height,width")),
                ("path", text.replace("003,", "../003,")),
                ("split", text.replace("train", "trian", 1)),
                ("more fields", text.replace("\n", ",1\n").replace(",1\n", "\n", 1)),
            ]
        )
    _write(home / "data/toy/index.csv", text)

    def complaint(index: pd.DataFrame) -> str | None:
        expected = list(csv.DictReader(io.StringIO(text)))
        if len(expected) != len(index):
            return f"{len(index)} rows"
        for row, found in zip(expected, index.to_dict("records"), strict=True):
            if row["image_id"] != found["image_id"] or row["split"] != found["split"]:
                return f"{found}"
            if any(float(row[name]) != found[name] for name in index.columns[2:]):
                return f"numbers of {row['image_id']}"
            if sum(found[name] for name in CLASSES) + found["void_share"] * 80 != 80:
                return f"pixels of {row['image_id']}"
        return None

    def attempt() -> pd.DataFrame:
        return voc.read_index("toy", CLASSES)

    return Trial(what, attempt, complaint, ["index.csv"])


def page_table(rng: random.Random, home: Path) -> Trial:
    """statistics.json or differences.csv, of which the page is made."""
    if rng.random() < 0.5:
        text, what = _swapped(rng, (ROOT / "reports/comparison/differences.csv").read_text())
        _write(home / "differences.csv", text)

        def rows() -> list:
            table = page.read_differences(home / "differences.csv")
            return [page.difference_row(row) for _, row in table.iterrows()]

        def complaint(found: list) -> str | None:
            given = list(csv.DictReader(io.StringIO(text)))
            for row, cells in zip(given, found, strict=True):
                right = [float(row["difference"]), float(row["low"]), int(row["real"] == "True")]
                if not all(map(math.isclose, right, [cell[1] for cell in cells[1:]])):
                    return f"{row} became {cells}"
            return None

        return Trial(f"differences {what}", rows, complaint, ["differences.csv"])
    facts = {
        split: {
            "images": 9,
            "class_images": {name: 3 + k for k, name in enumerate(CLASSES)},
            "class_shares": {name: 0.25 * k for k, name in enumerate(CLASSES)},
        }
        for split in ("train", "val")
    }
    text, what = _swapped(rng, json.dumps(facts, indent=1))
    _write(home / "statistics.json", text)

    def attempt() -> list:
        return page.class_facts(page.read_statistics(home / "statistics.json", CLASSES), CLASSES)

    def shown(found: list) -> str | None:
        for row in found:
            for (images, share), split in zip(
                zip(row[1::2], row[2::2], strict=True), json.loads(text).values(), strict=True
            ):
                right = split["class_images"][row[0][0]], split["class_shares"][row[0][0]]
                if (images[1], share[1]) != right or isinstance(images[1], bool):
                    return f"{row} is not what the file says"
        return None

    return Trial(f"statistics {what}", attempt, shown, ["statistics.json"])


# Weights and checkpoints


def _model() -> torch.nn.Module:
    torch.manual_seed(5)
    return models.build("unet", num_classes=3, width=2)


class Payload:
    """Would leave a file behind if it were unpickled."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path(tempfile.gettempdir(), "fuzz-ran"),)


STATE = _model().state_dict()
FIRST = next(iter(STATE))
CRAFTED: dict[str, Callable[[], Any]] = {
    "other shape": lambda: {**STATE, FIRST: STATE[FIRST][:, :, :2]},
    "transposed": lambda: {**STATE, FIRST: STATE[FIRST].transpose(2, 3)[:1]},
    "lacks one": lambda: {k: v for k, v in STATE.items() if k != FIRST},
    "one more": lambda: {**STATE, "head.weight": torch.ones(2)},
    "not finite": lambda: {**STATE, FIRST: STATE[FIRST] * float("nan")},
    "infinite": lambda: {**STATE, FIRST: STATE[FIRST] / 0},
    "complex": lambda: {**STATE, FIRST: STATE[FIRST] * 1j},
    "sparse": lambda: {**STATE, FIRST: STATE[FIRST].to_sparse()},
    "quantised": lambda: {
        **STATE,
        FIRST: torch.quantize_per_tensor(STATE[FIRST], 0.1, 0, torch.quint8),
    },
    "meta": lambda: {**STATE, FIRST: STATE[FIRST].to("meta")},
    "endless": lambda: {**STATE, "x": torch.zeros(1).expand(1 << 40)},
    "module": lambda: _model(),
    "list": lambda: list(STATE.values()),
    "nested": lambda: {"state_dict": {"model": {"state_dict": STATE}}},
    "numbers": lambda: dict.fromkeys(STATE, 1.0),
    "code": lambda: {**STATE, FIRST: Payload()},
    "code in state_dict": lambda: {"state_dict": {**STATE, "x": Payload()}},
    "code beside": lambda: {"model": STATE, "args": Payload()},
    "code in order": lambda: OrderedDict(x=Payload(), **STATE),
}


def weight_file(rng: random.Random, home: Path) -> Trial:
    """weights.pt, or a file for init and --model; the values that were saved are the witness."""
    path, what = home / "weights.pt", rng.choice(["crafted", "damage", "damage"])
    if what == "crafted":
        what, legacy = rng.choice(list(CRAFTED)), rng.random() < 0.5
        torch.save(CRAFTED[what](), path, _use_new_zipfile_serialization=not legacy)
        what += " legacy" * legacy
        complaint = must_be_refused
    else:
        save_weights(STATE, path)
        content, what = damaged(rng, path.read_bytes())
        path.write_bytes(content)
        complaint = _equals_saved
    model = _model()
    for tensor in model.state_dict().values():
        tensor.zero_()

    def attempt() -> dict:
        weights.fill(model, tensors.read(path), path)
        return model.state_dict()

    return Trial(what, attempt, complaint, ["weights.pt"])


def _equals_saved(state: dict) -> str | None:
    if Path(tempfile.gettempdir(), "fuzz-ran").exists():
        return "code ran"
    other = [name for name in STATE if not torch.equal(STATE[name], state[name])]
    return f"{other[0]} has other values" if other else None


def checkpoint_file(rng: random.Random, home: Path) -> Trial:
    """last.pt in .scratch."""
    state = {"model": STATE, "step": 5, "epochs": [{"number": 1, "lr": 0.5}], "sums": None}
    kept = Checkpoints(home / "run", 10, True)
    kept.save(state)
    content, what = damaged(rng, (home / "run/last.pt").read_bytes())
    if rng.random() < 0.1:
        torch.save({"model": Payload()}, home / "run/last.pt")
        content, what = (home / "run/last.pt").read_bytes(), "code"
    (home / "run/last.pt").write_bytes(content)

    def complaint(found: dict) -> str | None:
        plain = {k: v for k, v in found.items() if k != "model"}
        if plain != {k: v for k, v in state.items() if k != "model"}:
            return f"{plain}"
        return _equals_saved(found["model"])

    return Trial(what, kept.load, complaint, ["last.pt"])


Maker = Callable[[random.Random, Path], Trial]
TARGETS: dict[str, tuple[Maker, int]] = {
    "params": (parameters, 6),
    "report": (report, 6),
    "index table": (index_table, 2),
    "page table": (page_table, 2),
    "weights": (weight_file, 4),
    "checkpoint": (checkpoint_file, 3),
}
