"""The backdrops of the miniature: meadow, sea, street and room, in percent of the picture's sides.

Their colours are muted, those of the objects are not: a network finds the objects first, then tells
them apart.
"""

import numpy as np

from segmodels.data.sources.miniature.pen import Colour, Pen

SKIES = ((112, 150, 190), (140, 160, 185), (120, 130, 165), (165, 150, 165))
HAZES = ((170, 185, 195), (190, 178, 168), (178, 182, 180))
CLOUD = (196, 202, 208)
HILLS = ((120, 140, 125), (110, 130, 110), (135, 145, 140))
FIELDS = ((128, 142, 92), (150, 148, 100), (112, 134, 96), (168, 156, 118))
CROWNS = ((88, 112, 84), (98, 110, 78))
WATERS = ((120, 150, 165), (105, 140, 145), (135, 155, 160))
HOUSES = ((178, 160, 146), (158, 150, 152), (186, 176, 156), (150, 132, 124))
WINDOWS = ((110, 118, 130), (200, 196, 170))
ROOF = (120, 96, 90)
PAVEMENT = (168, 164, 158)
ROAD = (118, 118, 122)
DASH = (196, 194, 184)
WALLS = ((196, 184, 168), (170, 182, 180), (184, 172, 186), (178, 186, 164), (200, 190, 186))
FLOORS = ((164, 136, 108), (146, 140, 138), (150, 122, 104), (176, 160, 138))
VIEWS = ((176, 196, 208), (160, 150, 130), (140, 156, 140))
RUGS = ((150, 110, 110), (110, 118, 140), (128, 136, 112))
BROWN = (132, 112, 92)
SKIRTING = (210, 204, 194)
CLUTTER = ((150, 120, 110), (110, 130, 120), (170, 160, 140), (120, 115, 140), (90, 90, 95))


def draw_backdrop(pen: Pen, home: str, rng: np.random.Generator) -> int:
    """Draw the place where a class is at home.

    Args:
        home: meadow, sea, street, room, or sky, which is over the meadow.
    Returns:
        The horizon, or the far edge of the floor: y in percent of the height.
    """
    horizon = int(rng.integers(45, 66))
    if home == "room":
        _wall(pen, horizon, rng)
        _floor(pen, horizon, rng)
    else:
        _sky(pen, horizon, rng)
        draw = {"sky": _meadow, "meadow": _meadow, "sea": _sea, "street": _street}[home]
        draw(pen, horizon, rng)
    for _ in range(int(rng.integers(0, 5))):
        _trinket(pen, horizon, rng)
    return horizon


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(rng.integers(len(colours)))]


def _between(rng: np.random.Generator, *ranges: tuple[int, int]) -> list[int]:
    """One whole number of each range [low, high)."""
    return [int(rng.integers(low, high)) for low, high in ranges]


def _dim(colour: Colour, percent: int) -> Colour:
    red, green, blue = (channel * percent // 100 for channel in colour)
    return red, green, blue


def _fade(pen: Pen, y0: int, y1: int, top: Colour, bottom: Colour, bands: int = 12) -> None:
    """Bands from y0 to y1 whose colours change from `top` to `bottom`."""
    for k in range(bands):
        red, green, blue = (
            a + (b - a) * k // (bands - 1) for a, b in zip(top, bottom, strict=True)
        )
        pen.box((red, green, blue), -1, y0 + (y1 - y0) * k / bands, 101, y1 + 1)


def _sky(pen: Pen, horizon: int, rng: np.random.Generator) -> None:
    _fade(pen, -1, horizon, _pick(rng, SKIES), _pick(rng, HAZES))
    for _ in range(int(rng.integers(0, 4))):
        x, y = _between(rng, (0, 100), (2, horizon - 10))
        for dx, dy, r in ((-8, 2, 7), (0, 0, 9), (9, 2, 6)):
            pen.oval(CLOUD, x + dx, y + dy, r, r * 0.6)


def _meadow(pen: Pen, horizon: int, rng: np.random.Generator) -> None:
    for _ in range(3):
        x, r = _between(rng, (0, 100), (20, 50))
        pen.oval(_pick(rng, HILLS), x, horizon + 4, r, r / 3)
    field = _pick(rng, FIELDS)
    _fade(pen, horizon, 100, field, _dim(field, 76))
    for _ in range(3):
        x, h = _between(rng, (0, 100), (10, 24))
        pen.box(BROWN, x - 1, horizon - h / 2, x + 1, horizon + 3)
        pen.oval(_pick(rng, CROWNS), x, horizon - h / 2, h / 3, h / 2)
    for _ in range(14):
        x, y = _between(rng, (0, 100), (horizon + 2, 100))
        pen.polygon(_dim(field, 66), (x - 2, y), (x, y - 5), (x + 2, y))


def _sea(pen: Pen, horizon: int, rng: np.random.Generator) -> None:
    x, r = _between(rng, (0, 100), (15, 40))
    pen.oval(_pick(rng, HILLS), x, horizon, r, r / 4)
    water = _pick(rng, WATERS)
    _fade(pen, horizon, 100, water, _dim(water, 74))
    for _ in range(12):
        x, y = _between(rng, (0, 100), (horizon + 3, 100))
        w = 3 + (y - horizon) / 8
        wave = ((x - w, y), (x - w / 2, y - 1), (x + w / 2, y + 1), (x + w, y))
        pen.line(_dim(water, 125), 1, *wave)


def _street(pen: Pen, horizon: int, rng: np.random.Generator) -> None:
    x = -int(rng.integers(0, 20))
    while x < 100:
        width, height = _between(rng, (18, 34), (14, horizon))
        eaves = horizon - height
        pen.box(_pick(rng, HOUSES), x, eaves, x + width, horizon + 1)
        pen.polygon(ROOF, (x - 1, eaves), (x + width / 2, eaves - 8), (x + width + 1, eaves))
        for left in range(x + 3, x + width - 4, 7):
            for top in range(eaves + 4, horizon - 6, 11):
                pen.box(_pick(rng, WINDOWS), left, top, left + 4, top + 6)
        x += width
    pen.box(PAVEMENT, -1, horizon, 101, horizon + 9)
    _fade(pen, horizon + 8, 100, ROAD, _dim(ROAD, 80))
    y, start = _between(rng, (horizon + 16, 96), (-12, 0))
    for x in range(start, 100, 24):
        pen.box(DASH, x, y, x + 13, y + 2.5)


def _wall(pen: Pen, horizon: int, rng: np.random.Generator) -> None:
    wall = _pick(rng, WALLS)
    pattern = int(rng.integers(3))
    _fade(pen, -1, horizon, wall, _dim(wall, 92))
    for x in range(int(rng.integers(0, 9)), 100, 9):
        if pattern == 0:
            pen.box(_dim(wall, 89), x, -1, x + 4, horizon)
        elif pattern == 1:
            for y in range(4 + x % 2 * 5, horizon, 10):
                pen.oval(_dim(wall, 89), x, y, 1.8, 2)
    if rng.integers(3):
        x, y = _between(rng, (5, 70), (4, 14))
        pen.box(BROWN, x, y, x + 24, y + 26)
        pen.box(_pick(rng, VIEWS), x + 2, y + 2, x + 22, y + 24)
        pen.box(BROWN, x + 11, y, x + 13, y + 26)


def _floor(pen: Pen, horizon: int, rng: np.random.Generator) -> None:
    floor = _pick(rng, FLOORS)
    _fade(pen, horizon, 100, floor, _dim(floor, 80))
    for k in range(-8, 9):
        pen.line(_dim(floor, 77), 0.7, (50 + 9 * k, horizon), (50 + 24 * k, 101))
    pen.box(SKIRTING, -1, horizon - 3, 101, horizon)
    if rng.integers(2):
        x, y = _between(rng, (20, 80), (horizon + 15, 95))
        rug = _pick(rng, RUGS)
        pen.oval(rug, x, y, 36, 11)
        pen.oval(_dim(rug, 120), x, y, 28, 8)


def _trinket(pen: Pen, horizon: int, rng: np.random.Generator) -> None:
    """A ball, a box or a cone: no class of VOC, hence background."""
    x, y, r = _between(rng, (2, 98), (horizon + 3, 99), (2, 6))
    tone = _pick(rng, CLUTTER)
    kind = int(rng.integers(3))
    if kind == 0:
        pen.oval(tone, x, y, r, r)
    elif kind == 1:
        pen.box(tone, x - r, y - r, x + r, y + r)
    else:
        pen.polygon(tone, (x - r, y + r), (x, y - 2 * r), (x + r, y + r))
