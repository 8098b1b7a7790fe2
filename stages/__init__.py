"""The pipeline's programs, each started as `python -m stages.<name>`."""

import signal
import sys

if sys.argv[0] == "-m":  # while Python looks for the module that it shall run
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C amid imports: no traceback
    from segmodels import process

    process.begin()
