"""How a stage starts and ends: it dies with its parent and answers bad input in plain lines."""

import ctypes
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tqdm import tqdm

PR_SET_PDEATHSIG = 1  # prctl(2)
MADE = re.compile("(studies/.+/)?(data|reports)/")  # what stages make


def run(main: Callable[[], None]) -> None:
    """Run a stage, or a command.

    What bad input and a failing machine raise is shown in one line on stderr (see `one_line`), and
    the process ends with status 1. Anything else is a defect and keeps its traceback.
    """
    interrupts = signal.getsignal(signal.SIGINT)
    try:
        if interrupts is signal.SIG_DFL:  # as `begin` leaves it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        line = one_line(error)
        if line is None:
            raise
        sys.exit(f"error: {line}")
    finally:
        if interrupts is signal.SIG_DFL:
            signal.signal(signal.SIGINT, interrupts)


def study() -> str:
    """The study's folder, the first word behind a stage's name; "" is the project's own.

    It ends in a slash, as in `python -m stages.train studies/camvid/ fcn`, and may be left out.

    Raises:
        ValueError: there is no such folder.
    """
    here = sys.argv[1] if _names_study(sys.argv[1:]) else ""
    if here and not os.path.isfile(f"{here}params.yaml"):
        raise ValueError(f"{here}: expected a study's folder, with a params.yaml")
    return here


def argument(names: Iterable[str], where: str = "params.yaml") -> str:
    """The one word behind a stage's study on its command line, which has to be one of `names`.

    Args:
        where: they stand.

    Raises:
        ValueError: it is another one, there is none, or there are more.
    """
    known, words = list(names), sys.argv[1:]
    if _names_study(words):
        words = words[1:]
    if len(words) != 1 or words[0] not in known:
        found = " ".join(words) or "nothing"
        raise ValueError(f"{found}: expected one model of {where}: {', '.join(known)}")
    return words[0]


def _names_study(words: list[str]) -> bool:
    return bool(words) and (not words[0] or words[0].endswith("/"))


def begin() -> None:
    """First of all, before seconds of imports: die with the parent, end on Ctrl-C without a trace.

    Python would answer Ctrl-C with the traceback of whatever import it is at.
    """
    _die_with_parent()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def one_line(error: Exception) -> str | None:
    """What a person is told of bad input or of a failing machine.

    Returns:
        the message of a ValueError or OSError, or what to do where memory is short; None: the error
        is another, a defect of the program.
    """
    if out_of_memory(error):
        reason = str(error).partition("\n")[0]
        reason = reason[max(0, reason.find("DefaultCPUAllocator")) :]
        return (
            f"memory is short ({reason or 'no more to be had'}): make some free and start the same "
            "command again, or lower batch_size in params.yaml"
        )
    return _message(error) if isinstance(error, ValueError | OSError) else None


def out_of_memory(error: Exception) -> bool:
    """Whether an error of Python, numpy or torch says that memory is short."""
    words = ("can't allocate memory", "out of memory")  # torch's, of the CPU and of a GPU
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def _message(error: ValueError | OSError) -> str:
    """The message of an error; one of the system about a file without Python's number."""
    if not isinstance(error, OSError) or not error.strerror or error.filename is None:
        return str(error)
    file = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    made = bool(MADE.match(str(file))) and isinstance(error, FileNotFoundError)
    advice = "; `dvc repro` makes what a stage needs" if made else ""
    return f"{file}: {error.strerror[0].lower()}{error.strerror[1:]}{advice}"


def _die_with_parent() -> None:
    """Let the kernel kill this process with DVC, so that it never overwrites a later run."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os.kill(os.getpid(), signal.SIGKILL)


def plain(text: object) -> str:
    """Without line breaks and control characters, which the name of a file may have."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def progress(items: Iterable[Any], count: int, what: str) -> Iterable[Any]:
    """Show on a terminal how far `items` are, with rate and time left; elsewhere pass them on."""
    if not _on_terminal():
        return items
    return tqdm(items, desc=what, total=count, leave=False, dynamic_ncols=True)


class Bar:
    """One bar over several series of items, such as the epochs of a training.

    Args:
        what: stands before the bar.
    """

    def __init__(self, what: str) -> None:
        self._bar = tqdm(desc=what, leave=False, dynamic_ncols=True, disable=not _on_terminal())

    def expect(self, total: int) -> None:
        """Say how many items all series have."""
        self._bar.total = total

    def progress(self, items: Iterable[Any], count: int, what: str) -> Iterator[Any]:
        """Pass items on and move the bar, behind which stands the name of their series."""
        self._bar.set_postfix_str(what)
        for item in items:
            yield item
            self._bar.update()

    def reach(self, done: int) -> None:
        """Move the bar to a number of items, e.g. where a training goes on from a checkpoint."""
        if not self._bar.disable:
            self._bar.update(done - self._bar.n)

    def write(self, line: str) -> None:
        """Print a line above the bar."""
        with tqdm.external_write_mode():
            print(line, flush=True)

    def close(self) -> None:
        self._bar.close()


def _on_terminal() -> bool:
    """Whether a person watches this process; of several that train together, only the first."""
    return sys.stderr.isatty() and os.environ.get("RANK", "0") == "0"
