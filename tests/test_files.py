import hashlib
import json
import os

import pandas as pd
import pytest

from segmodels import files


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    files.write_json(path, {"a": 1})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="result.json: the disk is full"):
        files.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["result.json"]


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
