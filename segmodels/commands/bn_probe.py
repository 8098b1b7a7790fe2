"""`segmodels bn-probe`: two models with each other's BatchNorm statistics."""

import argparse

import pandas as pd

from segmodels.commands import common
from segmodels.core import files, machine, supervise
from segmodels.core.distributed import Processes
from segmodels.evaluation import scores
from segmodels.models import trained
from segmodels.training import probe
from segmodels.training.task import Job

PROBED = ["miou", "miou_present", "pixel_acc", "mean_acc"]


def add(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument("first", metavar="FIRST", help="model of params.yaml")
    command.add_argument("last", metavar="LAST", help="of the same shape, e.g. trained on from it")
    command.add_argument("--csv", type=common.path, metavar="FILE", help="for the table")
    common.add_dataset(command)


def run(options: argparse.Namespace) -> None:
    """Measure two models on val, each with the BatchNorm statistics of the other too."""
    settings = common.settings(options)
    names = {"first": options.first, "last": options.last}
    then = trained.as_trained(settings, options.last)
    recipe = then.recipe(options.last)
    seed = then.model_seed(options.last)
    runtime = machine.start(recipe.precision, recipe.threads, recipe.deterministic, seed)
    first = trained.load(settings, options.first, runtime=runtime).module
    last = trained.load(settings, options.last, runtime=runtime).module
    job = Job.of(then, options.last, runtime, supervise.progress, Processes())
    rows = []
    for weights, origin, losses, confusion in probe.exchange(first, last, job):
        score = scores.summarize(confusion)
        row = {"weights of": names[weights], "statistics": names.get(origin, origin)}
        for name in PROBED:
            row[name] = score[name]
        rows.append(row | losses)
    table = pd.DataFrame(rows).drop(columns="loss")
    if options.csv:
        files.write_csv(options.csv, table)
    print(table.to_string(index=False, float_format="{:.4f}".format))
