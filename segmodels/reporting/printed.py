"""Tables of reporting/tables.py as a person reads them: percent, points, millions; Markdown."""

from collections.abc import Mapping, Sequence

import pandas as pd

from segmodels.evaluation.statistics import LEVEL, RESAMPLES
from segmodels.reporting.tables import CROSS_ENTROPY, FLOOR, WATCHED, Result, otherwise, rise, usual

RISE = 0.01  # val mIoU; a curve that still rises by more than this has not flattened
PREDICTED = ["input_long_side", "test_time", "weights"]  # of the protocol
MARK = "*"  # of a model that was trained otherwise than most
SHOWN = {  # scores in a table for people, by their heading
    "mIoU": "miou",
    "95% interval": "miou_low",
    "mIoU, present": "miou_present",
    "boundary mIoU": "boundary_miou",
    "pixel acc": "pixel_acc",
    "mean acc": "mean_acc",
}
HEAD = ["model", *SHOWN, "best epoch", "parameters", "GMACs"]
DIFFERENCES_HEAD = ["models", "mIoU, points", "95% interval", "excludes 0"]
DIFFERENCES_MEANING = (
    f"First model minus second, as written, on the same pictures. Intervals: {LEVEL:.0%}, from "
    f"{RESAMPLES:,} draws of the split's pictures with replacement. They cover the choice of the "
    "pictures, not the training seed, and are not corrected for the number of pairs."
)
SEEDS_HEAD = ["over seeds", "models", "seeds", "mean mIoU", "standard deviation, points"]
SEEDS_MEANING = (
    "Models that are the same but for the training seed, on the same pictures. "
    "Standard deviation: n - 1 in the denominator."
)


def report(
    summary: pd.DataFrame,
    caption: str,
    differences: pd.DataFrame,
    comparisons: Mapping[str, Sequence[str]],
    seeds: pd.DataFrame,
) -> str:
    """All that is said of the runs of a study, in Markdown."""
    parts = [markdown(summary, caption), differences_markdown(differences, comparisons)]
    return "\n".join(filter(None, [*parts, seeds_markdown(seeds)]))


def markdown(summary: pd.DataFrame, caption: str) -> str:
    """A summary as a Markdown table in percent, the caption under it."""
    return f"{table(HEAD, [printed_row(row) for _, row in summary.iterrows()])}\n{caption}\n"


def differences_markdown(pairs: pd.DataFrame, comparisons: Mapping[str, Sequence[str]]) -> str:
    """Differences within the comparisons, as a Markdown table in points of mIoU."""
    rows = []
    for comparison, runs in comparisons.items():
        inside = pairs["first"].isin(runs) & pairs["second"].isin(runs)
        rows += [[comparison, *difference_row(pair)] for _, pair in pairs[inside].iterrows()]
    head = ["comparison", *DIFFERENCES_HEAD]
    return f"{table(head, rows)}\n{DIFFERENCES_MEANING}\n" if rows else ""


def scores_markdown(
    name: str, table_of: pd.DataFrame, pairs: pd.DataFrame, classes: Sequence[str]
) -> str:
    """`tables.class_scores` of a comparison and its differences, as Markdown."""
    head = ["model", f"mIoU, {len(classes)} classes", "95% interval", "mIoU, present", "pixel acc"]
    rows = [_scores_row(row) for _, row in table_of.iterrows()]
    known = f"The {len(classes)} classes: {', '.join(classes)}."
    runs = table_of["model"].tolist()
    differences = differences_markdown(pairs, {name: runs})
    return f"{table(head, rows)}\n{known}\n\n{differences}"


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
    """`tables.over_seeds` as a Markdown table; nothing if it has no rows."""
    rows = [seeds_row(row) for _, row in spread.iterrows()]
    return f"{table(SEEDS_HEAD, rows)}\n{SEEDS_MEANING}\n" if rows else ""


def printed_row(row: pd.Series) -> list[str]:
    """One model of a summary: percent, epochs, millions of parameters, GMACs."""
    known = {head: row[name] for head, name in SHOWN.items()}
    cells = {head: "" if pd.isna(score) else f"{score:.1%}" for head, score in known.items()}
    if cells["95% interval"]:
        cells["95% interval"] += f" to {row['miou_high']:.1%}"
    best = parameters = gmacs = ""
    if row["model"] != FLOOR:
        best = f"{row['best_epoch']} ({row['best_epoch_miou']:.1%})"
        parameters, gmacs = millions(row["parameters"]), f"{row['gflops']:.2f}"
    name = f"{row['model']} {MARK}" if row["otherwise"] else row["model"]
    return [name, *cells.values(), best, parameters, gmacs]


def seeds_row(row: pd.Series) -> list[str]:
    """One row of `tables.over_seeds`."""
    spread = f"{100 * row['sd']:.2f}"
    return [row["model"], row["runs"], str(row["seeds"]), f"{row['mean']:.2%}", spread]


def difference_row(pair: pd.Series, minus: str = "-") -> list[str]:
    """One pair of `tables.differences`: names, signed points of mIoU, whether 0 is excluded."""
    gain, low, high = (f"{100 * pair[name]:+.2f}" for name in ("difference", "low", "high"))
    excludes = "yes" if pair["real"] else "no"
    return [f"{pair['second']} {minus} {pair['first']}", gain, f"{low} to {high}", excludes]


def millions(parameters: int) -> str:
    return f"{parameters / 1e6:.1f} M"


def caption(results: Sequence[Result]) -> str:
    """How the numbers were made, and which curves have not flattened."""
    metrics = results[0].metrics
    protocol = metrics["protocol"]
    side = protocol["input_long_side"]
    seen = "" if side == "original" else f" (seen at long side {side})"
    recipe = usual(results)
    other = [] if metrics["split"] == WATCHED else [WATCHED]
    if recipe.get("val_size") not in (None, side):
        other.append(f"seen at long side {recipe['val_size']}")
    curves = f"Curves: {', '.join(other)}. " if other else ""
    start = "random weights" if recipe["init"] == "none" else recipe["init"]
    rising = [result.model for result in results if rise(result.history) > RISE]
    return (
        f"{metrics['dataset']}, {metrics['split']}: {metrics['images']} images, "
        f"{protocol['ground_truth']}{seen}, {protocol['test_time']}, {protocol['weights']}. "
        f"{curves}Start: {start}; epochs: {recipe['epochs']}; {protocol['precision']}. "
        f"{_losses(results)} {_otherwise(results)}{_predicted(results)}{_seeds(results)}"
        f"Not flattened (val mIoU rose by more than {RISE * 100:g} point over the last quarter of "
        f"the epochs): {', '.join(rising) or 'none'}."
    )


def counted(results: Sequence[Result]) -> str:
    """What GMACs are."""
    picture = results[0].metrics["protocol"]["gflops_picture"]
    return f"GMACs: billions of multiply-adds to predict one picture of {picture} pixels."


def _losses(results: Sequence[Result]) -> str:
    """With which losses the models were trained, as a sentence."""
    own = {result.model: result.loss for result in results}
    if len(set(own.values())) == 1:
        return f"Loss: {results[0].loss}."
    each = ", ".join(f"{model} {loss}" for model, loss in own.items())
    return f"Losses: {each}; their curves show {CROSS_ENTROPY}, which all have."


def _otherwise(results: Sequence[Result]) -> str:
    """Which models were trained otherwise than most, and how, as a sentence."""
    each = [
        f"{model} {', '.join(f'{key} {value}' for key, value in values.items())}"
        for model, values in otherwise(results).items()
    ]
    return f"Trained otherwise ({MARK}): {'; '.join(each)}. " if each else ""


def _predicted(results: Sequence[Result]) -> str:
    """Which runs were predicted otherwise than the first, and how, as a sentence."""
    first, *others = (result.metrics["protocol"] for result in results)
    each = []
    for result, protocol in zip(results[1:], others, strict=True):
        said = [str(protocol[key]) for key in PREDICTED if protocol[key] != first[key]]
        if said:
            each.append(f"{result.model} {', '.join(said)}")
    return f"Predicted otherwise than {results[0].model}: {'; '.join(each)}. " if each else ""


def _seeds(results: Sequence[Result]) -> str:
    """With which seeds the models were trained, as a sentence, where they differ."""
    own = {result.model: result.metrics["protocol"]["seed"] for result in results}
    if len(set(own.values())) == 1:
        return ""
    return f"Seeds: {', '.join(f'{model} {seed}' for model, seed in own.items())}. "


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in [head, rule, *rows])
