"""Files of a training: weights, and checkpoints from which it goes on to the same bits.

A run's checkpoints lie in a folder of its own, named by a fingerprint of all that decides its
result, so that one of other code, parameters or data is never picked up. The folder is outside the
stage's outputs, which DVC deletes before it starts a stage; one process at a time holds it. Files
are written whole or not at all, and the checksums of torch's format are compared when they are
read, so that one that was altered is not used.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from segmodels.core import files
from segmodels.models import pretrained, safe_load
from segmodels.training.state import TrainingState

LAST = "last.pt"
PATIENCE = 10  # seconds in which a process that was told to die leaves its folder


class Checkpoints:
    """The folder of one run: its last state, and the weights of its best epoch; see `hold`."""

    def __init__(self, folder: Path, minutes: float, writes: bool) -> None:
        self.folder, self.seconds, self.writes = folder, 60 * minutes, writes
        self._saved = time.monotonic()
        self._best = self._best_of_saved = ""  # names of files

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last; None: there is none.

        Raises:
            ValueError: the file is damaged.
        """
        return _read(self.folder / LAST) if self.begun else None

    @property
    def begun(self) -> bool:
        """Whether a state was saved, with which a training goes on."""
        return (self.folder / LAST).exists()

    def resume(self, training: TrainingState) -> None:
        """Let a training become what was saved last, if anything was.

        Raises:
            ValueError: the file is damaged, or of another model.
        """
        path, state = self.folder / LAST, self.load()
        if state is None:
            return
        try:
            pretrained.fill(training.model, state["model"], path)
            training.load_state_dict(state)
            self._best = self._best_of_saved = state["best"]
        except safe_load.DAMAGED as error:
            reason = " ".join(str(error).split()).removeprefix(f"{path}: ")
            raise ValueError(f"{path}: {reason}; delete {self.folder} and start again") from None

    def end_epoch(self, training: TrainingState) -> None:
        """Keep the weights of an epoch that is the best so far, and the state if that is due."""
        if self.writes and training.best:
            self._best = f"best-{training.epochs[-1].number}.pt"
            save_weights(training.model.state_dict(), self.best_path)
            self._remove_worse()
        if self.due():
            self.save(training.state_dict())

    @property
    def best_path(self) -> Path:
        """Weights of the best epoch so far; in a file, since memory would have to hold them too."""
        return self.folder / self._best

    def _remove_worse(self) -> None:
        """Remove weights of which neither this process nor the saved state knows as the best."""
        for path in self.folder.glob("best-*.pt"):
            if path.name not in (self._best, self._best_of_saved):
                path.unlink()

    def due(self) -> bool:
        """Whether the last one is older than it may be."""
        return self.writes and time.monotonic() - self._saved > self.seconds

    def save(self, state: dict[str, Any]) -> None:
        """Replace the last state.

        Args:
            state: tensors and plain values; "model" holds the weights.
        """
        if not self.writes:
            return
        whole = {**state, "best": self._best}
        files.write(self.folder / LAST, lambda file: _serialise(whole, file))
        self._saved, self._best_of_saved = time.monotonic(), self._best


@contextmanager
def hold(identity: dict[str, Any], minutes: float, *, writes: bool) -> Iterator[Checkpoints]:
    """Open a run's folder for this process alone; removed when the run ends well.

    Args:
        identity: all that decides the result.
        minutes: after which a checkpoint is due.
        writes: False for all but one of many processes, which then only read.
    Raises:
        ValueError: another process holds it.
    """
    folder = scratch(fingerprint(identity))
    if not writes:
        yield Checkpoints(folder, minutes, writes)
        return
    busy = (
        f"{folder} is held by another process that trains the same model: "
        "wait until it ends, or stop it"
    )
    with files.held(folder, PATIENCE, busy):
        for leftover in folder.glob(".*"):  # of a write that was interrupted
            leftover.unlink()
        yield Checkpoints(folder, minutes, writes)


def scratch(name: str) -> Path:
    """A folder in .scratch of the project; DVC names the project from every copy that it makes."""
    return Path(os.environ.get("DVC_ROOT", "."), ".scratch", name).resolve()


def fingerprint(facts: dict[str, Any]) -> str:
    """Hex SHA-256 of plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def content(paths: Iterable[Path]) -> str:
    """Hex SHA-256 of the content of many files in the given order."""
    return hashlib.sha256("".join(map(files.sha256, paths)).encode()).hexdigest()


def save_weights(state: dict[str, Tensor], path: Path) -> None:
    """Save a state dict, on the CPU and contiguous: the same bytes for the same values."""
    plain = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    files.write(path, lambda file: _serialise(plain, file))


def _serialise(state: dict[str, Any], file: BinaryIO) -> None:
    """torch.save; what the disk answers is raised in place of what torch's writer makes of it."""
    try:
        torch.save(state, file)
    except RuntimeError as error:
        raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None


def _read(path: Path) -> dict[str, Any]:
    """What `_serialise` wrote."""
    try:
        return safe_load.unpickled(path)
    except ValueError as error:
        raise ValueError(f"{error}; delete {path.parent} and start again") from None
