"""Tables as a person reads them: percent, points, millions; Markdown.

The table of scores itself, with its columns, is in summary.py.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pandas as pd

from segmodels.evaluation.bootstrap import LEVEL, RESAMPLES
from segmodels.reporting.result import CROSS_ENTROPY, Result
from segmodels.reporting.tables import otherwise, rise, usual

T = TypeVar("T")
RISE = 0.01  # a curve whose val mIoU still rises by more than this is still improving
PREDICTION_KEYS = ["input_long_side", "test_time", "weights"]  # of the protocol
MARK = "*"  # stands behind the name of a model whose recipe differs from the usual one
DIFFERENCES_HEAD = ["models", "mIoU, points", "95% interval", "excludes 0"]
DIFFERENCES_MEANING = (
    f"The left model minus the right one, on the same images. Intervals: {LEVEL:.0%}, paired "
    f"bootstrap, {RESAMPLES:,} resamples of the images. They do not cover the training seed and "
    "are not corrected for the number of pairs."
)
SEEDS_HEAD = ["over seeds", "models", "seeds", "mean mIoU", "standard deviation, points"]
SEEDS_MEANING = (
    "Models that differ in the training seed alone, on the same images. "
    "Standard deviation: n - 1 in the denominator."
)


def differences_markdown(pairs: pd.DataFrame, comparisons: Mapping[str, Sequence[str]]) -> str:
    """Differences within comparisons in points of mIoU; "" if none has two runs."""
    rows = []
    for comparison, runs in comparisons.items():
        for _, pair in pairs.iterrows():
            if pair["first"] in runs and pair["second"] in runs:
                rows.append([comparison, *difference_row(pair)])
    if not rows:
        return ""
    return f"{table(['comparison', *DIFFERENCES_HEAD], rows)}\n{DIFFERENCES_MEANING}\n"


def scores_markdown(
    name: str, scores: pd.DataFrame, pairs: pd.DataFrame, classes: Sequence[str]
) -> str:
    """`tables.class_scores` of a comparison and its differences, as Markdown."""
    head = ["model", f"mIoU, {len(classes)} classes", "95% interval", "mIoU, present", "pixel acc"]
    known = f"The {len(classes)} classes: {', '.join(classes)}."
    differences = differences_markdown(pairs, {name: scores["model"].tolist()})
    return f"{table(head, each_row(scores, _scores_row))}\n{known}\n\n{differences}"


def _scores_row(row: pd.Series) -> list[str]:
    low, high = row["low"], row["high"]
    interval = "" if pd.isna(low) else f"{low:.1%} to {high:.1%}"
    return [
        row["model"],
        f"{row['miou']:.1%}",
        interval,
        f"{row['miou_present']:.1%}",
        f"{row['pixel_acc']:.1%}",
    ]


def seeds_markdown(spread: pd.DataFrame) -> str:
    """`tables.over_seeds` as a Markdown table; "" if it has no rows."""
    if not len(spread):
        return ""
    return f"{table(SEEDS_HEAD, each_row(spread, seeds_row))}\n{SEEDS_MEANING}\n"


def each_row(frame: pd.DataFrame, cells: Callable[[pd.Series], list[T]]) -> list[list[T]]:
    """The cells of every row of a frame."""
    return [cells(row) for _, row in frame.iterrows()]


def seeds_row(row: pd.Series) -> list[str]:
    """The cells of SEEDS_HEAD for one row of `tables.over_seeds`."""
    spread = f"{100 * row['sd']:.2f}"
    return [row["model"], row["runs"], str(row["seeds"]), f"{row['mean']:.2%}", spread]


def difference_row(pair: pd.Series, minus: str = "-") -> list[str]:
    """The cells of DIFFERENCES_HEAD for one pair of `tables.differences`."""
    names = f"{pair['second']} {minus} {pair['first']}"
    interval = f"{points(pair['low'])} to {points(pair['high'])}"
    excludes_zero = "yes" if pair["real"] else "no"
    return [names, points(pair["difference"]), interval, excludes_zero]


def points(difference: float) -> str:
    """A difference of two fractions in signed percentage points."""
    return f"{100 * difference:+.2f}"


def millions(parameters: int) -> str:
    return f"{parameters / 1e6:.1f} M"


def caption(results: Sequence[Result], val: str = "val") -> str:
    """How the numbers were made, and which models are still improving.

    Args:
        val: name of the list of val's images, on which histories are measured.
    """
    recipe = usual(results)
    start = "random weights" if recipe["init"] == "none" else recipe["init"]
    rising = [result.model for result in results if rise(result.history) > RISE]
    return (
        f"{measured(results)} {validated(results, val)}{_looks(results)}"
        f"Start: {start}; epochs: {recipe['epochs']}; "
        f"{results[0].metrics['protocol']['precision']}. "
        f"{_losses(results)} {_otherwise(results)}{_predicted(results)}{_seeds(results)}"
        f"Still improving (val mIoU rose by more than {RISE * 100:g} point over the last quarter "
        f"of the epochs): {', '.join(rising) or 'none'}."
    )


def measured(results: Sequence[Result]) -> str:
    """On what the scores were measured, as a sentence: the caption of figures."""
    metrics = results[0].metrics
    protocol = metrics["protocol"]
    test_time = protocol["test_time"]
    if any(result.metrics["protocol"]["test_time"] != test_time for result in results):
        test_time = f"predicted in several ways ({results[0].model}: {test_time})"
    return (
        f"{metrics['dataset']}, {metrics['split']}: {metrics['images']} images, "
        f"{protocol['ground_truth']}{_input_size(protocol)}, {test_time}, "
        f"{protocol['weights']}."
    )


def counted(results: Sequence[Result]) -> str:
    """What GMACs are."""
    size = results[0].metrics["protocol"]["gflops_picture"]
    return f"GMACs: billions of multiply-adds to predict one image of {size} pixels."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    lines = [f"| {' | '.join(cells)} |\n" for cells in [head, rule, *rows]]
    return "".join(lines)


def _input_size(protocol: Mapping[str, Any]) -> str:
    """To which size images were reduced, in brackets; "" if they were not."""
    side = protocol["input_long_side"]
    return "" if side == "original" else f" (resized to long side {side} for inference)"


def validated(results: Sequence[Result], val: str = "val") -> str:
    """In what the curves' split or input size differs from the scores', as a sentence."""
    metrics = results[0].metrics
    recipe = usual(results)
    different = []
    if metrics["split"] != val:
        different.append(val)
    val_size = recipe.get("val_size")
    if val_size is not None and val_size != metrics["protocol"]["input_long_side"]:
        different.append(f"at long side {val_size}")
    return f"Curves: {', '.join(different)}. " if different else ""


def of_curves(results: Sequence[Result], val: str = "val") -> str:
    """On what the curves were measured, as a sentence: the caption of their figures."""
    metrics = results[0].metrics
    side = usual(results).get("val_size")
    size = "original size" if side is None else f"long side {side}"
    images = f": {metrics['images']} images" if metrics["split"] == val else ""
    listed = val if val == "val" else f"val, which is {val}"
    return f"{metrics['dataset']}, {listed}{images}, {size}, single scale, after each epoch."


def _looks(results: Sequence[Result]) -> str:
    """How often test was looked at, as a sentence; "" where another split is scored."""
    looks = sum(result.metrics["protocol"].get("test_looks", 0) for result in results)
    if not looks:
        return ""
    return f"Looks at {results[0].metrics['split']}: {looks}, one a run, after its training. "


def _losses(results: Sequence[Result]) -> str:
    """With which losses the models were trained, as a sentence."""
    losses = {result.model: result.loss for result in results}
    if len(set(losses.values())) == 1:
        return f"Loss: {results[0].loss}."
    return f"Losses: {_pairs(losses)}; their curves show {CROSS_ENTROPY}, which all have."


def _otherwise(results: Sequence[Result]) -> str:
    """Whose recipes differ from the usual one, and how, as a sentence; "" if none does."""
    models = [f"{model} {_pairs(values)}" for model, values in otherwise(results).items()]
    return f"Trained otherwise ({MARK}): {'; '.join(models)}. " if models else ""


def _predicted(results: Sequence[Result]) -> str:
    """Which runs were predicted otherwise than the first, and how, as a sentence."""
    first = results[0].metrics["protocol"]
    models = []
    for result in results[1:]:
        protocol = result.metrics["protocol"]
        different = [str(protocol[key]) for key in PREDICTION_KEYS if protocol[key] != first[key]]
        if different:
            models.append(f"{result.model} {', '.join(different)}")
    if not models:
        return ""
    return f"Predicted otherwise than {results[0].model}: {'; '.join(models)}. "


def _seeds(results: Sequence[Result]) -> str:
    """With which seeds the models were trained, as a sentence; "" if with one seed."""
    seeds = {result.model: result.metrics["protocol"]["seed"] for result in results}
    if len(set(seeds.values())) == 1:
        return ""
    return f"Seeds: {_pairs(seeds)}. "


def _pairs(values: Mapping[str, Any]) -> str:
    """{"a": 1, "b": 2} as "a 1, b 2"."""
    return ", ".join(f"{key} {value}" for key, value in values.items())
