"""What all figures share: fonts, colours, the frame of title and caption, and PNG bytes.

Nothing depends on pyplot or on the user's matplotlibrc. The colours can be told apart by the
colour-blind: seven are Okabe and Ito's (Color Universal Design, 2008); their yellow, which is hard
to see on white, is replaced by Tol's wine. Markers tell models apart in black and white.
"""

import textwrap
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, wraps
from io import BytesIO
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib import font_manager
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from PIL import Image

P = ParamSpec("P")
R = TypeVar("R")
Look = Mapping[str, Mapping[str, Any]]  # model -> its colour and marker, see `looks`

# `looks` gives them to models. figures.SPLIT_LOOKS and tools/background take them by number; the
# page of the latter names blue and orange, and web/charts.js knows which one is black.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#882255"]
MARKERS = "osD^vp<>"
GREY = "#666666"
FAMILIES = [  # the first comes with matplotlib; the others are asked for what it cannot draw
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "IPAexGothic",
    "IPAGothic",
    "Hiragino Sans",
    "PingFang SC",
    "Yu Gothic",
    "Microsoft YaHei",
]
STYLE: Any = {  # matplotlib types rcParams by a list of all its keys
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "lines.linewidth": 2.2,
    "lines.markersize": 8,
    "lines.markeredgecolor": "white",
    "lines.markeredgewidth": 0.8,
    "legend.frameon": False,
    "text.parse_math": False,  # a class may be called a$b$
    "figure.dpi": 150,
    "savefig.dpi": "figure",
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Run a function under matplotlib's defaults and STYLE, whatever the user has configured."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)
            matplotlib.rcParams["font.family"] = fonts()
            return draw(*args, **kwargs)

    return wrapper


@styled
def png(figure: Figure) -> bytes:
    """The figure as PNG of 128 colours, a third of the bytes, without the version of matplotlib."""
    drawn = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(drawn, format="png", facecolor="white")
    content = BytesIO()
    with Image.open(drawn) as image:
        few = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
        few.save(content, format="png", optimize=True)
    return content.getvalue()


def framed(title: str, caption: str, *, size: tuple[float, float]) -> Figure:
    """An empty figure of size (width, height) in inches with a title above and a caption below.

    A letter that no font of this machine can draw becomes a question mark.
    """
    figure = Figure(figsize=size, layout="constrained")
    width, _ = size
    if title:
        lines = textwrap.fill(_with_glyphs(title), int(width * 6.4))
        figure.suptitle(lines, x=0.01, ha="left", fontsize=17, fontweight="bold")
    lines = textwrap.fill(_with_glyphs(caption), int(width * 12))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=10, color=GREY)
    return figure


def label_log_ticks(axis: Axis) -> None:
    """Ticks at 1, 2, 5, 10, 20, ... as plain numbers, not as powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(plain_numbers())


def plain_numbers() -> FuncFormatter:
    """Ticks as 0.1, 10, 1000 and not as powers of ten."""
    return FuncFormatter(lambda value, _: f"{value:g}")


def looks(
    models: Sequence[str], groups: Iterable[Collection[str]] = ()
) -> dict[str, dict[str, str]]:
    """Colour and marker of each model, the same in every figure: by its place among the models.

    Args:
        groups: models that are drawn together. Two of them have the same look only where a group
            has more models than there are colours.
    """
    together = [set(group) for group in groups]
    place = dict[str, int]()
    for i, model in enumerate(models):
        beside = set[str]().union(*(group for group in together if model in group))
        taken = {place[other] for other in beside & place.keys()}
        from_own = [(i + k) % len(COLOURS) for k in range(len(COLOURS))]
        place[model] = next((k for k in from_own if k not in taken), from_own[0])
    return {model: {"color": COLOURS[k], "marker": MARKERS[k]} for model, k in place.items()}


def drawable(names: Sequence[str], kind: str) -> list[str]:
    """The names, but "class 3" (kind and place) for one that no font of this machine can draw."""
    shown = []
    for i, name in enumerate(names):
        has_glyphs = _glyphs().issuperset(map(ord, name))
        shown.append(name if has_glyphs else f"{kind} {i}")
    return shown


@cache
def fonts() -> list[str]:
    """Those of FAMILIES that this machine has."""
    installed = set(font_manager.get_font_names())
    return [family for family in FAMILIES if family in installed]


@cache
def _glyphs() -> frozenset[int]:
    """Code points that `fonts` can draw together."""
    code_points = set[int]()
    for family in fonts():
        font = font_manager.get_font(font_manager.findfont(family))
        code_points.update(font.get_charmap())
    return frozenset(code_points)


def _with_glyphs(text: str) -> str:
    """The text with a question mark for every letter that no font can draw."""
    return "".join(letter if ord(letter) in _glyphs() else "?" for letter in text)
