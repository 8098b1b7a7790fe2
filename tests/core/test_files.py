import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from segmodels.core import files

ROOT = Path(__file__).parents[2]


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    files.write_json(path, {"a": 1})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OSError, match="result.json: the disk is full: at least 0.0 MB needed, .* free"
    ):
        files.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["result.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, LookupError])
def test_write_that_is_broken_off_leaves_nothing(tmp_path, error):
    def fill(file):
        file.write(b"half")
        raise error

    with pytest.raises(error):
        files.write(tmp_path / "x", fill)
    assert not os.listdir(tmp_path)


def test_full_disk_names_what_was_written_where_the_size_is_not_known(tmp_path):
    def fill(file):
        file.write(bytes(2_000_000))
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="x: the disk is full: at least 2.0 MB needed, .* MB free"):
        files.write(tmp_path / "x", fill)
    assert not os.listdir(tmp_path)


def test_nan_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not os.listdir(tmp_path)


def test_csv_reads_back_equal_to_the_last_bit(tmp_path):
    table = pd.DataFrame({"x": [0.1 + 0.2, 1 / 3, None], "名": ["a,b", 'say "hi"', ""]})
    files.write_csv(tmp_path / "t.csv", table)
    back = pd.read_csv(tmp_path / "t.csv")
    assert back["x"][:2].tolist() == table["x"][:2].tolist()
    assert back["名"][:2].tolist() == ["a,b", 'say "hi"']
    assert b"\r" not in (tmp_path / "t.csv").read_bytes()


def test_sha256_equals_hashlib(tmp_path):
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert files.sha256(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_folder_is_held_by_one_process_and_freed_by_its_end(tmp_path):
    folder = tmp_path / "new" / "folder"
    hold = (
        "import pathlib, sys, time; from segmodels.core import files\n"
        "with files.held(pathlib.Path(sys.argv[1]), 0, 'busy'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", hold, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="^busy, wait$"), files.held(folder, 0.2, "busy, wait"):
            pytest.fail("two hold it")
        other.kill()
    with files.held(folder, 5, "busy"):
        (folder / "x").touch()
    assert not os.listdir(folder.parent)


def test_held_folder_stays_after_an_error_and_is_free(tmp_path):
    folder = tmp_path / "folder"
    with pytest.raises(LookupError), files.held(folder, 0, "busy"):
        (folder / "x").touch()
        raise LookupError
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "folder",
        "folder/x",
    ]
    with files.held(folder, 0, "busy"):
        assert (folder / "x").exists()


def test_folder_that_changes_hands_is_never_held_by_two(tmp_path):
    """Each process takes and removes the folder again and again; a mark shows who is in it."""
    take = (
        "import os, pathlib, sys; from segmodels.core import files\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "for _ in range(100):\n"
        "    with files.held(folder, 60, 'busy'):\n"
        "        os.close(os.open(folder / 'mark', os.O_CREAT | os.O_EXCL))\n"
    )
    command = [sys.executable, "-c", take, str(tmp_path / "folder")]
    others = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert [(other.communicate()[1], other.returncode) for other in others] == 3 * [("", 0)]
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_folder_that_must_not_be_written_is_one_line(tmp_path, monkeypatch, code):
    def refuse(**_):
        raise OSError(code, os.strerror(code), str(tmp_path / ".x.tmp"))

    monkeypatch.setattr(files.tempfile, "mkstemp", refuse)
    with pytest.raises(OSError, match=r"x\.json: not written \(.*\): make its folder writable"):
        files.write_json(tmp_path / "x.json", {})
