"""`segmodels import`: a labelled data set of any form becomes one of the pipeline's own.

Prints what was found, what was left out, and the lines for params.yaml. Nothing of it needs torch.
"""

import argparse
import re
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from segmodels.commands import common
from segmodels.config.params import FORBIDDEN, RESERVED_DATASETS
from segmodels.config.template import quoted
from segmodels.core import supervise
from segmodels.data.sources import importer, splits
from segmodels.data.sources.formats import FORMATS
from segmodels.data.sources.formats.naming import VOID_LABEL
from segmodels.data.sources.formats.sample import Asked
from segmodels.data.sources.importer import Report

OWN = "own"  # folder of data/ in which the pipeline looks for data sets
MOST_SKIPPED = 10
SPLITS = ("train", "val", "test")


def add(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument(
        "source", type=common.path, metavar="SOURCE", help="folder, or a JSON or XML file"
    )
    destination = "to be made, e.g. data/own/roads"
    command.add_argument("--to", type=common.path, required=True, metavar="DIR", help=destination)
    form = "of SOURCE (default: auto, what is recognised)"
    command.add_argument("--format", choices=["auto", *FORMATS], default="auto", help=form)
    classes = "in the order of their labels, e.g. background,road,car"
    command.add_argument("--classes", type=common.names, metavar="A,B,...", help=classes)
    meaning = "a name, value (255) or colour (128,0,0) of SOURCE becomes a class, or void"
    command.add_argument("--map", type=_pair, action="append", metavar="KEY=CLASS", help=meaning)
    table = "of masks: lines NAME R G B, or NAME VALUE"
    command.add_argument("--table", type=common.path, metavar="FILE", help=table)
    command.add_argument("--images", metavar="DIR", help="with the images, in SOURCE")
    command.add_argument("--masks", metavar="DIR", help="with the masks, in SOURCE (pairs)")
    suffix = "what masks are called more than images, e.g. _mask (pairs)"
    command.add_argument("--mask-suffix", metavar="TEXT", help=suffix)
    crowd = "what COCO's crowd regions become (default: void)"
    command.add_argument("--crowd", choices=["void", "class"], default="void", help=crowd)
    share = f"share of images that validate (default: SOURCE's own split, or {splits.SHARE})"
    command.add_argument("--val", type=_share, metavar="SHARE", help=share)
    listed = "ids of the images that validate"
    command.add_argument("--val-list", type=common.path, metavar="FILE", help=listed)
    group = "images in whose path it finds the same stay in one split"
    command.add_argument("--group", type=_expression, metavar="REGEX", help=group)
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the split (default: 0)"
    )
    skip = "leave out images that have a problem; they are listed"
    command.add_argument("--skip", action="store_true", help=skip)
    command.set_defaults(refuse=command.error)


def run(options: argparse.Namespace) -> None:
    """Import a data set and print the report."""
    if options.val_list and (options.val is not None or options.group):
        options.refuse("--val-list: expected without --val and --group, since it says all")
    name = _dataset(options.to)
    asked = Asked(
        options.classes,
        dict(options.map or []),
        options.table,
        options.images,
        options.masks,
        options.mask_suffix,
        options.crowd,
    )
    choice = splits.Choice(options.val, options.val_list, options.group, options.seed)
    with _ended_tidily():
        report = importer.bring(
            options.source,
            options.to,
            options.format,
            asked,
            choice,
            skip=options.skip,
            watch=lambda work: supervise.progress(work, len(work), "import"),
        )
    for line in [
        *summary(report, options.to),
        "",
        *lines_for_params(report, name),
        "",
        _next(name),
    ]:
        print(supervise.plain(line))


@contextmanager
def _ended_tidily() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does: what it has begun to write is removed.

    A signal that is ignored, as `nohup` wants it, stays so.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    ours = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def summary(report: Report, root: Path) -> list[str]:
    """What was imported, left out and changed."""
    counts = ", ".join(f"{report.splits[split]} {split}" for split in _order(report))
    how = f"recognised by {report.sign}" if report.sign else "as --format says"
    lines = [
        f"{report.format}, {how}",
        f"{root}: {sum(report.splits.values())} images ({counts})",
        "",
        *_class_table(report),
    ]
    if report.groups:
        groups = ", ".join(f"{report.groups[split]} {split}" for split in _order(report))
        lines.append(f"groups of --group: {groups}")
    for remark, count in sorted(report.remarks.items()):
        lines.append(f"{count:,} {remark}")
    lines += _absent(report)
    if report.skipped:
        lines.append(f"left out: {len(report.skipped)}")
        for line in report.skipped[:MOST_SKIPPED]:
            lines.append(f"  {line}")
        if len(report.skipped) > MOST_SKIPPED:
            lines.append(f"  and {len(report.skipped) - MOST_SKIPPED} more")
    return lines


def _order(report: Report) -> list[str]:
    """The splits that there are."""
    return [split for split in SPLITS if split in report.splits]


def _class_table(report: Report) -> list[str]:
    """Pixels of each class and of void, and the images in which it occurs, by split."""
    order = _order(report)
    width = max(map(len, [*report.names.classes, "label  class"]))
    heading = f"{'label  class':<{width + 7}}{'pixels':>14}{'share':>8}"
    lines = [heading + "".join(f"{split:>8}" for split in order)]
    total = sum(pixels.sum() for pixels in report.pixels.values())
    rows = [*enumerate(report.names.classes), (VOID_LABEL, "void")]
    for label, name in rows:
        pixels = 0
        images = ""
        for split in order:
            pixels += report.pixels[split][label]
            images += f"{report.images[split][label]:>8,}"
        lines.append(f"{label:>5}  {name:<{width}}{pixels:>14,}{pixels / total:>8.1%}{images}")
    return lines


def _absent(report: Report) -> list[str]:
    """A line where a class has no pixel in training or validation."""
    lines = list[str]()
    for split, effect in (
        ("train", "`dvc repro` refuses that unless `allow_absent` names them"),
        ("val", "no score says anything of them"),
    ):
        pixels = report.pixels[split]
        absent = [name for label, name in enumerate(report.names.classes) if not pixels[label]]
        if absent:
            lines.append(f"no pixel of {', '.join(absent)} in {split}: {effect}")
    return lines


def lines_for_params(report: Report, name: str) -> list[str]:
    """What to put into params.yaml."""
    lines = [
        "# params.yaml",
        f"dataset: {name}",
        "datasets:",
        f"  {name}:",
        f"    classes: [{', '.join(map(quoted, report.names.classes))}]",
    ]
    if report.names.palette:
        lines.append(f"    palette: {[list(colour) for colour in report.names.palette]}")
    lines += [
        "train:",
        f"  {name}: *train_miniature      # or numbers of its own",
        "predict:",
        f"  {name}: *predict_miniature",
    ]
    return lines


def _next(name: str) -> str:
    """The command that makes a study of it."""
    return f"next: segmodels new {shlex.quote(name)}, which writes a study with these lines"


def _dataset(root: Path) -> str:
    """The name of a data set that lies at a path.

    Raises:
        ValueError: the pipeline takes no such name.
    """
    parts = root.absolute().parts
    place = max((k for k, part in enumerate(parts) if part == OWN), default=len(parts) - 2)
    name = "/".join(parts[place + 1 :])
    if not name:
        raise ValueError(f"--to {root}: expected a folder in it, as data/own/roads")
    if set(name) & FORBIDDEN or not name.isprintable() or name != name.strip():
        raise ValueError(f"--to {root}: expected a name without . @ $ : , as data/own/roads")
    if name.split("/")[0] in RESERVED_DATASETS:
        raise ValueError(f"--to {root}: data/{name.split('/')[0]} is taken, expected another name")
    return name


def _pair(text: str) -> tuple[str, str]:
    key, equals, target = text.rpartition("=")
    if not equals or not key or not target:
        raise argparse.ArgumentTypeError(f"{text!r}: expected KEY=CLASS, e.g. 255=road")
    return key, target


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share between 0 and 1, e.g. 0.2")
    return share


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r}: no regular expression: {error}") from None
