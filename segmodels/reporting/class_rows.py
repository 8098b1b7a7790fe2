"""Rows of figures that list the classes of a data set by group."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from segmodels.reporting.style import drawable

Groups = Mapping[str, Sequence[str]]  # group -> its classes


class Row(NamedTuple):
    """A class, or the heading of a group."""

    name: str
    is_class: bool


def arrange(classes: Sequence[str], groups: Groups) -> list[Row]:
    """From top to bottom: the classes without a heading, then each group's heading and classes.

    A class without a group has no heading, nor one that makes up the group of its own name. A
    group without any of the classes is left out.
    """
    headed = {group: members for group, members in groups.items() if list(members) != [group]}
    grouped = set[str]().union(*headed.values())
    rows = [Row(name, True) for name in classes if name not in grouped]
    for group, members in headed.items():
        shown = [Row(name, True) for name in classes if name in members]
        if shown:
            rows += [Row(group, False), *shown]
    return rows


def class_heights(rows: Sequence[Row]) -> tuple[np.ndarray, list[str]]:
    """At which row each class stands, counted from 0 at the top, and the names of the classes."""
    heights = []
    names = []
    for height, row in enumerate(rows):
        if row.is_class:
            heights.append(height)
            names.append(row.name)
    return np.array(heights), names


def name_rows(axes: Axes, rows: Sequence[Row], classes: Sequence[str]) -> None:
    """Write the names beside the y axis, those of groups in bold.

    Args:
        classes: every class in the data set's order, which gives one without a glyph its number.
    """
    headings = [row.name for row in rows if not row.is_class]
    class_names = dict(zip(classes, drawable(classes, "class"), strict=True))
    group_names = dict(zip(headings, drawable(headings, "group"), strict=True))
    labels = []
    for row in rows:
        names = class_names if row.is_class else group_names
        labels.append(names[row.name])
    axes.set_yticks(range(len(rows)), labels, fontsize=11)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("normal" if row.is_class else "bold")
