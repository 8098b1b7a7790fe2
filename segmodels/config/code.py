"""What code a result depends on: digests of syntax trees.

The digest of a program covers every file of this project that it reaches by import. Comments,
docstrings and layout are left out, so that an edit of them trains nothing again. The stage `check`
writes a digest for each stage and each architecture; dvc.yaml depends on these files.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCHS = ROOT / "segmodels/models"
PLUMBING = {  # files that no digest covers, and why
    "segmodels/__init__.py": "refuses Pythons that lack a package",
    "segmodels/config/document.py": "its values are in data/facts, on which stages depend",
    "segmodels/config/paths.py": "where files lie, not what is in them",
    "segmodels/config/encoders.py": "its values are in data/facts, on which stages depend",
    "segmodels/config/merging.py": "its values are in data/facts, on which stages depend",
    "segmodels/config/code.py": "this file: its digests are what they are",
    "segmodels/data/sources/download.py": "how bytes arrive; checksums say which",
    "segmodels/core/files.py": "how files are written, not what is in them",
    "segmodels/config/params.py": "its values are in data/facts, on which stages depend",
    "segmodels/core/supervise.py": "how a program starts, ends and shows how far it is",
    "segmodels/config/origin.py": "its values are in data/facts, on which stages depend",
    "segmodels/config/schema.py": "its values are in data/facts, on which stages depend",
    "segmodels/config/section.py": "its values are in data/facts, on which stages depend",
    "segmodels/models/encoders.py": "how weights become a file; data/starts has its hash",
    "segmodels/training/guard.py": "stops a training, changes none",
    "segmodels/training/logger.py": "shows a training, changes none",
    "segmodels/training/parts.py": "refuses a recipe, changes none",
    "stages/__init__.py": "how a program starts",
}


def archs() -> list[str]:
    """The architectures: files of segmodels/models with a function of the same name."""
    return sorted(path.stem for path in ARCHS.glob("*.py") if _defines(path, path.stem))


def digest(files: Iterable[str]) -> str:
    """Hex SHA-256 of what some files mean.

    Args:
        files: paths from the project's folder, as those of `reached`.
    Raises:
        ValueError: one of them is no Python.
    """
    lines = ""
    for file in sorted(set(files) - set(PLUMBING)):
        lines += f"{_tree_digest(file)}  {file}\n"
    return hashlib.sha256(lines.encode()).hexdigest()


def reached(file: str) -> set[str]:
    """A file, and all files of this project that it reaches by import.

    Raises:
        ValueError: one of them is no Python.
    """
    files = set[str]()
    unread = [file]
    while unread:
        current = unread.pop()
        if current not in files:
            files.add(current)
            unread += imports(current)
    return files


@cache
def imports(file: str) -> frozenset[str]:
    """Files of this project that a file imports by name, empty ones left out."""
    modules = set[str]()
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(file, node)
            modules.add(origin)
            modules.update(f"{origin}.{alias.name}" for alias in node.names)
    files = set[str]()
    for module in modules:
        path = _file(module)
        if path and (ROOT / path).stat().st_size > 0:
            files.add(path)
    return frozenset(files)


def _origin(file: str, node: ast.ImportFrom) -> str:
    """The module that `from ... import` names, a relative one from the file that holds it."""
    if not node.level:
        return node.module or ""
    package = Path(file).parts[: -node.level]
    return ".".join([*package, node.module] if node.module else package)


def _file(module: str) -> str | None:
    """segmodels.data.index -> segmodels/data/index.py, a package -> its __init__.py; else None."""
    path = ROOT / module.replace(".", "/")
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file.relative_to(ROOT).as_posix()
    return None


def _defines(path: Path, name: str) -> bool:
    """Whether a file has a function of this name."""
    tree = _tree(path.relative_to(ROOT).as_posix())
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)


@cache
def _tree(file: str) -> ast.Module:
    try:
        return ast.parse((ROOT / file).read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{file}: no Python: {error}") from None


@cache
def _tree_digest(file: str) -> str:
    """Hex SHA-256 of a file's syntax tree."""
    return hashlib.sha256(_as_text(_tree(file)).encode()).hexdigest()


def _as_text(node: object) -> str:
    """A syntax tree as text, without docstrings and positions; the same in every Python version.

    Fields that are empty are left out, since later versions have more of them.
    """
    if isinstance(node, list):
        return "[" + ",".join(map(_as_text, node)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(value, list):
            value = [statement for statement in value if not _is_text(statement)]
        if value is not None and value != [] and name not in ("type_comment", "kind"):
            parts.append(f"{name}={_as_text(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a text alone, such as a docstring."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
