"""Models by name: `arch` is a file of this folder that holds a function of the same name.

The function, the builder, takes num_classes and what it likes as keyword arguments. The model maps
an image, (N, 3, H, W) float with H, W >= 32, to {"out": logits, and for some "aux": logits}, each
(N, num_classes, H, W), the same in train() and eval(). Files are found at run time, so that a
training depends on the file of its own arch and on no other. Its docstring names the paper, as
"arXiv 1505.04597", where `tools.model_rows` finds it.

A training is to give the same bits on a GPU too, and a model to be exported for any size:
- resize by `layers.upsample` or `layers.resize`, not by F.interpolate, and pad by
  `layers.mirror_pad`, not by F.pad's "reflect": torch refuses the gradients of those;
- pool to one element or with a fixed kernel: adaptive pooling to more bins is refused as well, and
  means over bins are products with a matrix, as in `layers.resize_by_products`;
- take sizes from tensors, not from Python numbers that hold for one image only.
`tests/models/test_models.py` tries every arch, without a GPU.
"""

import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from pydantic import ConfigDict, ValidationError, validate_call
from torch import nn
from torch.overrides import TorchFunctionMode

from segmodels.config.document import shown


def build(arch: str, *, num_classes: int, **arguments: Any) -> nn.Module:
    """Build a model with random weights, which torch.manual_seed decides.

    Args:
        arch: a file of this folder.
        num_classes: channels of the logits, background included.
        arguments: of the builder.
    Raises:
        ValueError: there is no such arch, or it refuses a value.
    """
    return builder(arch)(num_classes=num_classes, **arguments)


def check_arguments(name: str, arch: str, arguments: dict[str, Any]) -> None:
    """Try a model of params.yaml without memory for its weights.

    Args:
        name: its key in `models`.
        arch: a file of this folder.
        arguments: of the builder, num_classes aside.
    Raises:
        ValueError: one line for each problem, with key, value and what is allowed.
    """
    try:
        function = builder(arch)
        takes = [key for key in inspect.signature(function).parameters if key != "num_classes"]
        for key in arguments:
            if key not in takes:
                raise ValueError(f"{key}: unknown argument, {arch} takes {', '.join(takes)}")
        with weightless():
            validate_call(config=ConfigDict(strict=True))(function)(num_classes=2, **arguments)
    except ValidationError as error:
        lines = (f"models.{name}.{_line(problem)}" for problem in error.errors())
        raise ValueError("\n".join(lines)) from None
    except ValueError as error:
        raise ValueError(f"models.{name}.{error}") from None
    except (MemoryError, RuntimeError, TypeError, OverflowError) as error:  # sizes beyond any
        reason = f"{arch} cannot be built with {shown(arguments)}: {type(error).__name__}"
        raise ValueError(f"models.{name}: {reason}") from None


@contextmanager
def weightless() -> Iterator[None]:
    """Modules that are built in the body have shapes, but no values and no memory.

    They are on the meta device, where torch fills a tensor with normal numbers by code that imports
    its compiler: seconds for nothing. That filling is left out.
    """
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return args[0] if func is torch.Tensor.normal_ else func(*args, **(kwargs or {}))


def builder(arch: str) -> Callable[..., nn.Module]:
    """The function that builds an arch.

    Raises:
        ValueError: there is no such arch.
    """
    function = getattr(_module(arch), arch, None)
    if function is None:
        raise ValueError(f"arch = {arch!r}: expected one of {', '.join(available())}")
    return function


def available() -> list[str]:
    """Every arch of this folder, in alphabetical order."""
    names = sorted(file.name for file in pkgutil.iter_modules(__path__))
    return [name for name in names if hasattr(_module(name), name)]


def backbone(arch: str, arguments: dict[str, Any]) -> str | None:
    """Name of the backbone that a builder would use with these arguments; None if it has none."""
    parameter = inspect.signature(builder(arch)).parameters.get("backbone")
    return None if parameter is None else arguments.get("backbone", parameter.default)


def coco_weights(arch: str) -> dict[str, str]:
    """Addresses of torchvision's whole models trained on COCO with VOC's classes, by backbone."""
    return getattr(_module(arch), "COCO", {})


def _module(arch: str) -> ModuleType | None:
    path = f"{__name__}.{arch}"
    return importlib.import_module(path) if importlib.util.find_spec(path) else None


def _line(problem: Any) -> str:
    """One pydantic problem as key, value and what is allowed."""
    key = ".".join(map(str, problem["loc"]))
    message = problem["msg"]
    return f"{key} = {shown(problem['input'])}: {message[0].lower()}{message[1:]}"
