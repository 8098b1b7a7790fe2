"""`segmodels card`: the model card of a file of weights, as Hugging Face's hub shows it."""

import argparse
from pathlib import Path

from segmodels.core import packed
from segmodels.reporting import card


def add(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    model = "that comes along, see `segmodels models`, or a .safetensors file"
    command.add_argument("model", metavar="MODEL", help=model)


def run(options: argparse.Namespace) -> None:
    """Print the card."""
    path = packed.find(options.model) or Path(options.model)
    print(card.markdown(packed.read_card(path)), end="")
