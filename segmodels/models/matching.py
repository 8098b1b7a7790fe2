"""Which tensors of a file belong where in a model, whatever other programs put before the names.

A wrapper puts a prefix before every name: "module." (DataParallel), "_orig_mod." (torch.compile),
"model." (Lightning). No list of wrappers is kept: a prefix counts as one if names without it are
names of the model. Names must then be equal, and shapes too. What fits equally well in two ways is
refused, since either could be meant.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

BACKBONE = "backbone."  # how the names of a model's backbone begin
SHARE = 0.9  # of a file's names: a prefix of so many of them wraps all that matters
# Under these keys training scripts store a state dict; where two fit equally, the first is meant.
KEYS = ["model", "state_dict", "model_state_dict", "model_state", "net", "network", "module"]
KEYS += ["weights", "params", "model_ema", "state_dict_ema", "ema_state_dict", "params_ema", "ema"]


@dataclass(frozen=True)
class Match:
    """A way to take a file's names for a model's: `removed` goes from their front, `put` comes.

    `fits` has the name in the model -> the name in the file of each tensor that fits.
    """

    removed: str
    put: str
    fits: dict[str, str]

    def name(self, given: str) -> str | None:
        """A file's name as the model would have it; None: it lacks the prefix."""
        if not given.startswith(self.removed):
            return None
        return self.put + given.removeprefix(self.removed)


def match(own: dict[str, Tensor], given: dict[str, Tensor], removed: str, put: str) -> Match:
    """The tensors of a file that fit in one way, by their name in the model."""
    way = Match(removed, put, {})
    for theirs, tensor in given.items():
        name = way.name(theirs)
        if name in own and as_convolution(tensor, own[name]).shape == own[name].shape:
            way.fits[name] = theirs
    return way


def plain(own: dict[str, Tensor], given: dict[str, Tensor], puts: Sequence[str]) -> Match:
    """The best match of names as they are: the first of `puts` with which most fits."""
    ways = [match(own, given, "", put) for put in puts]
    return max(ways, key=lambda way: len(way.fits))


def wrapped(own: dict[str, Tensor], given: dict[str, Tensor], puts: Sequence[str]) -> Match:
    """The best match of names without a prefix, or as they are if that is no worse.

    Raises:
        ValueError: two prefixes fit equally well.
    """
    ways = [plain(own, given, puts)]
    for put in puts:
        for removed in _prefixes(own, given, put):
            way = match(own, given, removed, put)
            if _is_wrapper(own, given, way):
                ways.append(way)
    best = max(ways, key=lambda way: (len(way.fits), -len(way.removed)))
    rivals = [way for way in ways if len(way.fits) == len(best.fits) and way.fits != best.fits]
    if best.removed and rivals:
        raise ValueError(
            f'its names fit equally without "{best.removed}" and without "{rivals[0].removed}": '
            "expected one model, save the tensors of one of them alone"
        )
    return best


def chosen(
    own: dict[str, Tensor], found: dict[str, dict[str, Tensor]], puts: Sequence[str]
) -> tuple[str, Match, list[str]]:
    """Of the state dicts in a file the one that fits best.

    Args:
        found: from `safe_load.state_dicts`.
    Returns:
        the keys that lead to it, its match, and the keys of others that fit equally well.
    Raises:
        ValueError: two fit equally well, and neither is the one that scripts call the model.
    """
    ways = {keys: wrapped(own, given, puts) for keys, given in found.items()}
    most = max(len(way.fits) for way in ways.values())
    best = [keys for keys, way in ways.items() if len(way.fits) == most]
    best.sort(key=_rank)
    first, *others = best
    if most and others and _rank(first) == _rank(others[0]):
        raise ValueError(
            f'"{first}" and "{others[0]}" in it fit equally: expected one model, save one of '
            "them alone with torch.save"
        )
    if not most:  # the largest, whose names the error shows
        first = max(found, key=lambda keys: len(found[keys]))
    return first, ways[first], others if most else []


def alike(own: dict[str, Tensor], given: dict[str, Tensor]) -> tuple[str, str] | None:
    """A name of a file that ends in one of a model or its backbone, and that one."""
    for theirs in given:
        for at, letter in enumerate(f".{theirs}"):
            for put in ("", BACKBONE):
                if letter == "." and put + theirs[at:] in own:
                    return theirs, put + theirs[at:]
    return None


def as_convolution(given: Tensor, own: Tensor) -> Tensor:
    """A fully-connected layer's weight for the convolution that replaces it (VGG16's fc6, fc7)."""
    same = given.ndim == 2 and own.ndim == 4 and given.shape == own.flatten(1).shape
    return given.reshape_as(own) if same else given


def _prefixes(own: dict[str, Tensor], given: dict[str, Tensor], put: str) -> list[str]:
    """All that stands in the file before a name of the model."""
    counts = Counter[str]()
    for name in given:
        for at, letter in enumerate(name, start=1):
            if letter == "." and put + name[at:] in own:
                counts[name[:at]] += 1
    return list(counts)


def _is_wrapper(own: dict[str, Tensor], given: dict[str, Tensor], way: Match) -> bool:
    """Whether a prefix stands before a model, not before a block that has names like a model's."""
    if sum(name.startswith(way.removed) for name in given) >= SHARE * len(given):
        return True
    backbone = [name for name in own if name.startswith(BACKBONE)]
    for part in (list(own), backbone):
        fitting = way.fits.keys() & part
        if part and 2 * len(fitting) >= len(part):
            return True
    return False


def _rank(keys: str) -> int:
    """How early the last of the keys to a state dict stands in KEYS; a bare one comes first."""
    last = keys.rpartition(".")[2]
    if last in KEYS:
        return KEYS.index(last)
    return len(KEYS) if keys else -1
