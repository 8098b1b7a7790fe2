"""Which class, and so which label, each thing of a source becomes.

A source has names of its own: of categories, or of the values and colours of its masks. `--map`
says that one is called otherwise here, merges several, or makes it void; `--classes` says which
classes there are and in what order. Without `--classes` background comes first, then the source's
names in their order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segmodels.config.schema import BACKGROUND, INDEX_COLUMNS, VOID

VOID_LABEL = 255
MOST_CLASSES = 255
MOST_SHOWN = 10

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Names:
    """Classes in the order of their labels, and the label of each name of a source.

    `palette` has a colour for each class, where the source says so.
    """

    classes: list[str]
    labels: dict[str, int]
    palette: list[Colour] | None = None

    def described(self) -> dict[str, object]:
        """What params.yaml says of them."""
        return {"classes": self.classes, "palette": self.palette}

    @property
    def unlabelled(self) -> int:
        """The label of pixels that no object covers: background, or void where there is none."""
        return self.classes.index(BACKGROUND) if BACKGROUND in self.classes else VOID_LABEL


def named(
    names: Sequence[str],
    meaning: Mapping[str, str],
    classes: list[str] | None,
    *,
    usual: Mapping[str, str] | None = None,
    objects: bool,
) -> Names:
    """Decide what the names of a source become.

    Args:
        names: of the source, in its order.
        meaning, classes: a person's word, see --map and --classes.
        usual: the format's word for some of them.
        objects: whether pixels can be covered by none, which are background.
    Raises:
        ValueError: a name has no class, or one of the person's is not in the source.
    """
    if strange := [name for name in meaning if name not in names]:
        raise ValueError(
            f"--map {strange[0]}={meaning[strange[0]]}: the source has no {strange[0]!r}, it has "
            f"{some(names)}: correct the name"
        )
    targets = {name: meaning.get(name, (usual or {}).get(name, name)) for name in names}
    if classes is None:
        wanted = [target for target in targets.values() if target != VOID]
        first = [BACKGROUND] if objects or BACKGROUND in wanted else []
        classes = list(dict.fromkeys([*first, *wanted]))
    check(classes)
    for name, target in targets.items():
        if target not in (*classes, VOID):
            raise ValueError(
                f"{name!r} of the source is none of the classes {some(classes)}: "
                f"--map '{name}=CLASS' says which it is, --map '{name}=void' leaves it out"
            )
    labels = {
        name: VOID_LABEL if target == VOID else classes.index(target)
        for name, target in targets.items()
    }
    return Names(classes, labels)


def check(classes: list[str]) -> None:
    """Refuse class names that params.yaml does not take.

    Raises:
        ValueError: too few or many, one twice, or one that is no name.
    """
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise ValueError(
            f"{len(classes)} classes ({some(classes)}): expected 2 to {MOST_CLASSES}; --classes "
            "chooses, --map merges them"
        )
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ValueError(f"class {twice!r} comes twice, expected once: remove one")
    for name in classes:
        if not name.strip() or not name.isprintable() or name in {VOID, *INDEX_COLUMNS}:
            raise ValueError(
                f"class {name!r}: expected a name in one line, other than {VOID}, "
                f"{', '.join(sorted(INDEX_COLUMNS))}: --map gives it another"
            )


def some(names: Sequence[str]) -> str:
    """Names, the first few."""
    more = ", ..." if len(names) > MOST_SHOWN else ""
    return (", ".join(names[:MOST_SHOWN]) or "none") + more
