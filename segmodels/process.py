"""How a stage starts and ends: it dies with its parent and answers bad input in plain lines."""

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from tqdm import tqdm

PR_SET_PDEATHSIG = 1  # prctl(2)


def run(main: Callable[[], None]) -> None:
    """Run a stage.

    ValueError and OSError are what bad input and a failing machine raise: their message goes to
    stderr and the process ends with status 1. Anything else is a defect and keeps its traceback.
    One of many processes hands either to the one that launched them, which shows the first.
    """
    _die_with_parent()
    launcher = os.environ.get("TORCHELASTIC_ERROR_FILE")
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        expected = isinstance(error, ValueError | OSError)
        if launcher:
            _report(launcher, error, expected)
            sys.exit(1)
        if expected:
            sys.exit(f"error: {error}")
        raise


def _report(path: str, error: Exception, expected: bool) -> None:
    """Tell torchrun, which shows the message with the smallest time, why this process fails.

    An unexpected error is often that another process is gone: it steps back behind that one's.
    """
    message = str(error) if expected else traceback.format_exc()
    seconds = int(time.time()) + (0 if expected else 3600)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"message": message, "timestamp": seconds}, file)


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
    if not sys.stderr.isatty() or os.environ.get("RANK", "0") != "0":
        return items
    return tqdm(items, desc=what, total=count, leave=False, dynamic_ncols=True)
