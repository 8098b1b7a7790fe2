"""Writing result files: whole or not at all, and the same bytes for the same values."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    import pandas as pd  # slow to import, and `segmodels predict` needs none


def copy(source: Path, path: Path) -> None:
    """Copy a file atomically."""
    with open(source, "rb") as content:
        write(path, lambda file: shutil.copyfileobj(content, file), size=os.path.getsize(source))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically."""
    write(path, lambda file: file.write(content), size=len(content))


def write(path: str | Path, fill: Callable[[BinaryIO], object], *, size: int | None = None) -> None:
    """Write a file atomically: to a temporary name beside it, to the disk, then rename.

    Args:
        fill: writes the content into the open file.
        size: of the content in bytes, if it is known; the message for a full disk gives it.
    Raises:
        OSError: among others, the disk is full; the file is then as it was before.
    Example:
        files.write("weights.pt", lambda file: torch.save(state, file))
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
        try:
            with os.fdopen(handle, "wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            size = size or os.path.getsize(temporary)
            os.unlink(temporary)
            raise
    except OSError as error:
        raise explained(error, path, size or 0) from None


def explained(error: OSError, path: Path, needed: int) -> OSError:
    """What to do about a disk that is full or that must not be written; else the error itself.

    Args:
        needed: bytes, at least.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OSError(
            f"{path}: the disk is full: at least {megabytes(needed)} needed, "
            f"{megabytes(free_space(path))} free: make space and start the same command again"
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return OSError(
            f"{path}: not written ({error.strerror}): make its folder writable and start the same "
            "command again"
        )
    if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EBUSY, errno.ENOENT):
        return OSError(f"{path}: not written ({error.strerror}): expected a path for a new file")
    return error


def free_space(path: Path) -> int:
    """Bytes that may still be written where a path is or will be."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def check_space(folder: Path, needed: int, what: str) -> None:
    """Refuse what is larger than the space that is free where a folder is or will be.

    Args:
        needed: bytes.
    Raises:
        ValueError: both numbers.
    """
    if needed > (free := free_space(folder)):
        raise ValueError(
            f"{folder}: {what} needs {megabytes(needed)}, {megabytes(free)} are free: make space "
            "and start the same command again"
        )


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


@contextmanager
def held(folder: Path, patience: float, busy: str) -> Iterator[None]:
    """Hold a folder for this process alone; it is removed when the block ends without an error.

    The lock is a file beside the folder, which the kernel lets go when this process ends, however
    it ends.

    Args:
        folder: made if it is not there.
        patience: seconds to wait for another process that holds it.
        busy: the message if it holds it longer.
    Raises:
        ValueError: it does.
    Example:
        with files.held(Path(".scratch/fcn"), 10, "another process trains fcn: wait for it"):
            train()
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock", timeout=patience, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(busy) from None
    try:
        folder.mkdir(exist_ok=True)
        yield
        remove(folder)
    finally:
        Path(lock.lock_file).unlink()  # a process that has it open sees this and opens a new one
        lock.release()


def remove(folder: Path) -> None:
    """Remove a folder that this process holds: under its name it is there in whole or not at all.

    What an interrupted call has left goes with the next one.
    """
    folder.rename(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    for remains in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(remains, ignore_errors=True)


def write_text(path: str | Path, content: str) -> None:
    """Write UTF-8 text atomically, lines ending in \\n on every system."""
    write_bytes(path, content.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table atomically, without the row index; floats in full (they read back equal)."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5(path: str | Path) -> str:
    """Hex MD5 of a file's content, as archives are known by; it finds accidents, not forgeries."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
