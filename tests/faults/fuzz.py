"""Feed the product files that are wrong in seeded ways, and judge what it makes of them.

    python -m tests.faults.fuzz --cases 5000 --seed 7
    python -m tests.faults.fuzz --seed 7 --only weights --case 31    # that one again

Case k of a target depends on (seed, target, k) alone. Each runs in a process of its own with
bounded memory, file sizes and time, in a folder beside which nothing may change. It is right if the
product used the file as an independent witness reads it, or refused it in a line that names it.
"""

import argparse
import faulthandler
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HANG = 20  # seconds of the processor, of which a busy machine has fewer
PATIENCE = 6  # times as many by the clock
MEMORY = 3 << 30  # bytes beyond what the process has at its start
LARGEST_FILE = 256 << 20  # bytes that a case may write
LONGEST = 1500  # characters of a refusal that a person still reads
BAD = ["traceback", "hang", "crash", "escape", "wrong number", "refusal that names nothing"]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod"}
RUNS = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect"}


@dataclass(frozen=True)
class Trial:
    """One file that is wrong, what to do with it, and how to tell whether that went well.

    Attributes:
        what: how it was made.
        attempt: calls the product; ValueError and OSError are refusals.
        complaint: of what `attempt` returned; None: it is right.
        names: one of which a refusal must contain.
        lines: whether a refusal may have a line for each problem.
    """

    what: str
    attempt: Callable[[], Any]
    complaint: Callable[[Any], str | None]
    names: list[str] = field(default_factory=list)
    lines: bool = False


def must_be_refused(_: Any) -> str:
    """The complaint of a trial that may not be used at all."""
    return "was used"


def run(make: Callable[[random.Random, Path], Trial], seed: str) -> tuple[str, str]:
    """One case in a process of its own.

    Returns:
        "used", "refused" or one of BAD; and what happened.
    """
    sandbox = Path(tempfile.mkdtemp(prefix="fuzz-"))
    home = sandbox / "project"
    home.mkdir()
    (sandbox / "beside").write_text("unchanged")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(make, seed, home, writer)
    os.close(writer)
    try:
        answer = _answer(reader, child, home)
        beside = {path.name for path in sandbox.iterdir()}
        if beside != {"beside", "project"} or (sandbox / "beside").read_text() != "unchanged":
            answer = "escape", f"beside the project: {sorted(beside)}"
        return answer
    finally:
        os.close(reader)
        shutil.rmtree(sandbox, ignore_errors=True)


def _answer(reader: int, child: int, home: Path) -> tuple[str, str]:
    """What the child says of itself, or how it ended without a word."""
    content, deadline = b"", time.monotonic() + HANG * PATIENCE + 10
    while select.select([reader], [], [], max(0, deadline - time.monotonic()))[0]:
        piece = os.read(reader, 1 << 16)
        if not piece:
            break
        content += piece
    else:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if content:
        return tuple(json.loads(content))
    stack = home / "stack.txt"
    told = stack.read_text() if stack.exists() else ""
    ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    if "Timeout" in told or ended in (signal.SIGPROF, signal.SIGKILL):
        return "hang", told or "killed"
    return "crash", f"wait status {status}"


def _child(make: Callable, seed: str, home: Path, writer: int) -> None:
    """Make the trial, then attempt and judge it under watch; never returns."""
    answer = "crash", "the fuzzer itself"
    try:
        os.chdir(home)
        trial = make(random.Random(seed), home)
        escapes: list[str] = []
        _confine(home, escapes)
        outcome, said = _attempt(trial, home)
        if escapes:
            outcome, said = "escape", "; ".join(escapes[:3])
        answer = outcome, f"{trial.what}: {said}"
    except BaseException:
        answer = "crash", "the fuzzer itself: " + traceback.format_exc()
    finally:
        os.write(writer, json.dumps(answer).encode("utf-8", "backslashreplace"))
        os._exit(0)


def _confine(home: Path, escapes: list[str]) -> None:
    """Bound time, memory and files, and note each write outside and each program started."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    stack = open(home / "stack.txt", "w")  # noqa: SIM115, for faulthandler to write to
    faulthandler.enable(stack)
    faulthandler.dump_traceback_later(HANG * PATIENCE, exit=True, file=stack)
    faulthandler.register(signal.SIGPROF, stack, chain=True)  # which then ends the process
    signal.setitimer(signal.ITIMER_PROF, HANG)
    warnings.simplefilter("ignore")

    def outside(path: Any) -> bool:
        place = os.path.realpath(os.fsdecode(path))
        return not place.startswith(str(home)) and place != os.devnull

    def hook(event: str, arguments: tuple) -> None:
        if event in RUNS:
            escapes.append(f"{event} {arguments[:2]!r}"[:200])
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        named = arguments and isinstance(arguments[0], str | bytes | os.PathLike)
        if (writes or event in CHANGES) and named and outside(arguments[0]):
            escapes.append(f"{event} {arguments[0]!r}"[:200])

    sys.addaudithook(hook)


def _attempt(trial: Trial, home: Path) -> tuple[str, str]:
    try:
        value = trial.attempt()
    except (ValueError, OSError) as error:
        message = str(error)
        if not any(name in message for name in trial.names):
            return BAD[5], message
        if len(message) > LONGEST or ("\n" in message and not trial.lines):
            return BAD[5], f"{message.count(chr(10)) + 1} lines, {len(message)} letters: {message}"
        return "refused", message.replace(str(home), "")
    except BaseException:
        return "traceback", traceback.format_exc()
    complaint = trial.complaint(value)
    return ("used", "") if complaint is None else ("wrong number", complaint)


def targets() -> dict[str, tuple[Callable[[random.Random, Path], Trial], int]]:
    """What makes the trials of each target, and its share of the cases."""
    from . import (
        fuzz_archives,
        fuzz_imports,
        fuzz_lists,
        fuzz_meaning,
        fuzz_params,
        fuzz_pictures,
        fuzz_reports,
        fuzz_weights,
    )

    modules = [fuzz_archives, fuzz_pictures, fuzz_lists, fuzz_params, fuzz_reports, fuzz_weights]
    modules += [fuzz_meaning, fuzz_imports]
    return {name: entry for module in modules for name, entry in module.TARGETS.items()}


def run_all(
    cases: int,
    seed: int,
    watch: Callable[[str, int, str, str], None],
    only: str | None = None,
    part: tuple[int, int] = (0, 1),
) -> Counter[str]:
    """Run `cases` cases of one or all targets, by their shares; how many ended in which way.

    Args:
        part: (k, n): of each target's cases every n-th only, from number k.
    """
    makers = targets()
    names = [only] if only else [name for name, (_, share) in makers.items() for _ in range(share)]
    found: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    for k in range(cases):
        name = names[k % len(names)]
        number = numbers[name]
        numbers[name] += 1
        if number % part[1] == part[0]:
            outcome, said = run(makers[name][0], f"{seed}:{name}:{number}")
            found[outcome] += 1
            watch(name, number, outcome, said)
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="TARGET", help="one target")
    parser.add_argument("--case", type=int, metavar="K", help="one case of it")
    given = parser.parse_args()
    if given.only and given.case is not None:
        print(*run(targets()[given.only][0], f"{given.seed}:{given.only}:{given.case}"), sep="\n")
        return
    by_target: dict[str, Counter[str]] = {}

    def watch(name: str, number: int, outcome: str, said: str) -> None:
        by_target.setdefault(name, Counter())[outcome] += 1
        if outcome in BAD:
            print(f"{name} {number}: {outcome}: {said}\n", flush=True)

    found = run_all(given.cases, given.seed, watch, given.only)
    for name, counter in by_target.items():
        print(f"{name}: {dict(counter)}")
    print(f"{sum(found.values())} cases:", ", ".join(f"{found[bad]} {bad}" for bad in BAD))
    sys.exit(any(found[bad] for bad in BAD))


if __name__ == "__main__":
    main()
