"""Writing result files: whole or not at all, and the same bytes for the same values."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically."""
    write(path, lambda file: file.write(content))


def write(path: str | Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write a file atomically: to a temporary name beside it, to the disk, then rename.

    Args:
        fill: writes the content into the open file.
    Raises:
        OSError: among others, the disk is full; the file is then as it was before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        written, free = os.path.getsize(temporary), shutil.disk_usage(path.parent).free
        raise OSError(
            f"{path}: the disk is full after {written / 1e6:.1f} MB ({free / 1e6:.1f} MB free): "
            "make space and start the same command again"
        ) from None
    finally:
        Path(temporary).unlink(missing_ok=True)


def write_text(path: str | Path, content: str) -> None:
    """Write UTF-8 text atomically, lines ending in \\n on every system."""
    write_bytes(path, content.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table atomically, without the row index; floats in full (they read back equal)."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
