"""What is forked from a warm Python does what `python -m` does."""

import signal
import subprocess
import sys

import pytest
from helpers import warm
from helpers.projects import variables

PROGRAM = """
import os, sys
print(sys.argv, os.getcwd(), sys.path[:2], __name__, __package__, os.environ["COLOUR"])
print("warned", file=sys.stderr)
how = sys.argv[1]
if how == "defect":
    raise LookupError("broken")
if how == "killed":
    sys.stdout.flush()
    sys.stderr.flush()
    os.kill(os.getpid(), 9)
if how != "ended":
    sys.exit(int(how) if how.isdigit() else how)
"""


@pytest.mark.parametrize("how", ["ended", "3", "error: a reason", "defect", "killed"])
def test_status_and_output_are_those_of_a_cold_start(tmp_path, how):
    (tmp_path / "package").mkdir()
    (tmp_path / "package/program.py").write_text(PROGRAM)
    changes = {"COLOUR": "blue", "PYTHONPATH": str(tmp_path / "elsewhere")}
    command = [sys.executable, "-m", "package.program", how]
    cold = subprocess.run(
        command, cwd=tmp_path, env=variables(changes), capture_output=True, text=True
    )
    found = warm.run(tmp_path, "package.program", how, **changes)
    assert found.returncode == cold.returncode
    assert found.stdout == cold.stdout != ""
    first, *_, last = found.stderr.splitlines() * 2  # between them other frames of a traceback
    assert (first, last) == (cold.stderr.splitlines()[0], cold.stderr.splitlines()[-1])
    assert (how == "killed") == (found.returncode == -signal.SIGKILL)


def test_each_start_reads_the_modules_as_they_are(tmp_path):
    for number in ("1", "22"):
        (tmp_path / "number.py").write_text(f"VALUE = {number}")
        (tmp_path / "says.py").write_text("import number\nprint(number.VALUE)")
        assert warm.python(tmp_path, "says") == f"{number}\n"
