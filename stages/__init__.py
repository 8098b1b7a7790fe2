"""The pipeline's programs, each started as `python -m stages.<name>`."""

import signal
import sys
from types import TracebackType

if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C amid imports: no traceback

import segmodels  # noqa: E402, F401  it refuses a Python without the packages


def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error, unless it is what a library made of Ctrl-C, as PyTorch's writer of files."""
    cause: BaseException | None = error
    while cause and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__context__
    if cause is None:
        sys.__excepthook__(kind, error, trace)


if sys.argv[0] == "-m":  # while Python looks for the module that it shall run
    sys.excepthook = show
    from segmodels.core import supervise

    supervise.begin()
