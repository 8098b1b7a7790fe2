"""What all figures share: fonts, colours, the frame of title and caption, and PNG bytes.

Nothing depends on pyplot or on the user's matplotlibrc. Colours are seven of Okabe and Ito's (Color
Universal Design, 2008) and, for their yellow that white paper hides, Tol's wine: the colour-blind
can tell them apart. Markers tell models apart in print.
"""

import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from io import BytesIO
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")
Look = Mapping[str, Mapping[str, Any]]  # of each model, see `looks`

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
    """The figure as PNG, without the version that would change its bytes."""
    content = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(content, format="png", metadata={"Software": None}, facecolor="white")
    return content.getvalue()


def framed(title: str, caption: str, *, size: tuple[float, float]) -> Figure:
    """An empty figure of size (width, height) in inches with a title above and a caption below.

    A letter that no font of this machine can draw becomes a question mark.
    """
    figure = Figure(figsize=size, layout="constrained")
    title, caption = (
        "".join(letter if ord(letter) in _glyphs() else "?" for letter in text)
        for text in (title, caption)
    )
    if title:
        lines = textwrap.fill(title, int(size[0] * 6.4))
        figure.suptitle(lines, x=0.01, ha="left", fontsize=17, fontweight="bold")
    lines = textwrap.fill(caption, int(size[0] * 12))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=10, color=GREY)
    return figure


def looks(models: Sequence[str]) -> dict[str, dict[str, str]]:
    """Colour and marker of each model: by its place, so that it keeps them in every figure."""
    return {
        model: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        for i, model in enumerate(models)
    }


def drawable(names: Sequence[str], kind: str) -> list[str]:
    """The names, but "class 3" (kind and place) for one that no font of this machine can draw."""
    glyphs = _glyphs()
    return [
        name if {ord(letter) for letter in name} <= glyphs else f"{kind} {i}"
        for i, name in enumerate(names)
    ]


@cache
def fonts() -> list[str]:
    """Those of FAMILIES that this machine has."""
    installed = set(font_manager.get_font_names())
    return [family for family in FAMILIES if family in installed]


@cache
def _glyphs() -> frozenset[int]:
    """Code points that `fonts` can draw together."""
    paths = [font_manager.findfont(family) for family in fonts()]
    return frozenset().union(*(font_manager.get_font(path).get_charmap() for path in paths))
