"""What the attacks of this folder have in common: how they are counted and reported."""

import datetime
import fcntl
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faults import laboratory

_tried: Counter[str] = Counter()
_survived: Counter[str] = Counter()
_totals: dict[str, Counter[str]] = {}


# Of what has a parameter `third` or is marked `rotates`, `-m "not every"` runs one third, another
# each day (UTC). The processes of pytest-xdist inherit the date; set it to run an earlier day's
# third again.
DAY = os.environ.setdefault("FAULTS_DAY", datetime.datetime.now(datetime.UTC).date().isoformat())
THIRDS = [1, 2, 3]


def third_of(day: str) -> int:
    """The third of a day; three days in a row have all."""
    return THIRDS[datetime.date.fromisoformat(day).toordinal() % len(THIRDS)]


def third_of_item(item: Any) -> int | None:
    """The third in which a test runs; None: it runs every day.

    The members of a test marked `rotates(k)` are dealt out by the places of their parameters; the
    first one comes k thirds later than the first.
    """
    callspec = getattr(item, "callspec", None)  # of a test with parameters
    if callspec and "third" in callspec.params:
        return callspec.params["third"]
    marker = item.get_closest_marker("rotates")
    if marker is None:
        return None
    places = callspec.indices.values() if callspec else []
    return THIRDS[sum(places, *marker.args) % len(THIRDS)]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every: another day's third, left out by `not every`")
    config.addinivalue_line("markers", "rotates(k=0): a third of its members a day")


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark the thirds of other days, then order what is left after the selection by `-m`."""
    today = third_of(DAY)
    for item in items:
        if third_of_item(item) not in (None, today):
            item.add_marker("every")
    yield
    order(items)


def order(items: list[pytest.Item]) -> None:
    """The longest first in each half, so that neither of two processes is left with one at the end.

    pytest-xdist's worksteal gives each process its half, to be done in this order. The one begins
    with what needs `computed`, the other with what needs another project, so that none waits.
    """
    longest = [item for item in items if item.get_closest_marker("longest")]
    others = [item for item in items if item not in longest]
    middle = len(others) // 2
    items[:] = longest[::2] + others[:middle] + longest[1::2][::-1] + others[middle:]


@pytest.fixture(scope="package", autouse=True)
def as_started_by_hand() -> Iterator[None]:
    """None of the project's variables, an archive's place for one; Ctrl-C is not ignored.

    It is in the processes of pytest-xdist, and what they start inherits that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SEGMODELS_")]:
            patch.delenv(name)
        yield
    signal.signal(signal.SIGINT, before)


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """A folder that `make` fills, once for all processes of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = tmp_path_factory.mktemp(name)
            make(unfinished)
            unfinished.rename(folder)
    return folder


@pytest.fixture(scope="session")
def computed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """The small project computed once, to be copied; and what came of it."""

    def make(work: Path) -> None:
        folder = laboratory.settle(work / "project", laboratory.DRAWN)
        status, output = laboratory.repro(folder, TZ="UTC", PYTHONHASHSEED="0")
        assert status == 0, output

    folder = made_once(tmp_path_factory, "computed", make) / "project"
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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the figures of one of several processes to the one that prints them."""
    if hasattr(session.config, "workeroutput"):
        totals = {what: dict(numbers) for what, numbers in _totals.items()}
        session.config.workeroutput["faults"] = [dict(_tried), dict(_survived), totals]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the figures of a process that has ended."""
    tried, survived, totals = getattr(node, "workeroutput", {}).get("faults", [{}, {}, {}])
    _tried.update(tried)
    _survived.update(survived)
    for what, numbers in totals.items():
        count(what, **numbers)


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
