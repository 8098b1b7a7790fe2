"""Tables as a person reads them: percent, points, millions; Markdown.

The table of scores itself, with its columns, is in summary.py.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from segmodels.evaluation.bootstrap import LEVEL, RESAMPLES
from segmodels.reporting.result import CROSS_ENTROPY, PREDICTED, Result
from segmodels.reporting.tables import otherwise, rise, usual

T = TypeVar("T")
RISE = 0.01  # a curve whose val mIoU still rises by more than this is still improving
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


class Remark(NamedTuple):
    """A sentence; or a heading, without its colon, and the lines under it."""

    sentence: str
    lines: Sequence[str] = ()


NOTHING = Remark("")


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


def remarks(results: Sequence[Result], val: str = "val") -> list[Remark]:
    """How the numbers were made, and which models are still improving.

    Args:
        val: name of the list of val's images, on which histories are measured.
    """
    recipe = usual(results)
    start = "random weights" if recipe["init"] == "none" else recipe["init"]
    precision = results[0].metrics["protocol"]["precision"]
    said = [
        Remark(measured(results)),
        Remark(_validated(results, val)),
        Remark(_looks(results)),
        Remark(f"Start: {start}; epochs: {recipe['epochs']}; {precision}."),
        _losses(results),
        _otherwise(results),
        _predicted(results),
        _seeds(results),
        Remark(_rising(results)),
    ]
    return [remark for remark in said if remark.sentence]


def listed(remarks: Sequence[Remark]) -> str:
    """Remarks as a Markdown list.

    Example:
        >>> listed([Remark("Seeds", ["0: a", "1: b"])])
        '- Seeds:\\n  - 0: a\\n  - 1: b\\n'
    """
    lines = list[str]()
    for remark in remarks:
        lines.append(f"- {remark.sentence}{':' if remark.lines else ''}\n")
        lines += [f"  - {line}\n" for line in remark.lines]
    return "".join(lines)


def measured(results: Sequence[Result]) -> str:
    """On what the scores were measured, as a sentence: the caption of figures."""
    metrics = results[0].metrics
    test_time = _common(results, "test_time", "predicted in several ways")
    weights = _common(results, "weights", "weights of several epochs")
    return (
        f"{metrics['dataset']}, {metrics['split']}: {metrics['images']} images, "
        f"{metrics['protocol']['ground_truth']}{_input_size(results)}, {test_time}, {weights}."
    )


def counted(results: Sequence[Result]) -> str:
    """What GMACs are."""
    sizes = {result.model: result.metrics["protocol"]["gflops_picture"] for result in results}
    return f"GMACs: billions of multiply-adds to predict {one_image(sizes)}."


def one_image(sizes: Mapping[str, str]) -> str:
    """One image of a size in pixels; of several sizes the first, with its model.

    Example:
        >>> one_image({"fcn": "80 x 64", "unet": "80 x 64"})
        'one image of 80 x 64 pixels'
    """
    model, size = next(iter(sizes.items()))
    if len(set(sizes.values())) > 1:
        return f"one image, at several sizes ({model}: {size} pixels)"
    return f"one image of {size} pixels"


def bars(*, video: bool) -> str:
    """What the bars of a figure are, for its caption.

    Args:
        video: whether the images are frames of videos, which summary.md has other intervals for.
    """
    if not video:
        return "Bars: 95% intervals over the images, not over training seeds."
    return (
        "Bars: 95% intervals over single images, too narrow for frames of video: summary.md has "
        "those over stretches, for the mIoU over all classes. They do not cover training seeds."
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    lines = [f"| {' | '.join(cells)} |\n" for cells in [head, rule, *rows]]
    return "".join(lines)


def _common(results: Sequence[Result], key: str, several: str) -> str:
    """What the protocols say of a key; where they differ: that they do, and what the first says."""
    values = [str(result.metrics["protocol"][key]) for result in results]
    if len(set(values)) > 1:
        return f"{several} ({results[0].model}: {values[0]})"
    return values[0]


def _input_size(results: Sequence[Result]) -> str:
    """To which size images were resized, in brackets; "" if they were not."""
    sides = [str(result.metrics["protocol"]["input_long_side"]) for result in results]
    if len(set(sides)) > 1:
        return f" (resized to several sizes for inference, {results[0].model}: {sides[0]})"
    return "" if sides[0] == "original" else f" (resized to long side {sides[0]} for inference)"


def _validated(results: Sequence[Result], val: str) -> str:
    """In what the curves' split or input size differs from the scores', or ""."""
    metrics = results[0].metrics
    recipe = usual(results)
    different = []
    if metrics["split"] != val:
        different.append(val)
    val_size = recipe.get("val_size")
    if val_size is not None and val_size != metrics["protocol"]["input_long_side"]:
        different.append(f"at long side {val_size}")
    return f"Curves: {', '.join(different)}." if different else ""


def of_curves(results: Sequence[Result], val: str = "val") -> str:
    """On what the curves were measured, as a sentence: the caption of their figures."""
    metrics = results[0].metrics
    side = usual(results).get("val_size")
    size = "original size" if side is None else f"long side {side}"
    images = f": {metrics['images']} images" if metrics["split"] == val else ""
    listed = val if val == "val" else f"val, which is {val}"
    return f"{metrics['dataset']}, {listed}{images}, {size}, single scale, after each epoch."


def _looks(results: Sequence[Result]) -> str:
    """How often test was looked at; "" where another split is scored."""
    looks = sum(result.metrics["protocol"].get("test_looks", 0) for result in results)
    if not looks:
        return ""
    split = results[0].metrics["split"]
    return f"Looks at {split} by these runs: {looks}, one a run, after its training."


def _losses(results: Sequence[Result]) -> Remark:
    """With which losses the models were trained."""
    losses = {result.model: result.loss for result in results}
    if len(set(losses.values())) == 1:
        return Remark(f"Loss: {results[0].loss}.")
    return Remark(f"Losses (curves show {CROSS_ENTROPY}, which all have)", _by_value(losses))


def _otherwise(results: Sequence[Result]) -> Remark:
    """Whose recipes differ from the usual one, and how."""
    recipes = {model: _pairs(values) for model, values in otherwise(results).items()}
    return Remark(f"Trained otherwise ({MARK})", _by_value(recipes)) if recipes else NOTHING


def _predicted(results: Sequence[Result]) -> Remark:
    """Which runs were predicted otherwise than the first, and how."""
    first = results[0].metrics["protocol"]
    ways = {}
    for result in results[1:]:
        protocol = result.metrics["protocol"]
        different = []
        for key in PREDICTED:
            if protocol[key] != first[key]:
                side = "long side " if key == "input_long_side" else ""
                different.append(f"{side}{protocol[key]}")
        if different:
            ways[result.model] = ", ".join(different)
    return (
        Remark(f"Predicted otherwise than {results[0].model}", _by_value(ways)) if ways else NOTHING
    )


def _seeds(results: Sequence[Result]) -> Remark:
    """With which seeds the models were trained, where they differ."""
    seeds = {result.model: str(result.metrics["protocol"]["seed"]) for result in results}
    return NOTHING if len(set(seeds.values())) == 1 else Remark("Seeds", _by_value(seeds))


def _rising(results: Sequence[Result]) -> str:
    """Which models are still improving."""
    rising = [result.model for result in results if rise(result.history) > RISE]
    named = "all" if len(rising) == len(results) > 1 else ", ".join(rising) or "none"
    gained = f"val mIoU rose by more than {RISE * 100:g} point over the last quarter of the epochs"
    return f"Still improving ({gained}): {named}."


def _by_value(values: Mapping[str, str]) -> list[str]:
    """{"a": "x", "b": "y", "c": "x"} as ["x: a, c", "y: b"]."""
    models = defaultdict[str, list[str]](list)
    for model, value in values.items():
        models[value].append(model)
    return [f"{value}: {', '.join(named)}" for value, named in models.items()]


def _pairs(values: Mapping[str, Any]) -> str:
    """{"a": 1, "b": 2} as "a 1, b 2"."""
    return ", ".join(f"{key} {value}" for key, value in values.items())
