"""`segmodels check`: what is wrong with a labelled data set, and how to fix it."""

import argparse
import sys

from segmodels.commands import common
from segmodels.core import supervise
from segmodels.data.doctor import trees
from segmodels.reporting import data_check


def add(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    data = "a data set of params.yaml, or a folder in VOC layout"
    command.add_argument("data", metavar="NAME", help=data)
    page = "an HTML page with the suspects, random samples and training crops"
    command.add_argument("--page", type=common.path, metavar="FILE", help=page)
    common.add_dataset(command)


def run(options: argparse.Namespace) -> None:
    """Print what is wrong."""
    options.voc = trees.find(options.data, common.settings(options))
    settings = common.evaluated(options)
    diagnosis = data_check.run(options.voc, settings, options.page)
    for line in data_check.lines(diagnosis, settings.dataset):
        print(supervise.plain(line))
    if options.page:
        print(f"written: {options.page}")
    if diagnosis.problems:
        sys.exit(1)
