"""All models in one alphabet: a box stands at the height of its features' output stride."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from segmodels.reporting.style import COLOURS, GREY, framed, styled

STRIDES = (1, 2, 4, 8, 16, 32)
PYRAMID = 6.3  # x of parallel branches
KINDS = {  # kind of a box -> colour and meaning
    "p": ("#FFFFFF", "the image, or pooled only"),
    "c": ("#B3D4E8", "convolutions"),
    "a": ("#F5CF80", "atrous convolutions"),
    "h": ("#80CFB9", "scores of the classes"),
    "u": ("#E5BCD3", "decoder, with convolutions"),
}
LineStyle = Literal["-", "--", ":"]
LINES: dict[str, tuple[str, LineStyle, str]] = {  # kind of an arrow -> colour, style, meaning
    "-": (GREY, "-", "onwards; down: by stride"),
    "b": (COLOURS[3], "-", "fixed upsampling"),
    "t": (COLOURS[7], "-", "transposed convolution"),
    "i": (COLOURS[7], ":", "unpooling at the maxima"),
    "s": (COLOURS[0], "--", "skip"),
}


class Box(NamedTuple):
    """A part of a network: its place, its output stride, its kind and what is written in it."""

    x: float
    stride: float
    kind: str
    text: str = ""


class Model(NamedTuple):
    """A network: boxes, and arrows (from, to, kind)."""

    title: str
    boxes: list[Box]
    arrows: list[tuple[int, int, str]]
    pyramid: bool = False  # whether the boxes at PYRAMID stand side by side at one stride


def _encoder(strides: Sequence[int], atrous: int = 0) -> list[Box]:
    """A backbone; its last `atrous` boxes have atrous convolutions."""
    boxes = []
    for i, stride in enumerate(strides):
        kind = "a" if i >= len(strides) - atrous else "c"
        boxes.append(Box(i, stride, kind))
    return boxes


def _decoder(strides: Sequence[int], start: float, step: float) -> list[Box]:
    """Boxes from x = start on, `step` apart."""
    return [Box(start + step * i, stride, "u") for i, stride in enumerate(strides)]


def _chain(first: int, last: int, kind: str = "-") -> list[tuple[int, int, str]]:
    """Arrows from each box to the next one."""
    return [(i, i + 1, kind) for i in range(first, last)]


def _around(branches: Sequence[int]) -> list[tuple[int, int, str]]:
    """Arrows from the box before some parallel branches into them, and out to the box behind."""
    into = [(branches[0] - 1, i, "-") for i in branches]
    out = [(i, branches[-1] + 1, "-") for i in branches]
    return [*into, *out]


IMAGE = Box(0, 1, "p")  # a ResNet's first convolution has stride 2, VGG16's stride 1
DOWN = _encoder((1, 2, 4, 8, 16, 32))
DILATED = _encoder((1, 2, 4, 8, 8, 8), atrous=2)
RESNET = [IMAGE, *DILATED[1:]]
OUT = Box(8.4, 1, "h", "out")
MODELS = [
    Model(
        "FCN-32s",
        [*DOWN, Box(6.4, 32, "h"), OUT],
        [*_chain(0, 6), (6, 7, "b")],
    ),
    Model(
        "FCN-8s",
        [*DOWN, Box(6, 32, "h"), Box(6.7, 16, "h", "+"), Box(7.4, 8, "h", "+"), OUT],
        [*_chain(0, 6), *_chain(6, 9, "b"), (4, 7, "s"), (3, 8, "s")],
    ),
    Model(
        "FCN on a dilated ResNet",
        [*RESNET, Box(6.6, 8, "h"), OUT],
        [*_chain(0, 6), (6, 7, "b")],
    ),
    Model(
        "U-Net",
        [*_encoder((1, 2, 4, 8, 16)), *_decoder((8, 4, 2, 1), start=5, step=0.85), OUT],
        [
            *_chain(0, 4),
            *_chain(4, 8, "t"),
            *[(0, 8, "s"), (1, 7, "s"), (2, 6, "s"), (3, 5, "s")],
            (8, 9, "-"),
        ],
    ),
    Model(
        "SegNet",
        [
            *DOWN[:-1],
            Box(5, 32, "p"),
            *_decoder((16, 8, 4, 2), start=5.65, step=0.52),
            Box(7.6, 1, "u"),
            OUT,
        ],
        [*_chain(0, 5), *_chain(5, 10, "i"), (10, 11, "-")],
    ),
    Model(
        "U-Net on an encoder",
        [
            IMAGE,
            *DOWN[1:],
            *_decoder((16, 8, 4, 2), start=5.65, step=0.52),
            Box(7.6, 1, "u"),
            OUT,
        ],
        [
            *_chain(0, 5),
            *_chain(5, 10, "b"),
            *[(1, 9, "s"), (2, 8, "s"), (3, 7, "s"), (4, 6, "s")],
            (10, 11, "-"),
        ],
    ),
    Model(
        "Feature pyramid network",
        [
            IMAGE,
            *DOWN[1:],
            *[Box(6.1, 32, "u"), Box(6.1, 16, "u"), Box(6.1, 8, "u"), Box(6.1, 4, "u")],
            Box(7.5, 4, "h", "+"),
            OUT,
        ],
        [
            *_chain(0, 5),
            *[(5, 6, "s"), (4, 7, "s"), (3, 8, "s"), (2, 9, "s")],
            *_chain(6, 9, "b"),
            *[(6, 10, "b"), (7, 10, "b"), (8, 10, "b"), (9, 10, "-")],
            (10, 11, "b"),
        ],
    ),
    Model(
        "DeepLab v1",
        [*DILATED, Box(6.1, 8, "a", "12"), Box(7.1, 8, "h"), OUT],
        [*_chain(0, 7), (7, 8, "b")],
    ),
    Model(
        "DeepLab v2",
        [
            *RESNET,
            Box(PYRAMID, 2.83, "a", "6"),
            Box(PYRAMID, 5.66, "a", "12"),
            Box(PYRAMID, 11.3, "a", "18"),
            Box(PYRAMID, 22.6, "a", "24"),
            Box(7.4, 8, "h", "+"),
            OUT,
        ],
        [*_chain(0, 5), *_around(range(6, 10)), (10, 11, "b")],
        pyramid=True,
    ),
    Model(
        "DeepLab v3",
        [
            *RESNET,
            Box(PYRAMID, 2, "c", "1 x 1"),
            Box(PYRAMID, 4, "a", "12"),
            Box(PYRAMID, 8, "a", "24"),
            Box(PYRAMID, 16, "a", "36"),
            Box(PYRAMID, 32, "c", "pool"),
            Box(7.5, 8, "h"),
            OUT,
        ],
        [*_chain(0, 5), *_around(range(6, 11)), (11, 12, "b")],
        pyramid=True,
    ),
    Model(
        "DeepLab v3+",
        [
            IMAGE,
            *_encoder((1, 2, 4, 8, 16, 16), atrous=1)[1:],
            Box(6.4, 16, "a", "ASPP"),
            Box(7.3, 4, "u"),
            OUT,
        ],
        [*_chain(0, 6), (6, 7, "b"), (2, 7, "s"), (7, 8, "b")],
    ),
]


@styled
def models_figure() -> Figure:
    """The networks of segmodels/models in the same alphabet."""
    title = "Some networks go down and come back, others stay at stride 8 or 16"
    figure = framed(title, "", size=(13, 13.5))
    grid = figure.subplots(4, 3, sharex=True, sharey=True)
    *cells, last = grid.flat
    for axes, model in zip(cells, MODELS, strict=True):
        _draw(axes, model)
    for axes in grid[:, 0]:
        axes.set_ylabel("output stride")
    handles: list[Artist] = []
    for colour, label in KINDS.values():
        box = FancyBboxPatch((0, 0), 1, 1, facecolor=colour, edgecolor=GREY, label=label)
        handles.append(box)
    for colour, style, label in LINES.values():
        handles.append(Line2D([], [], color=colour, linestyle=style, label=label))
    last.set_axis_off()
    last.legend(handles=handles, loc="center", fontsize=12)
    return figure


def _draw(axes: Axes, model: Model) -> None:
    axes.set_title(model.title)
    axes.set_yscale("log", base=2)
    axes.set_xlim(-0.6, 9.1)
    axes.set_ylim(50, 0.68)
    axes.set_yticks(STRIDES, [str(stride) for stride in STRIDES])
    axes.minorticks_off()
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    if model.pyramid:
        panel = Rectangle((PYRAMID - 0.6, 1.5), 1.2, 40, facecolor="#F4F4F4", edgecolor="#C8C8C8")
        axes.add_patch(panel)
        axes.text(
            PYRAMID, 1.4, "all at stride 8", ha="center", va="bottom", fontsize=11, color=GREY
        )
    for start, end, kind in model.arrows:
        axes.add_patch(_arrow(model.boxes[start], model.boxes[end], kind))
    for box in model.boxes:
        colour, _ = KINDS[box.kind]
        frame = {"boxstyle": "round,pad=0.3", "facecolor": colour, "edgecolor": GREY}
        text = box.text or "   "
        axes.text(box.x, box.stride, text, ha="center", va="center", fontsize=11, bbox=frame)


def _arrow(start: Box, end: Box, kind: str) -> FancyArrowPatch:
    colour, style, _ = LINES[kind]
    gap = 10.0  # points from the arrow's head to the middle of its box
    if start.stride == end.stride:
        gap += 2.6 * max(0, len(end.text) - 2)
    return FancyArrowPatch(
        (start.x, start.stride),
        (end.x, end.stride),
        arrowstyle="-|>",
        mutation_scale=9,
        color=colour,
        linestyle=style,
        linewidth=1.4,
        shrinkA=9,
        shrinkB=gap,
        zorder=2,
    )
