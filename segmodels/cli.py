"""The command `segmodels`: what a person asks of the project.

Results go to stdout, all else to stderr. Exit status: 0 all done; 1 some or all of it not, with a
line for each reason; 2 a wrong command line. A command is a module with `add`, its options, and
`run`; only the one that is asked for is imported, since PyTorch alone takes seconds.
"""

import argparse
import importlib
import io
import sys
from types import ModuleType

from segmodels.core import supervise

COMMANDS = {  # module and help
    "predict": ("segmodels.commands.predict", "label maps of photographs"),
    "demo": ("segmodels.commands.demo", "a page on which models label photographs, to try them"),
    "models": ("segmodels.commands.models", "which models there are, and what they know"),
    "card": ("segmodels.commands.card", "the model card of a file of weights"),
    "export": ("segmodels.commands.export", "a model as an ONNX file"),
    "evaluate": ("segmodels.commands.evaluate", "scores of a folder of VOC-style masks"),
    "check": ("segmodels.commands.check", "what is wrong with a labelled data set"),
    "import": ("segmodels.importing", "a labelled data set becomes one of your own"),
    "new": ("segmodels.new_study", "a study folder for a data set of your own"),
    "bn-probe": ("segmodels.commands.bn_probe", "two models, each other's BatchNorm statistics"),
}


def main(words: list[str] | None = None) -> None:
    """The command `segmodels`; its words are the process's own unless given."""
    words = sys.argv[1:] if words is None else words
    options = parser(words[0] if words else "").parse_args(words)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the name of a file may be no text
    supervise.run(lambda: module(options.command).run(options))


def parser(*wanted: str) -> argparse.ArgumentParser:
    """Of all commands, with the options of those that are wanted.

    Of what it makes, `refuse(line)` ends the program with status 2.
    """
    whole = argparse.ArgumentParser(prog="segmodels", description="Use what was trained.")
    commands = whole.add_subparsers(required=True, dest="command", metavar=" | ".join(COMMANDS))
    for name, (_, help_text) in COMMANDS.items():
        one = commands.add_parser(name, help=help_text)
        if name in wanted:
            module(name).add(one)
            one.set_defaults(refuse=one.error)
    return whole


def module(command: str) -> ModuleType:
    """Where a command is."""
    return importlib.import_module(COMMANDS[command][0])


if __name__ == "__main__":
    main()
