"""Three facts of networks that can be counted: gradients, valid taps, overlapping kernels.

The gradients are computed by automatic differentiation of segmodels/training/losses.py.
"""

from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from segmodels.config.schema import Loss
from segmodels.data.sources.miniature.generate import Scene
from segmodels.reporting.style import COLOURS, GREY, framed, styled
from segmodels.training import losses
from tools.background.results import Row

PIXELS = 10_000  # of the picture in which the losses are compared
OBJECTS = (100, 3_000)  # pixels of the object in it
REST = 0.01  # probability of "object" at every pixel of the background
PROBABILITIES = (0.01, 0.1, 0.5, 0.9, 0.99)  # of "object" at its pixels
SIDE = 65  # elements of a feature of a 513 x 513 picture at output stride 8
RATES = (1, 6, 12, 18, 24, 36, 48, 64)
TAPS = (9, 6, 4, 2, 1)  # taps that can lie within the feature, as 3 x 3, 3 x 2, ...
SHADES = ("#08306B", "#2171B5", "#6BAED6", "#C6DBEF", "#F0F0F0")  # the fewer taps the paler
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
    """The gradient of each loss against the predicted probability."""
    title = "Where the model is sure and wrong, Dice lets go and cross-entropy pulls hardest"
    figure = framed(title, "", size=(13, 6))
    axes = figure.subplots()
    small, large = OBJECTS
    _draw_pull(axes, "cross_entropy", large, "--", COLOURS[0])
    _draw_pull(axes, "dice", large, "-", COLOURS[2])
    _draw_pull(axes, "dice", small, "-", COLOURS[3])
    weak, strong = gradient("dice", 0.5, large), gradient("dice", 0.5, small)
    axes.annotate(
        "", (0.5, strong), (0.5, weak), arrowprops={"arrowstyle": "<->", "linewidth": 1.5}
    )
    axes.text(0.51, 2, f"{strong / weak:.0f} times", va="center")
    axes.text(0.12, 9.5, f"Dice, object of {100 * small // PIXELS}% of the image", color=COLOURS[3])
    axes.text(0.62, 0.45, "cross-entropy, any object", color=COLOURS[0])
    axes.text(
        0.12, 0.17, f"Dice, object of {100 * large // PIXELS}% of the image", color=COLOURS[2]
    )
    axes.set_xlabel("probability that the model gives to the true class")
    axes.set_ylabel("gradient x pixels of the image")
    axes.set_xlim(0, 1)
    axes.set_yscale("log")
    ticks = [0.01, 0.1, 1, 10]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylim(0.005, 15)
    axes.minorticks_off()
    return figure


def _draw_pull(axes: Axes, part: str, pixels: int, style: str, colour: str) -> None:
    """The gradient of a loss at an object of so many pixels, against the probability."""
    probabilities = np.linspace(0.005, 0.995, 100)
    gradients = [gradient(part, probability, pixels) for probability in probabilities]
    axes.plot(probabilities, gradients, style, color=colour)


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
    title = "A large atrous rate turns a 3 x 3 kernel into a 1 x 1 kernel"
    figure = framed(title, "", size=(13, 8.4))
    grid = figure.add_gridspec(2, 3, height_ratios=[1.25, 1])
    for k, rate in enumerate((6, 24, 48)):
        _draw_kernel(figure.add_subplot(grid[0, k]), rate)
    _draw_shares(figure.add_subplot(grid[1, :]))
    return figure


def _draw_shares(axes: Axes) -> None:
    """Share of the places with each number of valid taps, against the rate."""
    rates = np.arange(1, SIDE + 6)
    taps = np.stack([valid_taps(int(rate)) for rate in rates])
    percent = [100 * (taps == count).mean(axis=(1, 2)) for count in TAPS]
    axes.stackplot(rates, percent, colors=SHADES)
    labels = [(4, 35, "9 taps"), (15, 50, "6 taps"), (30, 50, "4 taps")]
    labels += [(47, 50, "2 taps"), (59, 75, "1 tap")]
    for i, (x, y, label) in enumerate(labels):
        axes.text(x, y, label, color="white" if i < 3 else "black", va="center")
    axes.set_xlim(1, SIDE + 5)
    axes.set_ylim(0, 100)
    axes.set_xlabel("atrous rate: distance of two taps (elements)")
    axes.set_ylabel("share of places (%)")
    axes.set_title(f"Taps that see a feature of {SIDE} x {SIDE} elements, over all places")
    axes.grid(False)


def _draw_kernel(axes: Axes, rate: int) -> None:
    """The feature, and the taps of a kernel whose middle is at (20, 20)."""
    axes.add_patch(Rectangle((0, 0), SIDE, SIDE, facecolor="#DCEBF5", edgecolor=COLOURS[0]))
    places = np.array([20 - rate, 20, 20 + rate])
    for place in places:
        line = {"color": GREY, "linewidth": 0.8}
        axes.plot(places[[0, 2]], [place, place], zorder=1, **line)
        axes.plot([place, place], places[[0, 2]], zorder=1, **line)
    x = np.repeat(places, 3)
    y = np.tile(places, 3)
    inside = (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
    look = {"linestyle": "", "markersize": 7, "zorder": 2}
    axes.plot(x[inside], y[inside], marker="o", color=COLOURS[0], **look)
    axes.plot(x[~inside], y[~inside], marker="X", color=COLOURS[3], **look)
    axes.set_xlim(-32, 72)
    axes.set_ylim(72, -32)
    axes.set_aspect("equal")
    axes.set_title(f"rate {rate}: {inside.sum()} of 9 taps see the feature")
    axes.set_axis_off()


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
    title = "A kernel side that is no multiple of the stride draws a grid, even on a flat map"
    figure = framed(title, "", size=(13, 6.6))
    axes = figure.subplots(2, 4)
    first_label = scene.target[scene.target % 255 > 0][0]  # of an object, not void
    mask = torch.from_numpy((scene.target == first_label).astype(np.float32))
    small = F.avg_pool2d(mask[None, None], FACTOR)
    flat = torch.ones(1, 1, 6, 6)
    titles = [
        "the input",
        "bilinear",
        "transposed, kernel 3:\noverlaps unevenly",
        "transposed, kernel 4:\noverlaps evenly",
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
            panel.set_title(title if values is flat else "")
            if values is flat:
                low, high = float(map_.min()), float(map_.max())
                panel.set_xlabel("1 everywhere" if low == high else f"{low:.2f} to {high:.2f}")
            panel.set_xticks([])
            panel.set_yticks([])
            panel.grid(False)
    axes[0, 0].set_ylabel("flat map")
    axes[1, 0].set_ylabel(f"{scene.names[0]} of the miniature")
    figure.colorbar(image, ax=axes, label="value of an element", shrink=0.7)
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
