"""Files of a training: weights, and checkpoints from which it goes on to the same bits.

A run's checkpoints lie in a folder of its own, named by a fingerprint of all that decides its
result, so that one of other code, parameters or data is never picked up. The folder is outside the
stage's outputs, which DVC deletes before it starts a stage; one process at a time holds it. A
checkpoint ends in a CRC-32 of all that is before it, so that one that was altered is not used.
"""

import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segmodels import files
from segmodels.models import pretrained, safe_load
from segmodels.training.run import Run

LAST, BEST = "last.pt", "best.pt"
CRC_BYTES = 4
CHUNK = 1 << 20  # bytes
PATIENCE = 10  # seconds in which a process that was told to die leaves its folder


class Checkpoints:
    """The folder of one run; see `hold`."""

    def __init__(self, folder: Path, minutes: float, writes: bool) -> None:
        self.folder, self.seconds, self.writes = folder, 60 * minutes, writes
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last; None: there is none.

        Raises:
            ValueError: the file is damaged.
        """
        return _read(self.folder / LAST) if (self.folder / LAST).exists() else None

    def resume(self, run: Run) -> None:
        """Let a run become what was saved last, if anything was.

        Raises:
            ValueError: the file is damaged, or of another model.
        """
        path, state = self.folder / LAST, self.load()
        if state is None:
            return
        try:
            pretrained.fill(run.model, state["model"], path)
            run.restore(state)
        except safe_load.DAMAGED as error:
            reason = " ".join(str(error).split()).removeprefix(f"{path}: ")
            raise ValueError(f"{path}: {reason}; delete {self.folder} and start again") from None

    def due(self) -> bool:
        """Whether the last one is older than it may be."""
        return self.writes and time.monotonic() - self._saved > self.seconds

    def save(self, state: dict[str, Any], *, best: bool = False) -> None:
        """Replace the last state, and the best one if this is it.

        Args:
            state: tensors and plain values; "model" holds the weights.
        """
        if not self.writes:
            return
        # The order in which the two names appear never leaves `best` behind `last`.
        files.write(self.folder / (BEST if best else LAST), lambda file: _serialise(state, file))
        if best:
            link = self.folder / f".{LAST}"
            link.unlink(missing_ok=True)
            os.link(self.folder / BEST, link)
            os.replace(link, self.folder / LAST)
        self._saved = time.monotonic()

    def best_weights(self) -> dict[str, Tensor]:
        """Weights of the best epoch."""
        return _read(self.folder / BEST, mmap=True)["model"]


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
    with files.locked(folder / "lock", PATIENCE, busy):
        for leftover in folder.glob(".*"):  # of a write that was interrupted
            leftover.unlink()
        yield Checkpoints(folder, minutes, writes)
        files.remove(folder)


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
    """Save a state dict, on the CPU and in contiguous layout: the same bytes for the same values.

    `torch.save` writes the file's name into the archive, so it saves to memory first.
    """
    content = BytesIO()
    torch.save({name: tensor.cpu().contiguous() for name, tensor in state.items()}, content)
    files.write_bytes(path, content.getvalue())


class _Summed(BufferedIOBase):
    """A file to write into, which counts the CRC-32 of its content."""

    def __init__(self, file: Any) -> None:
        self.file, self.crc = file, 0

    def write(self, content: Any) -> int:
        self.crc = zlib.crc32(content, self.crc)
        return self.file.write(content)


def _serialise(state: dict[str, Any], file: Any) -> None:
    """torch.save and a CRC-32, a tenth of the time that those of torch's ZIP format take."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    summed: Any = _Summed(file)
    try:
        torch.save(state, summed)
    except RuntimeError as error:  # from the end of the ZIP file, which the disk's error prevents
        raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
    finally:
        torch.serialization.set_crc32_options(before)
    file.write(summed.crc.to_bytes(CRC_BYTES, "big"))


def _read(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """What `_serialise` wrote."""
    with open(path, "rb") as file:
        crc, left = 0, os.fstat(file.fileno()).st_size - CRC_BYTES
        while left > 0:
            chunk = file.read(min(CHUNK, left))
            crc, left = zlib.crc32(chunk, crc), left - len(chunk)
        if file.read() != crc.to_bytes(CRC_BYTES, "big"):
            raise ValueError(f"{path}: damaged; delete {path.parent} and start again")
    return safe_load.unpickled(path, checksums=False, mmap=mmap)
