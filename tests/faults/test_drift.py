"""Results depend on the project alone: not on where it lies, who runs it, or in which order."""

import os
import subprocess
import sys

import pytest

from faults import laboratory
from faults.conftest import attack
from faults.laboratory import DRAWN, NAMED, repro, results

pytestmark = pytest.mark.slow
SHIM = '''
"""Folders list their files backwards."""
import os

listdir, scandir = os.listdir, os.scandir


class Backwards(list):
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __next__(self):
        if not self:
            raise StopIteration
        return self.pop(0)

    def close(self):
        pass


def backwards(*arguments):
    with scandir(*arguments) as entries:
        return Backwards(sorted(entries, key=lambda e: os.fsencode(e.name), reverse=True))


os.listdir = lambda *arguments: sorted(listdir(*arguments), key=os.fsencode, reverse=True)
os.scandir = backwards
'''


@pytest.fixture(scope="module")
def expected(computed):
    """What the project gives in a plain place, in UTC."""
    return computed[1]


def foreign_home(folder):
    """A home whose owner likes large letters and few pixels."""
    settings = folder / ".config/matplotlib/matplotlibrc"
    settings.parent.mkdir(parents=True)
    settings.write_text("font.size: 30\nsavefig.dpi: 20\naxes.grid: True\n", encoding="utf-8")
    return str(folder)


def compare(folder, expected, output):
    found = results(folder)
    differing = [name for name in {*found, *expected} if found.get(name) != expected.get(name)]
    assert len(found) > 40 and not differing, f"{sorted(differing)}\n{output}"


@pytest.mark.rotates
@pytest.mark.longest
@pytest.mark.parametrize("umask", [0o077, 0o000], ids=oct)
def test_results_do_not_depend_on_who_runs_it(tmp_path, expected, umask):
    """Time zone, language, home, hash seed, rights of new files, width of the terminal."""
    folder = laboratory.settle(tmp_path / "project", DRAWN)
    first = umask == 0o077
    changes = {
        "TZ": "Pacific/Kiritimati" if first else "America/Adak",
        "LC_ALL": "C" if first else "C.utf8",
        "HOME": foreign_home(tmp_path / "home"),
        "XDG_CONFIG_HOME": None,
        "PYTHONHASHSEED": "1" if first else "4294967295",
        "COLUMNS": "20",
    }
    before = os.umask(umask)
    try:
        with attack():
            status, output = repro(folder, **changes)
            assert status == 0, output
            compare(folder, expected, output)
    finally:
        os.umask(before)


@pytest.mark.rotates(2)
@pytest.mark.longest
def test_results_do_not_depend_on_the_place_and_the_order_of_files(tmp_path, expected):
    """Spaces, other scripts, a link to the clone, another working directory; files backwards."""
    folder = laboratory.settle(tmp_path / "with  spaces" / "Größe 日本 ñ" / "it's", DRAWN)
    shim = tmp_path / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(SHIM, encoding="utf-8")
    environment = laboratory.environment(PYTHONPATH=str(shim))
    code = "import os; names = os.listdir('.'); print(len(names) > 5 and names[0] > names[-1])"
    seen = subprocess.check_output([sys.executable, "-c", code], cwd=folder, env=environment)
    assert seen == b"True\n"  # or the attack would be none
    link = tmp_path / "link"
    link.symlink_to(folder)
    with attack():
        done = subprocess.run(
            [sys.executable, "-m", "dvc", "--cd", str(link), "repro"],
            cwd="/",
            env=environment,
            capture_output=True,
            text=True,
            timeout=laboratory.SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        compare(folder, expected, done.stdout)
    for name in laboratory.STAGES:  # in a language that cannot write the folder's name
        if name in ("train", "download"):
            continue
        with attack():
            ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
            words = [name, *["small"] * (name in NAMED)]
            status, error = laboratory.stage(folder, *words, **ascii_only)
            assert (status, error) == (0, ""), error
            compare(folder, expected, error)
