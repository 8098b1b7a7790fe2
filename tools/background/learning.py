"""Three facts of networks that can be counted: gradients, valid taps, overlapping kernels.

The gradients are computed by automatic differentiation of segmodels/training/losses.py.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from segmodels.config.schema import Loss
from segmodels.data.sources.miniature.generate import Scene
from segmodels.reporting.style import COLOURS, framed, styled
from segmodels.training import losses
from tools.background.results import Row

PIXELS = 10_000  # of the picture in which the losses are compared
OBJECTS = (100, 3_000)  # pixels of the object in it
REST = 0.01  # probability of "object" at every pixel of the background
PROBABILITIES = (0.01, 0.1, 0.5, 0.9, 0.99)  # of "object" at its pixels
SIDE = 65  # elements of a feature of a 513 x 513 picture at output stride 8
RATES = (1, 6, 12, 18, 24, 36, 48, 64)
TAPS = (9, 6, 4, 2, 1)  # taps that can lie within the feature, as 3 x 3, 3 x 2, ...
FACTOR = 4  # how much smaller the upsampled map is


def gradient(part: str, probability: float, pixels: int) -> float:
    """Size of the gradient at one pixel of the object, times the number of pixels of the picture.

    Args:
        part: "cross_entropy" or "dice".
        probability: of the object at each of its pixels; the background's pixels have REST.
        pixels: of the object.
    Returns:
        |d loss / d logit of the object| x PIXELS; of plain cross-entropy it is 1 - probability.
    """
    target = torch.zeros(1, 1, PIXELS, dtype=torch.long)
    target[..., :pixels] = 1
    shares = torch.full((PIXELS,), REST, dtype=torch.float64)
    shares[:pixels] = probability
    logits = torch.stack([torch.zeros_like(shares), torch.logit(shares)])[None, :, None]
    logits.requires_grad_()
    weights = Loss.model_validate({"cross_entropy": 0, "dice": 0, part: 1})
    sums = losses.class_sums(logits, target, weights, ignore_index=255)
    losses.objective(sums, weights, None).backward()
    assert logits.grad is not None
    return abs(float(logits.grad[0, 1, 0, 0])) * PIXELS


def loss_rows() -> list[Row]:
    """Gradients at PROBABILITIES for an object of each size."""
    rows = []
    for part, pixels, probability in product(("cross_entropy", "dice"), OBJECTS, PROBABILITIES):
        value = gradient(part, probability, pixels)
        rows.append(Row("gradient", f"{part} {pixels}", probability, "times pixels", value))
    return rows


@styled
def loss_figure() -> Figure:
    """The gradient against the predicted probability; the losses at a single pixel."""
    figure = framed("How hard a loss pulls at a pixel of the object", "", size=(13, 5))
    left, right = figure.subplots(1, 2)
    small, large = OBJECTS
    _draw_pull([left, right], "cross_entropy", large, "--", COLOURS[0])
    _draw_pull([left, right], "dice", large, "-", COLOURS[1])
    _draw_pull([right], "dice", small, "-", COLOURS[3])  # too large for the left axes
    for axes in (left, right):
        axes.set_xlabel("probability that the model gives to the true class")
        axes.set_ylabel("gradient x number of pixels")
        axes.set_xlim(0, 1)
    left.set_title("the large object")
    left.set_ylim(0, 1.02)
    right.set_title("both objects, logarithmic")
    right.set_yscale("log")
    ticks = [0.01, 0.1, 1, 10]
    right.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    right.minorticks_off()
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _draw_pull(panels: Sequence[Axes], part: str, pixels: int, style: str, colour: str) -> None:
    """The gradient of a loss at an object of so many pixels, against the probability."""
    probabilities = np.linspace(0.005, 0.995, 100)
    gradients = [gradient(part, probability, pixels) for probability in probabilities]
    label = "cross-entropy, any object"
    if part == "dice":
        label = f"Dice, object of {100 * pixels // PIXELS}% of the picture"
    for axes in panels:
        axes.plot(probabilities, gradients, style, color=colour, label=label)


def valid_taps(rate: int, side: int = SIDE) -> np.ndarray:
    """(side, side) int64: taps of a 3 x 3 kernel of that rate that lie within the feature."""
    places = np.arange(side)
    line = 1 + (places >= rate).astype(np.int64) + (places + rate < side)
    return line[:, None] * line


def tap_rows() -> list[Row]:
    """Share of the places with each number of valid taps, and the mean number."""
    rows = []
    size = f"{SIDE} x {SIDE}"
    for rate in RATES:
        taps = valid_taps(rate)
        for count in TAPS:
            rows.append(Row("atrous", size, rate, f"{count} taps", float((taps == count).mean())))
        rows.append(Row("atrous", size, rate, "mean taps", float(taps.mean())))
    return rows


@styled
def atrous_figure() -> Figure:
    """Where the nine taps of a kernel fall, and how many of them see the feature at each rate."""
    figure = framed("An atrous kernel that outgrows its feature", "", size=(13, 5))
    *kernels, shares = figure.subplots(1, 4, width_ratios=[1, 1, 1, 2.4])
    for axes, rate in zip(kernels, (6, 24, 48), strict=True):
        _draw_kernel(axes, rate)
    _draw_shares(shares)
    handles, labels = shares.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=5, fontsize=12)
    return figure


def _draw_shares(axes: Axes) -> None:
    """Share of the places with each number of valid taps, against the rate."""
    rates = np.arange(1, SIDE + 6)
    taps = np.stack([valid_taps(int(rate)) for rate in rates])
    percent = [100 * (taps == count).mean(axis=(1, 2)) for count in TAPS]
    colours = [COLOURS[0], COLOURS[5], COLOURS[2], COLOURS[1], COLOURS[3]]
    names = [f"{count} taps" for count in TAPS[:-1]] + ["1 tap: a 1 x 1 kernel"]
    axes.stackplot(rates, percent, colors=colours, labels=names)
    axes.set_xlim(1, SIDE + 5)
    axes.set_ylim(0, 100)
    axes.set_xlabel("atrous rate: distance of two taps (elements)")
    axes.set_ylabel("share of the feature's places (%)")
    axes.set_title(f"valid taps on {SIDE} x {SIDE} elements")
    axes.grid(False)


def _draw_kernel(axes: Axes, rate: int) -> None:
    """The feature, and the taps of a kernel whose middle is at (20, 20)."""
    axes.add_patch(Rectangle((0, 0), SIDE, SIDE, facecolor="#DCEBF5", edgecolor=COLOURS[0]))
    places = np.array([20 - rate, 20, 20 + rate])
    x = np.repeat(places, 3)
    y = np.tile(places, 3)
    inside = (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
    axes.plot(x[inside], y[inside], "s", color=COLOURS[0], label="sees the feature")
    if not inside.all():
        axes.plot(x[~inside], y[~inside], "X", color=COLOURS[3], label="sees padding")
    axes.set_xlim(-32, 72)
    axes.set_ylim(74, -36)
    axes.set_aspect("equal")
    axes.set_title(f"rate {rate}:\n{inside.sum()} of 9 taps")
    axes.set_axis_off()
    if rate == 24:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.02), fontsize=12, ncols=2)


def overlaps(kernel: int, stride: int, size: int) -> np.ndarray:
    """Kernel elements that add up in each output element of a transposed convolution, (n, n)."""
    ones = torch.ones(1, 1, size, size)
    weight = torch.ones(1, 1, kernel, kernel)
    return F.conv_transpose2d(ones, weight, stride=stride)[0, 0].numpy().astype(np.int64)


def overlap_rows() -> list[Row]:
    """Smallest and largest number of contributions away from the border."""
    rows = []
    for kernel in (3, 4):
        inner = overlaps(kernel, 2, 12)[kernel:-kernel, kernel:-kernel]
        rows.append(Row("transposed", "stride 2", kernel, "fewest", float(inner.min())))
        rows.append(Row("transposed", "stride 2", kernel, "most", float(inner.max())))
    return rows


@styled
def upsampling_figure(scene: Scene) -> Figure:
    """Checkerboards of an even and an uneven overlap, beside bilinear interpolation."""
    figure = framed("Twice as large: fixed and learned upsampling", "", size=(13, 6.6))
    axes = figure.subplots(2, 4)
    first_label = scene.target[scene.target % 255 > 0][0]  # of an object, not void
    mask = torch.from_numpy((scene.target == first_label).astype(np.float32))
    small = F.avg_pool2d(mask[None, None], FACTOR)
    flat = torch.ones(1, 1, 6, 6)
    titles = [
        "the input",
        "bilinear",
        "transposed, kernel 3:\nuneven overlap",
        "transposed, kernel 4:\neven overlap",
    ]
    for row, values in zip(axes, (flat, small), strict=True):
        maps = [
            values,
            F.interpolate(values, scale_factor=2, mode="bilinear"),
            _learned(values, 3),
            _learned(values, 4),
        ]
        for panel, map_, title in zip(row, maps, titles, strict=True):
            image = panel.imshow(map_[0, 0].numpy(), cmap="cividis", vmin=0, vmax=1.8)
            panel.set_title(title if values is flat else "", fontsize=13)
            panel.set_xticks([])
            panel.set_yticks([])
            panel.grid(False)
    axes[0, 0].set_ylabel("1 everywhere")
    axes[1, 0].set_ylabel("an object's mask")
    figure.colorbar(image, ax=axes, label="value", shrink=0.7)
    return figure


def _learned(values: torch.Tensor, kernel: int) -> torch.Tensor:
    """Transposed convolution of stride 2 whose weights are equal and give 1 on average.

    The border is repeated first and cut afterwards, so that it does not fade.
    """
    weight = torch.full((1, 1, kernel, kernel), 4 / kernel**2)
    wide = F.pad(values, (2, 2, 2, 2), mode="replicate")
    large = F.conv_transpose2d(wide, weight, stride=2, padding=1)
    height = 2 * values.shape[2]
    width = 2 * values.shape[3]
    return large[..., 4 : 4 + height, 4 : 4 + width]
