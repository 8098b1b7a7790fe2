"""What code a result depends on, by what it means: digests of syntax trees.

The digest of a program covers every file of this project that it reaches by import, without
comments, docstrings and layout, so that an edit which changes no number trains nothing again. The
stage `check` writes one for each stage and each architecture; dvc.yaml depends on these files.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ARCHS = ROOT / "segmodels/models"
NO_ARCHS = {"__init__", "backbones", "heads", "layers", "resnet"}  # what several of them share
PLUMBING = {  # of no digest, and why
    "segmodels/__init__.py": "refuses Pythons that lack a package",
    "segmodels/config/document.py": "its values are in data/facts, on which stages depend",
    "segmodels/config/paths.py": "where files lie, not what is in them",
    "segmodels/code.py": "this file: its digests are what they are",
    "segmodels/data/download.py": "how bytes arrive; checksums say which",
    "segmodels/files.py": "how files are written, not what is in them",
    "segmodels/params.py": "its values are in data/facts, on which stages depend",
    "segmodels/process.py": "how a program starts, ends and shows how far it is",
    "segmodels/sections.py": "its values are in data/facts, on which stages depend",
    "segmodels/training/guard.py": "stops a training, changes none",
    "segmodels/training/parts.py": "refuses a recipe, changes none",
    "stages/__init__.py": "how a program starts",
}


def archs() -> list[str]:
    """The architectures: files of segmodels/models that build a model."""
    return sorted(path.stem for path in ARCHS.glob("*.py") if path.stem not in NO_ARCHS)


def digest(files: Iterable[str]) -> str:
    """Hex SHA-256 of what some files mean.

    Args:
        files: paths from the project's folder, as those of `reached`.
    Raises:
        ValueError: one of them is no Python.
    """
    lines = "".join(f"{_meaning(file)}  {file}\n" for file in sorted(set(files) - set(PLUMBING)))
    return hashlib.sha256(lines.encode()).hexdigest()


def reached(file: str) -> set[str]:
    """A file, and all files of this project that it reaches by import.

    Raises:
        ValueError: one of them is no Python.
    """
    found, todo = set[str](), [file]
    while todo:
        current = todo.pop()
        if current not in found:
            found.add(current)
            todo += imports(current)
    return found


def imports(file: str) -> set[str]:
    """Files of this project that a file imports by name, empty ones left out."""
    names = set[str]()
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    files = {_file(name) for name in names}
    return {file for file in files if file and (ROOT / file).stat().st_size}


def _file(module: str) -> str | None:
    """segmodels.data.voc -> segmodels/data/voc.py, a package -> its __init__.py; else None."""
    path = ROOT / module.replace(".", "/")
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file.relative_to(ROOT).as_posix()
    return None


@cache
def _tree(file: str) -> ast.Module:
    try:
        return ast.parse((ROOT / file).read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{file}: no Python: {error}") from None


@cache
def _meaning(file: str) -> str:
    """Hex SHA-256 of a file's syntax tree."""
    return hashlib.sha256(_written(_tree(file)).encode()).hexdigest()


def _written(node: object) -> str:
    """A syntax tree as text, without docstrings and positions; the same in every Python version.

    Fields that are empty are left out, since later versions have more of them.
    """
    if isinstance(node, list):
        return "[" + ",".join(map(_written, node)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(value, list):
            value = [statement for statement in value if not _is_text(statement)]
        if value is not None and value != [] and name not in ("type_comment", "kind"):
            parts.append(f"{name}={_written(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a text alone, such as a docstring."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
