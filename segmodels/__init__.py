"""Semantic segmentation models, trained and compared under one protocol.

    import segmodels

    model = segmodels.load("animals")
    result = model.predict("photo.jpg")

`load`, `build` and `evaluate` are imported when they are asked for, since every program imports
this file, and PyTorch takes seconds.
"""

import importlib
import importlib.util
import os
import sys
from typing import Any

# What the programs import. Old Pythons have to read this file: no syntax that is newer than 3.6.
NEEDED = ["torch", "torchvision", "numpy", "pandas", "PIL", "matplotlib", "jinja2", "pydantic"]
NEEDED += ["filelock", "requests", "ruamel", "safetensors", "scipy", "tqdm"]
SHOWN = 3
__all__ = ["load", "build", "evaluate"]  # noqa: F822  see __getattr__
ACTIVATE = "activate the environment (. .venv/bin/activate), or make setup"


def refuse_other_python() -> None:
    """End in one line where a program is started with a Python that is not the project's."""
    lack = lacking()
    if lack:
        sys.exit(f"error: this Python ({sys.executable}) {lack}: {ACTIVATE}")


def lacking() -> str:
    """What this Python lacks; "" if it has all that the programs import."""
    if sys.version_info < (3, 11):  # noqa: UP036  older ones get here
        version = ".".join(map(str, sys.version_info[:2]))
        return f"is {version}, expected 3.11 or newer"
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    more = f" and {len(missing) - SHOWN} more packages" if len(missing) > SHOWN else ""
    return "has no " + ", ".join(missing[:SHOWN]) + more


def __getattr__(name: str) -> Any:
    if name in __all__:
        # By name, or every program would depend on all that predicts: see config/code.py.
        return getattr(importlib.import_module("segmodels.api"), name)
    raise AttributeError(f"module 'segmodels' has no attribute {name!r}")


# `python -m` while it looks for the module that it shall run, or the command `segmodels`.
if sys.argv and (sys.argv[0] == "-m" or os.path.basename(sys.argv[0]) == "segmodels"):
    refuse_other_python()
