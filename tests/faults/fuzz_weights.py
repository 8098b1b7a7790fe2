"""Wrong weights and checkpoints; see fuzz.py."""

import random
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from segmodels import models
from segmodels.models import pretrained, safe_load
from segmodels.training.checkpoint import Checkpoints, save_weights

from .fuzz import Trial, must_be_refused
from .fuzz_samples import damaged


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
    "bytes": lambda: {**STATE, FIRST: STATE[FIRST].to(torch.uint8)},
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
        pretrained.fill(model, safe_load.read(path), path)
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
        plain = {k: v for k, v in found.items() if k not in ("model", "best")}
        if plain != {k: v for k, v in state.items() if k != "model"}:
            return f"{plain}"
        return _equals_saved(found["model"])

    return Trial(what, kept.load, complaint, ["last.pt"])


TARGETS = {"weights": (weight_file, 4), "checkpoint": (checkpoint_file, 3)}
