"""What the attacks of this folder have in common: how they are counted and reported."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults import laboratory

_tried: Counter[str] = Counter()
_survived: Counter[str] = Counter()
_totals: dict[str, Counter[str]] = {}


@pytest.fixture(scope="session")
def computed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """The small project computed once, to be copied; and what came of it."""
    folder = laboratory.settle(tmp_path_factory.mktemp("plain") / "project", laboratory.DRAWN)
    status, output = laboratory.repro(folder, TZ="UTC", PYTHONHASHSEED="0")
    assert status == 0, output
    expected = laboratory.results(folder)
    assert len(expected) > 40
    return folder, expected


class Attack:
    """One attack; `only_if` tells whether it came before what it was aimed at had ended."""

    took_place = True

    def only_if(self, took_place: bool) -> None:
        self.took_place = took_place


@contextmanager
def attack(what: str = "faults") -> Iterator[Attack]:
    """Count one attack, survived if the body raises nothing: "<what> survived n of m" at the end.

    Args:
        what: "faults", or a kind that is counted by itself, e.g. "interruptions".
    """
    this = Attack()
    try:
        yield this
    except BaseException:
        _tried[what] += 1
        raise
    _tried[what] += this.took_place
    _survived[what] += this.took_place


def count(what: str, **numbers: int) -> None:
    """Add to totals of which the end of the run prints one line: "<what>: 512 cases, 0 hangs"."""
    _totals.setdefault(what, Counter()).update(numbers)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    lines = [f"{what} survived {_survived[what]} of {_tried[what]}" for what in sorted(_tried)]
    for what, numbers in sorted(_totals.items()):
        shown = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in numbers.items())
        lines.append(f"{what}: {shown}")
    if lines:
        terminalreporter.section("faults")
    for line in lines:
        terminalreporter.write_line(line)
