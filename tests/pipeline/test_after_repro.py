"""What `make repro` says at its end."""

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location(
    "after_repro", Path(__file__).parents[2] / "tools/after_repro.py"
)
after_repro = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(after_repro)
FACTS = {"gpu": None, "cpu": "A CPU, family 1", "precision": "bf16"}


def write(facts, model="small"):
    path = Path(f"reports/models/{model}/provenance.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts), encoding="utf-8")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository with two committed results."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("dataset: tiny\nmodel: small\n", encoding="utf-8")
    Path("dvc.lock").write_text("md5: 1\n", encoding="utf-8")
    write(FACTS)
    write(FACTS, "unet")
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "result"]):
        subprocess.run(["git", *command], check=True)


def lines(capsys):
    after_repro.main()
    return capsys.readouterr().out.strip().splitlines()


def test_same_results_are_called_so(project, capsys):
    results, git, following = lines(capsys)
    assert "data/page/index.html" in results
    assert git == "git: the results are the committed ones, bit for bit"
    assert "docs/start/quickstart.md" in following and "`segmodels predict photo.jpg`" in following


def test_other_times_are_no_other_result(project, capsys):
    Path("dvc.lock").write_text("md5: 2\n", encoding="utf-8")
    git = lines(capsys)[1]
    assert git.startswith("git: the results are the committed ones, bit for bit; dvc.lock differs")


def test_another_machine_is_named_as_the_reason(project, capsys):
    write(FACTS | {"cpu": "Another, family 2", "precision": "fp32"})
    git = lines(capsys)[1]
    assert "1 file of reports/ differs" in git and "as expected" in git and "do not commit" in git
    assert "A CPU, family 1 in bf16" in git and "Another, family 2 in fp32" in git


def test_a_change_on_the_same_machine_is_not_called_expected(project, capsys):
    for model in ("small", "unet"):
        write(FACTS | {"seed": 1}, model)
    git = lines(capsys)[1]
    assert "2 files of reports/ differ from" in git and "as expected" not in git


def test_without_git_there_are_two_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("dataset: tiny\nmodel: small\n", encoding="utf-8")
    assert len(lines(capsys)) == 2
