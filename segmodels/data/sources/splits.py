"""Which samples train and which validate, the same on every machine.

The order is that of the SHA-256 of seed and name, so it depends on no file system, and a sample
that is added moves few others.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segmodels.data import layout

SHARE = 0.2  # of the samples that validate, where nobody says another


@dataclass(frozen=True)
class Choice:
    """How to split.

    Args:
        share: of the samples that validate, 0 to 1.
        val_list: file with the ids of the samples that validate, all others train.
        group: regular expression; samples in whose name it finds the same (its first group, if it
            has one) stay together.
        seed: another one gives another split.
    """

    share: float | None = None
    val_list: Path | None = None
    group: re.Pattern[str] | None = None
    seed: int = 0

    @property
    def given(self) -> bool:
        """Whether a person wants another split than the source's own."""
        return self.share is not None or self.val_list is not None or self.group is not None


def assign(
    image_ids: Sequence[str], names: Sequence[str], own: Sequence[str | None], choice: Choice
) -> list[str]:
    """Give each sample a split.

    Args:
        image_ids: of the samples.
        names: paths in the source, in which `group` is searched.
        own: what the source says. Its test samples stay such; its train and val are taken where
            there are both and nothing else is asked.
    Returns:
        "train", "val" or "test" for each.
    Raises:
        ValueError: the list names an unknown sample, the expression finds nothing in a name, or no
            sample would train or validate.
    """
    if not choice.given and {"train", "val"} <= set(own):
        splits = [split or "train" for split in own]
    else:
        free = [place for place, split in enumerate(own) if split != "test"]
        if choice.val_list:
            chosen = _listed(choice.val_list, [image_ids[place] for place in free])
            is_val = [image_ids[place] in chosen for place in free]
        else:
            is_val = _drawn([names[place] for place in free], choice)
        splits = ["test"] * len(own)
        for place, val in zip(free, is_val, strict=True):
            splits[place] = "val" if val else "train"
    for split in ("train", "val"):
        if split not in splits:
            raise ValueError(
                f"{split}: 0 of {len(splits)} images, expected 1 or more: --val, --val-list or "
                "--group gives another split"
            )
    return splits


def _listed(path: Path, image_ids: list[str]) -> set[str]:
    """The ids of a list.

    Raises:
        ValueError: one is that of no sample.
    """
    known, chosen = set(image_ids), layout.read_ids(path)
    strange = [line for line in chosen if line not in known]
    if strange:
        meant = layout.likely_id(strange[0], known) or image_ids[0]
        raise ValueError(
            f"{path}: {layout.printable(strange[0])!r} (and {len(strange) - 1} more) is the id of "
            f"no image, expected one as {layout.printable(meant)!r}: correct the list"
        )
    return set(chosen)


def _drawn(names: list[str], choice: Choice) -> list[bool]:
    """Which samples validate: whole groups, as many as fit into the share."""
    groups = defaultdict[str, list[int]](list)
    for place, name in enumerate(names):
        groups[group_of(name, choice.group)].append(place)
    order = sorted(groups, key=lambda group: _rank(choice.seed, group))
    share = SHARE if choice.share is None else choice.share
    room = max(1, round(share * len(names)))
    chosen = set[int]()
    for group in order:
        if len(chosen) + len(groups[group]) <= room:
            chosen.update(groups[group])
    if not chosen and len(order) > 1:
        smallest = min(order, key=lambda group: len(groups[group]))
        chosen.update(groups[smallest])
    return [place in chosen for place in range(len(names))]


def group_of(name: str, pattern: re.Pattern[str] | None) -> str:
    """What the pattern finds in a name; without one every name is a group of its own.

    Raises:
        ValueError: it finds nothing.
    """
    if pattern is None:
        return name
    match = pattern.search(name)
    if match is None:
        raise ValueError(
            f"--group {pattern.pattern}: finds nothing in {layout.printable(name)}, expected a "
            "match in the path of every image: correct the expression"
        )
    return match.group(1 if pattern.groups else 0) or ""


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()
