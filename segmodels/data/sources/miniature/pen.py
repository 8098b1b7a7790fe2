"""The pen that draws the miniature: everything is a filled polygon.

Coordinates run to the right and downwards. A tone is a percentage of the pen's main colour, or a
fixed colour. Only +, -, *, / and square root are used, which IEEE 754 rounds the same on every CPU.
"""

from itertools import pairwise
from math import sqrt

Colour = tuple[int, int, int]
Point = tuple[float, float]

WHITE = (245, 245, 240)
BLACK = (28, 28, 32)
GREY = (120, 122, 128)
GLASS = (150, 190, 215)
SKIN = (232, 184, 150)
AMBER = (245, 170, 60)
WOOD = (120, 78, 45)


def _circle() -> list[Point]:
    """20 points of the unit circle, without sine or cosine: t = tan(angle / 2) is rational."""
    quarter: list[Point] = []
    for k in range(5):
        t = k / 5
        quarter.append(((1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)))
    points: list[Point] = []
    for a, b in ((1, 0), (0, 1), (-1, 0), (0, -1)):  # four quarter turns
        for c, s in quarter:
            points.append((a * c - b * s, b * c + a * s))
    return points


CIRCLE = _circle()


class Pen:
    """Collects the filled polygons of one drawing, back to front, in `parts`."""

    def __init__(self, main: Colour) -> None:
        self.main = main
        self.parts: list[tuple[Colour, list[Point]]] = []

    def polygon(self, tone: int | Colour, *points: Point) -> None:
        if isinstance(tone, int):
            red, green, blue = (min(channel * tone // 100, 255) for channel in self.main)
            tone = (red, green, blue)
        self.parts.append((tone, list(points)))

    def oval(self, tone: int | Colour, x: float, y: float, rx: float, ry: float) -> None:
        self.polygon(tone, *((x + rx * c, y + ry * s) for c, s in CIRCLE))

    def box(
        self, tone: int | Colour, x0: float, y0: float, x1: float, y1: float, corner: float = 0
    ) -> None:
        """A rectangle; `corner` is how much of each side its cut corners take."""
        a = x0 + corner
        b = x1 - corner
        c = y0 + corner
        d = y1 - corner
        self.polygon(tone, (a, y0), (b, y0), (x1, c), (x1, d), (b, y1), (a, y1), (x0, d), (x0, c))

    def line(self, tone: int | Colour, width: float, *points: Point) -> None:
        """A stroke with round ends and joints."""
        for x, y in points:
            self.oval(tone, x, y, width / 2, width / 2)
        for (x0, y0), (x1, y1) in pairwise(points):
            length = sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2)
            u = (y1 - y0) / length * width / 2  # (u, v) is half the width, across the stroke
            v = (x0 - x1) / length * width / 2
            self.polygon(
                tone, (x0 + u, y0 + v), (x1 + u, y1 + v), (x1 - u, y1 - v), (x0 - u, y0 - v)
            )
