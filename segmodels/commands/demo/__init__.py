"""`segmodels demo`: a page on which models label photographs, served by this machine for itself."""

import argparse
import os
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from segmodels.commands import common, models, predict
from segmodels.commands.common import complain
from segmodels.core import packed

if TYPE_CHECKING:
    from segmodels.inference.predictor import Model

PORT = 8765
LOOPBACK = "127.0.0.1"
CHOSEN = 2  # models that the page shows at once


def add(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    model = (
        "as for `segmodels predict`, several times: to be chosen from too, the first two at the "
        "beginning; models that come along and runs that have been trained are there without"
    )
    command.add_argument("--model", action="append", metavar="MODEL", help=model)
    common.add_dataset(command)
    port = f"of the page (default: {PORT}); 0: any that is free"
    command.add_argument("--port", type=_port, default=PORT, metavar="N", help=port)
    host = f"address to listen on (default: {LOOPBACK}, this machine alone); 0.0.0.0: all"
    command.add_argument("--host", default=LOOPBACK, metavar="ADDRESS", help=host)
    command.add_argument("--open", action="store_true", help="open the page in the browser")


def run(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    from segmodels.commands.demo.labelling import Labelling
    from segmodels.commands.demo.server import Server

    named = {name: predict.loaded(name, options) for name in dict.fromkeys(options.model or [])}
    offered = _offered(named, options)
    if not offered:
        options.refuse(
            "no model: expected one that comes along, a run of params.yaml that has been trained, "
            "or --model, as --model torchvision/fcn_resnet50"
        )
    chosen = list(named)[:CHOSEN] or _first(offered)
    labelling = Labelling(named, options.dataset)
    temporary = tempfile.TemporaryDirectory(prefix="segmodels-demo-", ignore_cleanup_errors=True)
    address = (options.host, options.port)
    try:
        with temporary as folder, Server(*address, labelling, offered, chosen, folder) as server:
            labelling.prepare(chosen)
            print(f"{server.url}  (Ctrl-C ends it)", flush=True)
            if not server.own:
                complain("everyone who reaches this machine's port can use the page")
            if options.open:
                webbrowser.open(server.url)
            server.serve_forever()
    except KeyboardInterrupt:
        os._exit(0)  # or Python would wait for the photograph at hand, which nobody waits for


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a port, 0 to 65535")
    return int(text)


def _offered(named: "dict[str, Model]", options: argparse.Namespace) -> dict[str, str]:
    """Name of each model that can be chosen -> where it comes from, for people."""
    offered = {name: model.card.summary if model.card else "" for name, model in named.items()}
    for name in packed.names():
        path = packed.FOLDER / f"{name}{packed.SUFFIX}"
        offered.setdefault(name, packed.read_card(path).summary)
    if Path("params.yaml").is_file():
        try:
            settings = common.settings(options)
        except ValueError as error:  # another program's file, in the way of no model
            complain(f"its runs are not offered: {error}")
        else:
            for name in models.trained(settings):
                offered.setdefault(name, f"trained here on {settings.dataset}")
    return offered


def _first(offered: dict[str, str]) -> list[str]:
    """The model with which the page begins where none is named."""
    return [packed.DEFAULT if packed.DEFAULT in offered else next(iter(offered))]
