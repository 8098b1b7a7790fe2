"""The drawings of VOC's twenty classes.

A drawing fills a square of 100 x 100 units and stands on y = 100; wide things reach over the sides.
The generator varies details: a hand, a tail, the leaves. Colours tell the classes apart, shapes
confirm it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from segmodels.data.sources.miniature.creatures import bird, cat, cow, dog, horse, person, sheep
from segmodels.data.sources.miniature.pen import AMBER, BLACK, GLASS, GREY, WHITE, WOOD, Colour, Pen


def aeroplane(pen: Pen, rng: np.random.Generator) -> None:
    pen.polygon(72, (44, 46), (66, 46), (46, 10), (30, 10))
    pen.polygon(60, (-8, 14), (12, 14), (30, 48), (4, 48))
    pen.oval(100, 50, 54, 57, 20)
    pen.oval(86, 50, 64, 46, 9)
    pen.polygon(WHITE, (-3, 57), (103, 57), (99, 62), (1, 62))
    pen.polygon(GLASS, (88, 42), (100, 49), (92, 52), (84, 49))
    for x in range(20, 84, 9):
        pen.oval(40, x, 48, 2.8, 3.4)
    pen.polygon(90, (38, 60), (70, 60), (38, 102), (16, 102))
    pen.polygon(78, (0, 52), (20, 52), (4, 70), (-10, 70))
    pen.oval(GREY, 46, 80, 10, 5.5)


def bicycle(pen: Pen, rng: np.random.Generator) -> None:
    for x in (16, 84):
        pen.oval(60, x, 74, 27, 27)
        pen.oval(100, x, 74, 21, 21)
        pen.line(125, 3, (x - 14, 60), (x + 14, 88))
        pen.line(125, 3, (x - 14, 88), (x + 14, 60))
    pen.line(100, 9, (16, 74), (38, 42), (72, 40), (48, 74), (16, 74))
    pen.line(100, 9, (38, 42), (48, 74))
    pen.line(100, 9, (84, 74), (70, 26))
    pen.line(60, 7, (60, 24), (82, 26))
    pen.line(60, 10, (28, 36), (46, 36))


def boat(pen: Pen, rng: np.random.Generator) -> None:
    pen.line(WOOD, 4, (46, 2), (46, 74))
    pen.polygon(WHITE, (50, 2), (96, 66), (50, 66))
    pen.polygon(130, (50, 24), (66, 24), (81, 46), (50, 46))
    pen.polygon(130, (42, 12), (8, 66), (42, 66))
    pen.polygon(100, (-12, 70), (112, 70), (92, 100), (10, 100))
    pen.polygon(WHITE, (-9, 75), (109, 75), (105, 81), (-5, 81))
    for x in (26, 48, 70):
        pen.oval(60, x, 90, 4, 4)


def bottle(pen: Pen, rng: np.random.Generator) -> None:
    fill = int(rng.integers(56, 66))
    pen.polygon(100, (39, 4), (63, 4), (64, 24), (83, 44), (19, 44), (38, 24))
    pen.box(100, 19, 40, 83, 100, 5)
    pen.box(AMBER, 36, 0, 66, 9, 2)
    pen.polygon(135, (27, 46), (37, 38), (37, 94), (27, 94))
    pen.box(165, 19, fill, 83, fill + 24)
    pen.oval(70, 53, fill + 12, 11, 8)


def bus(pen: Pen, rng: np.random.Generator) -> None:
    pen.box(100, -22, 20, 122, 92, 7)
    pen.box(75, -22, 66, 122, 76)
    for x in range(-14, 84, 24):
        pen.box(GLASS, x, 32, x + 18, 52, 2)
    pen.box(GLASS, 84, 30, 98, 86, 2)
    pen.box(GLASS, 104, 30, 120, 58, 2)
    pen.box(125, -14, 20, 112, 25)
    pen.oval(WHITE, 118, 80, 4, 4)
    for x in (8, 72):
        pen.oval(BLACK, x, 90, 13, 13)
        pen.oval(GREY, x, 90, 6, 6)


def car(pen: Pen, rng: np.random.Generator) -> None:
    roof = int(rng.integers(30, 40))
    pen.polygon(100, (4, 62), (26, roof), (70, roof), (94, 62))
    pen.polygon(GLASS, (18, 56), (31, roof + 7), (45, roof + 7), (45, 56))
    pen.polygon(GLASS, (52, 56), (52, roof + 7), (66, roof + 7), (80, 56))
    pen.box(100, -18, 57, 118, 92, 8)
    pen.box(80, -18, 80, 118, 86)
    pen.line(75, 2.5, (49, 62), (49, 78))
    pen.oval((255, 236, 160), 113, 68, 5, 5)
    for x in (14, 86):
        pen.oval(BLACK, x, 87, 13, 13)
        pen.oval(GREY, x, 87, 6, 6)


def chair(pen: Pen, rng: np.random.Generator) -> None:
    pen.line(62, 10, (40, 64), (40, 90))
    pen.line(62, 10, (86, 64), (86, 90))
    pen.box(100, 8, 0, 36, 66, 7)
    pen.box(120, 36, 5, 46, 60, 3)
    pen.polygon(120, (14, 50), (84, 50), (102, 66), (24, 66))
    pen.box(88, 12, 62, 102, 80, 5)
    pen.line(88, 14, (20, 74), (18, 95))
    pen.line(88, 14, (92, 74), (94, 95))


def diningtable(pen: Pen, rng: np.random.Generator) -> None:
    for x in (2, 98):
        pen.line(WOOD, 9, (x, 50), (x, 97))
    pen.polygon(115, (2, 34), (98, 34), (116, 54), (-16, 54))
    pen.polygon(90, (-16, 54), (116, 54), (114, 76), (-14, 76))
    for x in range(-4, 110, 18):
        pen.polygon(104, (x, 54), (x + 8, 54), (x + 8, 76), (x, 76))
    for x in (24, 72):
        pen.oval(WHITE, x, 43, 15, 5)
        pen.oval(AMBER, x, 42, 6, 3)
    pen.box(80, 44, 22, 54, 44, 2)


def motorbike(pen: Pen, rng: np.random.Generator) -> None:
    for x in (10, 94):
        pen.oval(BLACK, x, 76, 24, 24)
        pen.oval(120, x, 76, 14, 14)
    pen.polygon(80, (22, 58), (76, 58), (70, 86), (30, 86))
    pen.oval(GREY, 50, 74, 13, 11)
    pen.polygon(100, (40, 36), (74, 32), (80, 58), (36, 60))
    pen.polygon(100, (-14, 44), (30, 48), (38, 60), (2, 60))
    pen.box(BLACK, 6, 38, 46, 48, 4)
    pen.line(100, 9, (94, 76), (78, 30))
    pen.line(BLACK, 6, (64, 20), (80, 26))
    pen.oval((255, 236, 160), 87, 36, 7, 7)
    pen.line(GREY, 7, (40, 88), (-8, 84))


def pottedplant(pen: Pen, rng: np.random.Generator) -> None:
    for x, y in ((12, 34), (30, 12), (52, 2), (74, 14), (90, 36), (22, 54), (80, 54)):
        dx, dy = rng.integers(-5, 6, 2).tolist()
        tip = (x + dx, y + dy)
        u = (x + dx + 51) / 2  # (u, v) is the middle of the leaf
        v = (y + dy + 66) / 2
        pen.line(65, 4, (51, 70), tip)
        pen.polygon(int(rng.integers(75, 125)), (51, 66), (u - 13, v), tip, (u + 13, v))
    pen.oval(100, 51, 50, 22, 16)
    pen.polygon((190, 96, 60), (28, 66), (74, 66), (66, 100), (36, 100))
    pen.box((210, 116, 78), 24, 62, 78, 72, 2)


def sofa(pen: Pen, rng: np.random.Generator) -> None:
    for x in (-6, 106):
        pen.box(WOOD, x - 6, 88, x + 6, 100)
    pen.box(85, -8, 28, 108, 76, 9)
    pen.box(115, 4, 58, 49, 76, 5)
    pen.box(115, 51, 58, 96, 76, 5)
    pen.box(100, -16, 74, 116, 92, 3)
    pen.box(108, -22, 48, 4, 92, 9)
    pen.box(108, 96, 48, 122, 92, 9)
    if rng.integers(2):
        pen.polygon(160, (70, 36), (90, 42), (84, 62), (64, 56))


def train(pen: Pen, rng: np.random.Generator) -> None:
    pen.box(100, -36, 26, 128, 86, 4)
    pen.polygon(100, (110, 26), (124, 30), (142, 62), (142, 86), (110, 86))
    pen.box(65, -36, 22, 114, 30)
    pen.box((240, 225, 185), -36, 62, 142, 68)
    for x in range(-30, 100, 22):
        pen.box(GLASS, x, 38, x + 15, 54, 2)
    pen.polygon(GLASS, (112, 36), (124, 36), (134, 56), (112, 56))
    pen.box(BLACK, -34, 84, 138, 92)
    for x in (-20, 0, 44, 64, 104, 122):
        pen.oval(60, x, 92, 8, 8)
    pen.line(BLACK, 3, (20, 24), (34, 10), (20, 2))


def tvmonitor(pen: Pen, rng: np.random.Generator) -> None:
    pen.polygon(BLACK, (42, 80), (58, 80), (62, 94), (38, 94))
    pen.box(BLACK, 22, 92, 78, 100, 3)
    pen.box(BLACK, -14, 8, 114, 84, 5)
    pen.box(100, -6, 16, 106, 76)
    pen.polygon(125, (-6, 16), (50, 16), (10, 76), (-6, 76))
    x, y = rng.integers(30, 60, 2).tolist()
    pen.polygon(70, (-6, 76), (x - 20, y), (x + 10, 66), (x + 34, y + 6), (106, 76))
    pen.oval((255, 250, 200), x + 36, 30, 7, 7)


class Look(NamedTuple):
    """A class: its main colour, where it is at home and how it is drawn."""

    colour: Colour
    home: str  # sky, sea, meadow, street or room
    draw: Callable[[Pen, np.random.Generator], None]


LOOKS = {
    "aeroplane": Look((165, 165, 255), "sky", aeroplane),
    "bicycle": Look((15, 185, 155), "street", bicycle),
    "bird": Look((250, 110, 165), "sky", bird),
    "boat": Look((30, 60, 225), "sea", boat),
    "bottle": Look((15, 120, 60), "room", bottle),
    "bus": Look((255, 205, 20), "street", bus),
    "car": Look((220, 25, 30), "street", car),
    "cat": Look((240, 135, 40), "room", cat),
    "chair": Look((205, 225, 45), "room", chair),
    "cow": Look((238, 236, 232), "meadow", cow),
    "diningtable": Look((150, 235, 190), "room", diningtable),
    "dog": Look((155, 66, 28), "room", dog),
    "horse": Look((66, 38, 36), "meadow", horse),
    "motorbike": Look((0, 80, 135), "street", motorbike),
    "person": Look((215, 35, 190), "street", person),
    "pottedplant": Look((95, 200, 35), "room", pottedplant),
    "sheep": Look((255, 238, 190), "meadow", sheep),
    "sofa": Look((115, 60, 185), "room", sofa),
    "train": Look((135, 10, 50), "street", train),
    "tvmonitor": Look((60, 215, 250), "room", tvmonitor),
}
