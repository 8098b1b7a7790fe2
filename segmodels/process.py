"""How a stage starts and ends: it dies with its parent and answers bad input in plain lines."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

from tqdm import tqdm

PR_SET_PDEATHSIG = 1  # prctl(2)


def run(main: Callable[[], None]) -> None:
    """Run a stage.

    ValueError and OSError are what bad input and a failing machine raise: their message goes to
    stderr and the process ends with status 1. Anything else is a defect and keeps its traceback.
    """
    _die_with_parent()
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _die_with_parent() -> None:
    """Let the kernel kill this process with DVC, so that it never overwrites a later run."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os.kill(os.getpid(), signal.SIGKILL)


def progress(items: Iterable[Any], count: int, what: str) -> Iterable[Any]:
    """Show on a terminal how far `items` are, with rate and time left; elsewhere pass them on."""
    if not sys.stderr.isatty():
        return items
    return tqdm(items, desc=what, total=count, leave=False, dynamic_ncols=True)
