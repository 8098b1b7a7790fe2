"""Multiply-adds, which are counted: the same number on every machine.

A multiplication with its addition counts once, as in torchvision's tables (torch's own counter
counts it twice). Convolutions and matrix products are counted, nothing else.
"""

import inspect
from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode, _FlopCounterMode

# torch wraps it to keep its compiler out of it, and imports the compiler for that.
_FlopCounterMode.__torch_dispatch__ = inspect.unwrap(  # type: ignore[method-assign]
    _FlopCounterMode.__torch_dispatch__
)


def gflops(compute: Callable[[], object]) -> float:
    """Billions of multiply-adds of one call.

    Example:
        >>> gflops(lambda: torch.ones(10, 1000) @ torch.ones(1000, 100))
        0.001
    """
    with FlopCounterMode(display=False) as counter:
        compute()
    return counter.get_total_flops() / 2e9
