"""How much the tests notice: one-line faults in the files whose errors nobody would see.

    pip install -e '.[mutation]'
    python -m tests.faults.mutations --count 30 --seed 7

Faults are Cosmic Ray's: a sign, a comparison, a number by one, and/or, a loop that never runs. They
are made in a clone of HEAD, and the tests that belong to the file run there until one fails.
"""

import argparse
import ast
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CLONE = Path(".scratch/mutations")
TESTS = {
    "segmodels/evaluation/scores.py": ["scores", "evaluate", "score_masks"],
    "segmodels/evaluation/confusion.py": ["confusion", "scores"],
    "segmodels/training/losses.py": ["losses", "step"],
    "segmodels/data/augment.py": ["augment", "loading"],
    "segmodels/data/transforms.py": ["augment", "loading"],
    "segmodels/data/sources/archive.py": ["archive", "download_stage"],
    "segmodels/training/loop.py": ["loop", "loop_options", "batchnorm", "checkpoint"],
    "segmodels/training/step.py": ["step", "loop_options", "loop", "checkpoint"],
}
ARITHMETIC, ORDER = "Add|Sub|Mul|Div|FloorDiv|Mod|Pow", "Eq|NotEq|Lt|LtE|Gt|GtE"
KINDS = re.compile(  # no fault that ends in a TypeError at once
    f"ReplaceBinaryOperator_({ARITHMETIC})_({ARITHMETIC})|ReplaceComparisonOperator_({ORDER})_({ORDER})"
    "|ReplaceComparisonOperator_(Is_IsNot|IsNot_Is)|ReplaceUnaryOperator_Delete_.*|AddNot|NumberReplacer"
    "|Replace(And|Or)With.*|Replace(True|False)With.*|Replace(Break|Continue)With.*|ZeroIterationForLoop"
)
LONGEST = 600  # seconds until the tests have noticed an endless loop


def faults(source: str) -> Iterator[tuple[int, str, str]]:
    """Line number, kind and changed source of every one-line fault that runs otherwise."""
    from cosmic_ray import plugins
    from cosmic_ray.mutating import mutate_code

    lines, original = source.split("\n"), program(source)
    for name in sorted(plugins.operator_names()):
        if not KINDS.fullmatch(kind := name.rpartition("/")[2]):
            continue
        operator = plugins.get_operator(name)()
        occurrence = 0
        while (changed := mutate_code(source, operator, occurrence)) is not None:
            occurrence += 1
            pairs = zip(lines, changed.split("\n"), strict=True)
            numbers = [k for k, (old, new) in enumerate(pairs, 1) if old != new]
            if len(numbers) == 1 and program(changed) not in (original, None):
                yield numbers[0], kind, changed


def program(source: str) -> str | None:
    """What runs of a source: its tree without annotations; None of what is no Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            if getattr(node, field, None) is not None:
                setattr(node, field, ast.Constant(None))
    return ast.dump(tree)


def choose(count: int, seed: int) -> Iterator[tuple[str, int, str, str]]:
    """File by file in turn, a line that can be wrong, then one of its faults."""
    rng = random.Random(seed)
    found: dict[str, dict[int, list[tuple[str, str]]]] = {}
    for file in TESTS:
        for line, kind, changed in faults((CLONE / file).read_text(encoding="utf-8")):
            found.setdefault(file, {}).setdefault(line, []).append((kind, changed))
    for k in range(count):
        file = list(found)[k % len(found)]
        line = rng.choice(sorted(found[file]))
        kind, changed = rng.choice(found[file].pop(line))
        yield file, line, kind, changed


def test_file(name: str) -> Path:
    """Where tests/<folder>/test_<name>.py is, from the clone's folder."""
    (path,) = CLONE.glob(f"tests/*/test_{name}.py")
    return path.relative_to(CLONE)


def run_tests(file: str) -> tuple[bool, str]:
    """Whether the tests of a file pass, and the one that fails."""
    tests = [str(test_file(name)) for name in TESTS[file]]
    command = [sys.executable, "-m", "pytest", "-x", "-m", "not slow", "-p", "no:cacheprovider"]
    paths = {"PYTHONPATH": str(CLONE.absolute()), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*command, *tests],
            cwd=CLONE,
            env={**os.environ, **paths},
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        return False, f"no end after {LONGEST} s"
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return done.returncode == 0, failed[1] if failed else done.stdout[-200:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    if not CLONE.exists():
        subprocess.run(["git", "clone", "--quiet", ".", str(CLONE)], check=True)
    subprocess.run(["git", "-C", CLONE, "fetch", "--quiet", "origin", "HEAD"], check=True)
    subprocess.run(["git", "-C", CLONE, "reset", "--quiet", "--hard", "FETCH_HEAD"], check=True)
    for file in TESTS:
        passed, failed = run_tests(file)
        if not passed:
            sys.exit(f"error: the tests of {file} fail without a fault: {failed}")
    begin, caught = time.monotonic(), 0
    for k, (file, line, kind, changed) in enumerate(choose(arguments.count, arguments.seed), 1):
        path = CLONE / file
        source = path.read_text(encoding="utf-8")
        path.write_text(changed, encoding="utf-8")
        passed, failed = run_tests(file)
        path.write_text(source, encoding="utf-8")
        caught += not passed
        print(f"{k}. {file}:{line} {kind}: {'SURVIVED' if passed else failed}")
        print(f"   - {source.splitlines()[line - 1].strip()}")
        print(f"   + {changed.splitlines()[line - 1].strip()}", flush=True)
    seconds = time.monotonic() - begin
    print(f"{caught} of {arguments.count} faults caught in {seconds / 60:.0f} min")


if __name__ == "__main__":
    main()
