"""The colours that palette files give to their values, compared from file to file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from segmodels.data import images

Colour = tuple[int, int, int]


class Palettes:
    """The colours that palette files give to their values; files that contradict are refused.

    Args:
        declared: the data set's `palette`; None: the first file that uses a value says its colour,
            which must not be what VOC's colour map gives to another class.
        classes: how many there are.
        strict: whether a value may have but one colour; otherwise only no other value's.
        advice: what a person can do about a contradiction.
    """

    def __init__(
        self,
        declared: list[Colour] | None = None,
        *,
        classes: int = 0,
        strict: bool = True,
        advice: str = "`masks: index` of the data set reads values, `masks: colour` colours",
    ) -> None:
        self.advice = advice
        self.strict = strict and declared is None
        self.colours: dict[int, Colour] = dict(enumerate(declared or []))
        self.origin = dict.fromkeys(self.colours, "`palette` of the data set")
        self.voc: dict[Colour, int] = {}
        if not declared:
            for value, row in enumerate(images.palette()[:classes]):
                self.voc[as_colour(row)] = value

    def add(self, path: Path, used: Mapping[int, Colour]) -> None:
        """Compare a file's colours with those before it.

        Raises:
            ValueError: it gives a value another colour, or the colour of another value.
        """
        for value, colour in used.items():
            contradiction = self._contradiction(value, colour)
            if contradiction:
                raise ValueError(
                    f"{path}: its palette gives {value} the colour {colour}, {contradiction}; "
                    f"{self.advice}"
                )
        for value, colour in used.items():
            self.colours.setdefault(value, colour)
            self.origin.setdefault(value, str(path))

    def _contradiction(self, value: int, colour: Colour) -> str | None:
        """What speaks against a value of this colour."""
        of_voc = self.voc.get(colour, value)
        if of_voc != value and value not in self.colours:
            return f"which is that of {of_voc} in VOC's colour map"
        owners = {taken: other for other, taken in self.colours.items()}
        owner = owners.get(colour, value)
        if owner != value:
            return f"which is the colour of {owner} in {self.origin[owner]}"
        before = self.colours.get(value, colour)
        if self.strict and before != colour:
            return f"in {self.origin[value]} it has {before}"
        return None


def used_colours(image: Image.Image, values: np.ndarray) -> dict[int, Colour]:
    """The colour of each value that occurs in a palette image.

    Empty where the palette tells nothing: it is a ramp of grey, or has a colour twice.

    Args:
        image: of mode P.
        values: (H, W), its pixels.
    """
    table = np.array(image.getpalette("RGB"), dtype=int).reshape(-1, 3)
    used = [int(value) for value in np.unique(values) if value < len(table)]
    colours = {value: as_colour(table[value]) for value in used}
    grey_ramp = all(colour == (value, value, value) for value, colour in colours.items())
    repeated = len(set(colours.values())) < len(colours)
    return {} if grey_ramp or repeated else colours


def as_colour(row: np.ndarray) -> Colour:
    """(3,) integers as a tuple."""
    red, green, blue = row.tolist()
    return red, green, blue
