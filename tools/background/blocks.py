"""The two residual blocks, drawn, with their weights counted in torchvision's."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from torchvision.models import resnet

from segmodels.reporting.style import COLOURS, GREY, framed, styled
from tools.background.results import Row


def block_rows() -> list[Row]:
    """Weights of the convolutions of a basic block on 64 channels and a bottleneck on 256."""
    return [
        _row("basic", 64, resnet.BasicBlock(64, 64)),
        _row("bottleneck", 256, resnet.Bottleneck(256, 64)),
        _row("basic", 256, resnet.BasicBlock(256, 256)),
    ]


def _row(name: str, channels: int, block: resnet.BasicBlock | resnet.Bottleneck) -> Row:
    weights = sum(p.numel() for p in block.parameters() if p.dim() == 4)
    return Row("residual", name, channels, "weights of convolutions", float(weights))


@styled
def residual_figure(rows: Sequence[Row]) -> Figure:
    """The basic block and the bottleneck side by side."""
    counts = {(row.item, row.setting): int(row.value) for row in rows}
    figure = framed(
        "Residual blocks: the input is added to what the layers find", "", size=(13, 5.6)
    )
    left, right = figure.subplots(1, 2)
    _block(left, ["3 x 3, 64 to 64", "3 x 3, 64 to 64"], 64)
    left.set_title(f"basic block: {counts['basic', 64]:,} weights\non 64 channels")
    _block(right, ["1 x 1, 256 to 64", "3 x 3, 64 to 64", "1 x 1, 64 to 256"], 256)
    right.set_title(f"bottleneck block: {counts['bottleneck', 256]:,} weights\non 256 channels")
    return figure


def _block(axes: Axes, layers: Sequence[str], channels: int) -> None:
    """Layers from the top down, with the way around them."""
    axes.set_xlim(-2, 3.2)
    axes.set_ylim(-0.2, 10.3)
    axes.set_axis_off()
    _text(axes, 9.7, f"input, {channels} channels", "#FFFFFF")
    above = 9.7
    for i, layer in enumerate(layers):
        y = 8.4 - 5.6 * (i + 0.5) / len(layers)
        end = "BatchNorm" if i == len(layers) - 1 else "BatchNorm, ReLU"
        _arrow(axes, (0, above - 0.45), (0, y + 0.45))
        _text(axes, y, f"{layer}, {end}", "#B3D4E8")
        above = y
    _arrow(axes, (0, above - 0.45), (0, 1.95))
    axes.text(
        0,
        1.55,
        "+",
        ha="center",
        va="center",
        fontsize=18,
        fontweight="bold",
        bbox={"boxstyle": "circle,pad=0.15", "facecolor": "#F5CF80", "edgecolor": GREY},
    )
    _arrow(axes, (0, 1.1), (0, 0.62))
    _text(axes, 0.2, f"ReLU, {channels} channels", "#FFFFFF")
    axes.plot([0.0, 2.1, 2.1], [8.95, 8.95, 1.55], color=COLOURS[3])
    _arrow(axes, (2.1, 1.55), (0.2, 1.55), COLOURS[3])
    axes.text(2.2, 5.3, "identity", color=COLOURS[3], va="center")


def _text(axes: Axes, y: float, text: str, colour: str) -> None:
    box = {"boxstyle": "round,pad=0.4", "facecolor": colour, "edgecolor": GREY}
    axes.text(0, y, text, ha="center", va="center", fontsize=12, bbox=box)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = GREY
) -> None:
    patch = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=14,
        color=colour,
        linewidth=2,
        shrinkA=0,
        shrinkB=0,
    )
    axes.add_patch(patch)
