"""Masks that a program resized with interpolation, or stored with loss.

Between labels a and b interpolation writes a rim of labels that lie between them, and between two
colours colours on the way from one to the other. A mask that is drawn, or resized to the nearest
pixel, steps from a to b at once.
"""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from segmodels.config.schema import Dataset
from segmodels.data import images, layout
from segmodels.data.doctor.finding import Finding, alone, plural
from segmodels.data.sources import tidy

RAMPS = 0.3  # of the steps: drawn masks have at most 0.07 (CamVid), resized ones at least 0.6
ENOUGH = 20  # steps, below which a mask has too few borders to tell
NEAR = 12.0  # distance in RGB to the line between two colours; JPEG adds that much noise


def ramp_share(labels: np.ndarray, void: int) -> float:
    """Which part of a mask's steps from label to label takes more than one pixel.

    Steps between neighbours in a row or column count, those to or from void aside. Of steps that
    are at once, only those over a label in between do: 0 to 1 has nothing between.

    Args:
        labels: (H, W) uint8.
    Returns:
        0..1, and 0 where there are fewer steps than `ENOUGH`.

    >>> ramp_share(np.repeat([[0, 4, 11, 15]], 20, axis=0), void=255)
    1.0
    """
    ramps = 0
    jumps = 0
    for lines in (labels, labels.T):
        steps = np.diff(lines.astype(np.int16), axis=1)
        steps[(lines[:, 1:] == void) | (lines[:, :-1] == void)] = 0
        direction = np.pad(np.sign(steps), ((0, 0), (1, 1)))
        here = direction[:, 1:-1]
        goes_on = (here == direction[:, :-2]) | (here == direction[:, 2:])
        ramp = (here != 0) & goes_on
        ramps += int(ramp.sum())
        jumps += int(((np.abs(steps) > 1) & ~ramp).sum())
    total = ramps + jumps
    return ramps / total if total >= ENOUGH else 0.0


def findings(
    root: Path,
    image_ids: list[str],
    data: Dataset,
    watch: Callable[[list[str]], Iterable[str]] = iter,
) -> list[Finding]:
    """Masks whose labels were interpolated.

    Args:
        root: VOC tree.
        image_ids: of masks that are PNGs of labels; those of another form are passed over.
        watch: wraps the work, e.g. in a progress bar.
    """
    shares: dict[str, float] = {}
    for image_id in watch(image_ids):
        try:
            labels = images.read_target(layout.target_path(root, image_id))
        except (OSError, ValueError):  # said by who reads it for its labels
            continue
        share = ramp_share(labels, data.void)
        if share >= RAMPS:
            shares[image_id] = share
    if not shares:
        return []
    worst = sorted(shares, key=lambda image_id: -shares[image_id])
    text = (
        f"interpolated labels in {len(worst)} of {plural(len(image_ids), 'mask')}: in {worst[0]} "
        f"{shares[worst[0]]:.0%} of the steps from label to label pass over labels in between, "
        "rims of other classes. Unless the classes truly lie one within another, make the masks "
        "again from their originals, nearest neighbour"
    )
    return [Finding(text, alone(worst))]


def colour_findings(root: Path, image_ids: list[str], data: Dataset, name: str) -> list[Finding]:
    """What is known of masks in colour that `masks.read` refuses.

    Args:
        root: VOC tree.
        image_ids: of its masks, in any form; those that are not in RGB are passed over.
        name: of the data set in params.yaml, for the advice.
    """
    of_voc = images.palette()
    known = of_voc[: len(data.classes)] if data.palette is None else np.array(data.palette)
    known = np.vstack([known, of_voc[images.VOID_COLOUR]])
    interpolated = list[str]()
    plain = list[str]()
    for image_id in image_ids:
        colours = _colours(tidy.mask_path(root, image_id))
        if colours is None:
            continue
        strange = colours[~_is_in(colours, known)]
        if not len(strange):
            plain.append(image_id)
        elif between(strange, known).mean() >= RAMPS:
            interpolated.append(image_id)
    found = list[Finding]()
    if plain and data.palette is None:
        colours = of_voc[: len(data.classes)].tolist()
        text = (
            f"{plural(len(plain), 'mask')} in the colours of VOC's colour map, {plain[0]} first: "
            f"`palette: {colours}` in `datasets.{name}` reads them"
        )
        found.append(Finding(text, alone(plain)))
    if interpolated:
        text = (
            f"interpolated colours in {plural(len(interpolated), 'mask')}, {interpolated[0]} "
            "first, between those of the classes, from a resize or from JPEG; make the masks "
            "again from their originals, nearest neighbour, as PNG"
        )
        found.append(Finding(text, alone(interpolated)))
    return found


def between(colours: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which colours lie on the way from one known colour to another.

    Args:
        colours: (n, 3), 0..255.
        known: (k, 3), 0..255.
    Returns:
        (n,) bool: within `NEAR` of the line between two of them.
    """
    points = colours.astype(float)
    found = np.zeros(len(points), dtype=bool)
    for start, end in itertools.combinations(known.astype(float), 2):
        way = end - start
        part = np.clip((points - start) @ way / (way @ way), 0, 1)
        distance = np.linalg.norm(points - (start + part[:, None] * way), axis=1)
        found |= distance < NEAR
    return found


def _colours(path: Path) -> np.ndarray | None:
    """The colours that occur in a mask in RGB, (n, 3) uint8; None: it is another image or none."""
    try:
        with images.open_image(path) as image:
            if image.mode not in ("RGB", "RGBA"):
                return None
            pixels = np.asarray(image)[..., :3]
    except (OSError, ValueError):
        return None
    return np.unique(pixels.reshape(-1, 3), axis=0)


def _is_in(colours: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(n,) bool: which of (n, 3) colours are among (k, 3) known ones."""
    return (colours[:, None] == known[None]).all(axis=2).any(axis=1)
