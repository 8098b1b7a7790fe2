"""Wrong params.yaml; see fuzz.py."""

import random
import re
from pathlib import Path
from typing import Any

from dvc.utils.serialize import parse_yaml

from segmodels import models
from segmodels.config import params

from .fuzz import Trial
from .fuzz_samples import swapped, write

ROOT = Path(__file__).parents[2]
PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")


def _params_text(rng: random.Random) -> tuple[str, str]:
    what = rng.choice(
        ["swap", "swap", "swap", "swap", "bomb", "deep", "loop", "tag", "key", "name", "twice"]
    )
    if what == "bomb":
        levels = [f"l{k}: &l{k} [{', '.join([f'*l{k - 1}'] * 9)}]" for k in range(1, 12)]
        bomb = "l0: &l0 [lol]\n" + "\n".join(levels) + "\n"
        where = rng.choice(["seed", "comparisons", "normalize", "checkpoint_minutes"])
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
    return swapped(rng, PARAMS)


def parameters(rng: random.Random, home: Path) -> Trial:
    """params.yaml; the witness is DVC, whose reading of it stands in dvc.lock."""
    text, what = _params_text(rng)
    path = home / "params.yaml"
    write(path, text)

    def attempt() -> params.Params:
        settings = params.load(path)
        for name, model in settings.models.items():
            models.check_arguments(name, model.arch, model.arguments)
        return settings

    def complaint(settings: params.Params) -> str | None:
        given, taken = parse_yaml(text, path), settings.model_dump()
        for place in _leaves(given):
            here, there = _at(given, place), _at(taken, place)
            alike = here == there and isinstance(here, bool) == isinstance(there, bool)
            near = isinstance(there, float) and isinstance(here, str | int) and float(here) == there
            if not alike and not near and place[0] != "comparisons" and there is not _NOWHERE:
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


TARGETS = {"params": (parameters, 6)}
