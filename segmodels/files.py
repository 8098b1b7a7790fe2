"""Writing result files: whole or not at all, and the same bytes for the same values."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically: to a temporary name beside it, to the disk, then rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
