"""The pipeline's programs, each started as `python -m stages.<name>`."""

import sys

from segmodels import process

if sys.argv[0] == "-m":  # while Python looks for the module that it shall run
    process.begin()
