"""How the person and the animals of the miniature are drawn; see objects.py."""

import numpy as np

from segmodels.data.sources.miniature.pen import AMBER, BLACK, SKIN, WHITE, Pen

HANDS = ((42, 62), (48, 42), (40, 4))  # down, out, up; x from the middle of the body


def person(pen: Pen, rng: np.random.Generator) -> None:
    left, right = rng.integers(0, 3, 2)
    step = int(rng.integers(3, 13))
    for dx in (-8 - step, 8 + step):
        pen.line(55, 19, (50 + dx / 2, 66), (50 + dx, 88))
        pen.line(BLACK, 11, (50 + dx, 94), (56 + dx, 94))
    for side, (x, y) in ((-1, HANDS[left]), (1, HANDS[right])):
        elbow = 50 + side * (20 + x) / 2, (42 + y) / 2
        pen.line(85, 15, (50 + side * 18, 42), elbow)
        pen.line(SKIN, 12, elbow, (50 + side * x, y))
    pen.box(100, 27, 33, 73, 76, 8)
    pen.oval((70, 44, 30), 50, 13, 19, 16)
    pen.oval(SKIN, 50, 19, 15.5, 16)
    for x in (45, 56):
        pen.oval(BLACK, x, 18, 2.4, 2.8)
    pen.line((170, 70, 70), 2, (46, 27), (51, 28), (55, 26))


def _beast(pen: Pen, rng: np.random.Generator, back: int, belly: int) -> None:
    """Body and four legs of an animal that looks to the right."""
    step = int(rng.integers(-7, 8))
    for x in (16, 70):
        pen.line(70, 11, (x + 6, belly - 8), (x + 6 - step, 96))
    for x in (8, 64):
        pen.line(92, 12, (x + 6, belly - 8), (x + 6 + step, 96))
    pen.box(100, -4, back, 84, belly, 13)


def bird(pen: Pen, rng: np.random.Generator) -> None:
    flap = int(rng.integers(-4, 3)) * 12
    pen.polygon(75, (34, 48), (68, 48), (56 + flap / 3, 62 + flap))
    pen.polygon(80, (22, 46), (-18, 38), (-10, 56), (-18, 72), (22, 68))
    pen.oval(100, 46, 58, 42, 26)
    pen.oval(128, 52, 69, 30, 14)
    pen.oval(100, 84, 38, 20, 19)
    pen.polygon(AMBER, (100, 30), (124, 40), (100, 48))
    pen.oval(BLACK, 90, 34, 4, 4)
    pen.polygon(84, (16, 58), (70, 56), (40 + flap / 2, 50 + flap), (8 + flap / 2, 42 + flap))


def cat(pen: Pen, rng: np.random.Generator) -> None:
    tip = int(rng.integers(10, 50))
    pen.line(88, 9, (28, 90), (4, 84), (-4, 62), (6, tip))
    pen.oval(100, 44, 74, 30, 27)
    pen.polygon(100, (24, 74), (60, 44), (84, 60), (76, 96))
    for x in (24, 36, 48):
        pen.line(68, 4, (x, 54), (x - 4, 70))
    for x in (62, 76):
        pen.line(108, 11, (x, 70), (x, 95))
    pen.polygon(90, (50, 34), (50, 4), (70, 20))
    pen.polygon(90, (94, 34), (96, 4), (76, 20))
    pen.oval(100, 73, 34, 25, 21)
    pen.oval(145, 73, 42, 11, 9)
    for x in (64, 82):
        pen.oval((110, 190, 70), x, 31, 4.5, 4.5)
        pen.oval(BLACK, x, 31, 2, 4)
    pen.polygon((220, 110, 110), (69, 39), (77, 39), (73, 44))


def cow(pen: Pen, rng: np.random.Generator) -> None:
    pen.line(100, 5, (-2, 40), (-12, 74))
    _beast(pen, rng, 30, 74)
    pen.oval((240, 170, 175), 22, 76, 10, 7)
    for x in range(8, 76, 22):
        dx, dy = rng.integers(-4, 5, 2).tolist()
        pen.oval(BLACK, x + dx, 48 + dy, 10, 14)
    pen.polygon(BLACK, (80, 26), (66, 20), (72, 34))
    pen.line((225, 210, 170), 4, (84, 22), (80, 10))
    pen.line((225, 210, 170), 4, (98, 22), (104, 10))
    pen.oval(100, 92, 34, 16, 19)
    pen.oval(BLACK, 84, 28, 6, 9)
    pen.oval((240, 170, 175), 97, 47, 13, 9)
    pen.oval(BLACK, 96, 32, 3, 3)


def dog(pen: Pen, rng: np.random.Generator) -> None:
    pen.line(100, 8, (0, 50), (-16, int(rng.integers(18, 48))))
    _beast(pen, rng, 42, 74)
    pen.polygon(100, (60, 44), (80, 24), (96, 46), (82, 68))
    pen.oval(100, 86, 32, 20, 18)
    pen.box(125, 90, 30, 118, 48, 6)
    pen.oval(55, 73, 37, 8, 17)
    pen.oval(BLACK, 116, 33, 5, 4)
    pen.oval(BLACK, 92, 27, 3, 3)
    pen.line((200, 40, 50), 5, (72, 56), (88, 62))


def horse(pen: Pen, rng: np.random.Generator) -> None:
    mane = (205, 190, 160)
    pen.line(mane, 10, (-2, 46), (-14, 60), (-14, 82))
    _beast(pen, rng, 38, 72)
    pen.polygon(100, (56, 46), (74, 6), (98, 10), (88, 62))
    pen.polygon(100, (78, 4), (98, 6), (122, 30), (112, 42), (84, 26))
    pen.polygon(100, (80, 8), (82, -6), (92, 6))
    pen.line(mane, 8, (78, 4), (66, 22), (60, 38))
    pen.oval(WHITE, 99, 15, 3, 3)
    pen.oval(150, 117, 35, 5, 5)


def sheep(pen: Pen, rng: np.random.Generator) -> None:
    for x in (14, 26, 58, 70):
        pen.line((60, 52, 50), 8, (x, 70), (x, 97))
    upper = ((16, 38), (36, 32), (58, 34), (78, 46))
    lower = ((6, 50), (14, 66), (34, 70), (56, 70), (74, 64))
    for x, y in (*upper, *lower):
        pen.oval(int(rng.integers(88, 100)), x, y, 17, 16)
    pen.box(97, 8, 38, 74, 68, 8)
    for x, y in ((20, 48), (42, 44), (62, 52), (32, 60), (54, 62)):
        pen.line(86, 3, (x - 5, y), (x, y + 4), (x + 5, y))
    pen.oval((60, 52, 50), 94, 44, 13, 17)
    pen.polygon((60, 52, 50), (84, 38), (70, 44), (84, 46))
    pen.oval(100, 88, 28, 13, 9)
    pen.oval(WHITE, 97, 40, 3, 3)
