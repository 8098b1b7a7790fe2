"""What docs/learn/background.md says of the results: tables and sentences, made from rows."""

from collections.abc import Sequence

from tools.background import learning, metrics
from tools.background.results import Row

METHODS = {  # item of the results -> function, setting in words, value of the setting
    "Sobel": ("`filters.sobel`", "gradient over 0.05", 0.05),
    "Canny": ("`feature.canny`", "sigma 1.5 pixels", 1.5),
    "Otsu thresholds": ("`filters.threshold_multiotsu`", "3 grey levels", 3),
    "region growing": ("`segmentation.flood`", "tolerance 0.08", 0.08),
    "watershed": ("`segmentation.watershed`", "32 markers", 32),
    "split and merge": ("our own", "spread 0.5", 0.5),
    "graph (felzenszwalb)": ("`segmentation.felzenszwalb`", "scale 200", 200),
    "plain squares": ("none", "27 squares", 27),
}
EXAMPLE = {
    "pixel accuracy": "pixel_acc",
    "mean class accuracy": "mean_acc",
    "IoU of background": "iou of background",
    "IoU of cat": "iou of cat",
    "IoU of dog": "iou of dog",
    "**mIoU, VOC's: one confusion over both images**": "miou",
    "mIoU of image 1": "miou of image 1",
    "mIoU of image 2": "miou of image 2",
    "mean of the images' mIoU": "mean of the images' mIoU",
    "Dice of cat": "dice of cat",
    "mean Dice": "mean_dice",
}


def quotes(rows: Sequence[Row]) -> list[str]:
    """Every passage of the page that has a computed number in it."""
    value = {row[:4]: row.value for row in rows}
    return [
        _methods(value),
        _example(value),
        _gradients(value),
        _taps(value),
        *_sentences(value),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _table(head: Sequence[str], right: int, lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose last `right` columns are numbers."""
    rule = ["---"] * (len(head) - right) + ["---:"] * right
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))


def _methods(value: dict) -> str:
    head = ["method", "scikit-image", "setting", "regions an image", "mIoU", "foreground IoU"]
    lines = []
    for name, (function, words, at) in METHODS.items():
        cells = ["", "", ""]  # an edge detector finds no regions
        if ("regions", name, at, "miou") in value:
            cells = [
                f"{value['regions', name, at, 'regions']:.1f}",
                _percent(value["regions", name, at, "miou"]),
                _percent(value["regions", name, at, "foreground_iou"]),
            ]
        boundary_f = _percent(value["boundaries", name, at, "f"])
        lines.append([name, function, words, *cells, boundary_f])
    return _table([*head, "boundary F"], 4, lines)


def _example(value: dict) -> str:
    lines = []
    for name, measure in EXAMPLE.items():
        lines.append([name, _percent(value["example", "two images", 0, measure])])
    return _table(["score", "worked example"], 1, lines)


def _gradients(value: dict) -> str:
    small, large = learning.OBJECTS
    lines = []
    for p in learning.PROBABILITIES:
        cells = [f"{p:g}"]
        for item in (f"cross_entropy {large}", f"dice {large}", f"dice {small}"):
            cells.append(f"{value['gradient', item, p, 'times pixels']:.3f}")
        lines.append(cells)
    head = ["probability of the true class", "cross-entropy", "Dice, object of 30%"]
    return _table([*head, "Dice, object of 1%"], 4, lines)


def _taps(value: dict) -> str:
    names = [f"{count} taps" for count in learning.TAPS]
    size = f"{learning.SIDE} x {learning.SIDE}"
    lines = []
    for rate in learning.RATES:
        shares = [_percent(value["atrous", size, rate, name]) for name in names]
        mean = f"{value['atrous', size, rate, 'mean taps']:.2f}"
        lines.append([str(rate), *shares, mean])
    head = ["rate", *names[:-1], "1 tap", "mean number of taps"]
    return _table(head, len(head), lines)


def _sentences(value: dict) -> list[str]:
    def shifted(side: int, measure: str) -> str:
        return _percent(value["shifted square", "side", side, measure])

    def weights(block: str, channels: int) -> int:
        return int(value["residual", block, channels, "weights of convolutions"])

    def gradient(pixels: int) -> float:
        return value["gradient", f"dice {pixels}", 0.5, "times pixels"]

    rule = _percent(value["two levels", "rule", 2, "foreground_iou"])
    helped = _percent(value["two levels", "better side", 2, "foreground_iou"])
    small, large = learning.OBJECTS
    ratio = gradient(small) / gradient(large)
    finest = value["regions", "split and merge", 0.15, "regions"]
    best = _percent(value["regions", "split and merge", 0.15, "miou"])
    floor = _percent(value["regions", "all background", 1, "miou"])
    fewest = int(value["transposed", "stride 2", 3, "fewest"])
    most = int(value["transposed", "stride 2", 3, "most"])
    return [
        f"a foreground IoU of {rule}; the better of the two sides, picked with the truth, {helped}",
        f"at 0.5 it pulls at a pixel of the small object {ratio:.0f} times as hard",
        f"{finest:.0f} regions an image reach {best}",
        f"calling everything background reaches {floor}",
        f"from {shifted(metrics.SIDES[0], 'iou')} for a square of {metrics.SIDES[0]} pixels to "
        f"{shifted(metrics.SIDES[-1], 'iou')} for one of {metrics.SIDES[-1]}",
        f"boundary IoU stays at {shifted(64, 'boundary_iou')} from 16 pixels on",
        f"{weights('basic', 64):,} weights on 64 channels",
        f"{weights('bottleneck', 256):,} weights on 256 channels",
        f"would have {weights('basic', 256):,}",
        f"between {fewest} and {most} products",
    ]
