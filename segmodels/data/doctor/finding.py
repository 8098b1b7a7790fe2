"""What the doctor says: one line with the remedy, and the images that show it."""

from dataclasses import dataclass

Group = tuple[str, ...]  # ids of images that are looked at together, such as two alike


@dataclass(frozen=True)
class Finding:
    """Something that a person should know of a data set.

    Attributes:
        text: one line: what was found, how often, and what to do about it.
        suspects: the images that show it, the clearest first; none where no image does.
    """

    text: str
    suspects: tuple[Group, ...] = ()


def alone(image_ids: list[str]) -> tuple[Group, ...]:
    """Suspects that are looked at one by one."""
    return tuple((image_id,) for image_id in image_ids)


def plural(count: int, noun: str) -> str:
    """E.g. 1 image, 2 images, 1,000 images."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
