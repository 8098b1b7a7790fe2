"""`segmodels card`: the model card of a file of weights, as Hugging Face's hub shows it."""

import argparse

from segmodels.core import packed
from segmodels.reporting import card


def add(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    model = "that comes along, see `segmodels models`, or a .safetensors file"
    command.add_argument("model", metavar="MODEL", help=model)


def run(options: argparse.Namespace) -> None:
    """Print the card."""
    path = packed.find(options.model)
    if path is None:
        known = ", ".join(packed.names()) or "none here"
        options.refuse(f"{options.model}: expected a model that comes along ({known}) or a file")
    print(card.markdown(packed.read_card(path)), end="")
