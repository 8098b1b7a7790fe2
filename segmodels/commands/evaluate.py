"""`segmodels evaluate`: scores of a folder of label maps, whichever program has made them."""

import argparse
import sys

from segmodels.commands import common
from segmodels.commands.common import complain
from segmodels.core import supervise
from segmodels.data import layout
from segmodels.evaluation import score_masks, submitted


def add(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    masks, tree = "with <image_id>.png, palette or grey", "a VOC tree: .../VOCdevkit/VOC2012"
    command.add_argument(
        "--predictions", type=common.path, required=True, metavar="DIR", help=masks
    )
    command.add_argument("--voc", type=common.path, required=True, metavar="DIR", help=tree)
    split = "a list of ImageSets/Segmentation (default: val)"
    command.add_argument("--split", default="val", metavar="NAME", help=split)
    model = "whose masks of `segmodels predict` are meant, where there are several models'"
    command.add_argument("--model", metavar="NAME", help=model)
    read = "what counts in a prediction with a palette (default: what both agree on)"
    command.add_argument("--read", choices=["index", "colour"], help=read)
    undecided = "how void in a prediction counts (default: it is refused)"
    command.add_argument("--undecided", choices=["wrong", "ignore"], help=undecided)
    common.add_dataset(command)


def run(options: argparse.Namespace) -> None:
    """Score a folder of label maps."""
    settings = common.evaluated(options)
    data = settings.data
    image_ids = layout.read_split(options.voc, options.split)
    files = submitted.Folder(options.predictions, options.voc, options.model)
    counts = score_masks.per_image(
        options.predictions,
        options.voc,
        supervise.progress(image_ids, len(image_ids), "evaluate"),
        num_classes=len(data.classes),
        ignore_index=data.void,
        read=submitted.Reader(data, options.read, files),
        undecided=options.undecided,
    )
    complain(*counts.problems)
    last = f"{len(counts.image_ids)} of {len(image_ids)} images of {options.split}"
    if unused := files.unused():
        last += f"; {unused} files of {options.predictions} were not used"
    if counts.overlap.any():
        wrong, notes = submitted.doubts(counts, data, settings.dataset)
        if wrong:
            raise ValueError(f"{options.voc}: {wrong}")
        complain(*notes)
        print(submitted.table(counts, data.classes))
    print(last)
    if len(counts.image_ids) < max(1, len(image_ids)):
        sys.exit(1)
