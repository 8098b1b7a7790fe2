"""The fuzzer within the suite: 1,000 cases of one seed, some through the commands themselves.

`-m "not every"` runs a third of both, another third each day.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from PIL import Image

from faults import fuzz, fuzz_params, fuzz_pictures, fuzz_samples, fuzz_weights
from faults.conftest import THIRDS, count
from segmodels.data import layout
from segmodels.training.checkpoint import save_weights

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CASES, SEED = 1000, 2012
TINY = {"arch": "unet", "width": 2}


def figures(found):
    """The end's figures: how many ended in which way."""
    names = {"traceback": "tracebacks", "hang": "hangs", "crash": "crashes", "escape": "escapes"}
    names |= {"wrong number": "wrong_numbers", "refusal that names nothing": "unnamed_refusals"}
    return {"cases": sum(found.values())} | {plural: found[bad] for bad, plural in names.items()}


@pytest.mark.longest
@pytest.mark.parametrize("third", THIRDS)
def test_every_wrong_file_is_used_correctly_or_refused_in_one_line(third):
    bad = []

    def watch(name, number, outcome, said):
        if outcome in fuzz.BAD:
            bad.append(f"--seed {SEED} --only '{name}' --case {number}: {outcome}: {said}")

    found = fuzz.run_all(CASES, SEED, watch, part=(third - 1, len(THIRDS)))
    count("fuzz", **figures(found))
    assert not bad, "\n".join(bad)
    least = sum(found.values()) / 10
    assert min(found["used"], found["refused"]) > least, found  # or it would tell nothing


def test_three_days_try_every_case():
    tried = []
    for k in range(3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fuzz, "run", lambda make, seed: ("used", tried.append(seed)))
            fuzz.run_all(200, 5, lambda *_: None, part=(k, 3))
        assert len(tried) > 200 * (k + 0.5) / 3
    whole = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fuzz, "run", lambda make, seed: ("used", whole.append(seed)))
        fuzz.run_all(200, 5, lambda *_: None)
    assert sorted(tried) == sorted(whole) and len(set(whole)) == 200


TRAPS = {
    "traceback": lambda: {}["key"],
    "hang": lambda: time.sleep(60),
    "hang that works": lambda: any(iter(int, 1)),
    "crash": lambda: os.kill(os.getpid(), 11),
    "escape": lambda: Path("../beside").write_text("changed"),
    "wrong number": lambda: 1,
}


@pytest.mark.parametrize("expected", TRAPS)
def test_the_fuzzer_sees_what_it_looks_for(expected, monkeypatch):
    monkeypatch.setattr(fuzz, "HANG", 1)

    def make(rng, home):
        return fuzz.Trial("trap", TRAPS[expected], fuzz.must_be_refused, ["trap"])

    assert fuzz.run(make, "0")[0] == expected.partition(" that")[0]


def test_a_refusal_that_names_nothing_or_tells_a_novel_is_seen():
    def refusing(message):
        def attempt():
            raise ValueError(message)

        return lambda rng, home: fuzz.Trial("", attempt, fuzz.must_be_refused, ["a.png"])

    for message in ("no", "a.png\nand more", "a.png " + "x" * 5000):
        assert fuzz.run(refusing(message), "0")[0] == "refusal that names nothing"
    assert fuzz.run(refusing("a.png: no"), "0")[0] == "refused"


def test_a_case_depends_on_its_seed_alone(tmp_path):
    def made(place):
        (tmp_path / place).mkdir()
        for name, (make, _) in sorted(fuzz.targets().items()):
            (tmp_path / place / name).mkdir()
            make(random.Random(f"1:{name}:3"), tmp_path / place / name)
        found = sorted(p for p in (tmp_path / place).rglob("*") if p.is_file())
        return {p.relative_to(tmp_path / place): p.read_bytes() for p in found}

    assert made("first") == made("second")


@pytest.fixture
def project(tmp_path):
    """A folder in which the command line works, with a tiny trained model of three classes."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings |= {"dataset": "toy", "model": "tiny", "models": {"tiny": TINY}}
    settings |= {
        "comparisons": {},
        "datasets": {"toy": {"classes": ["a", "b", "c"]}},
    }
    for section in ("train", "predict"):
        settings[section] = {"toy": settings[section]["miniature"]}
    text = yaml.safe_dump(settings)
    run = tmp_path / "data/runs/toy/tiny/train"
    save_weights(fuzz_weights.STATE, run / "weights.pt")
    record = {"arch": "unet", "arguments": {"width": 2}, "recipe": {}, "seed": 0}
    record["normalize"] = settings["normalize"]
    (run / "provenance.json").write_text(json.dumps(record))
    (tmp_path / "params.yaml").write_text(text)
    return tmp_path


def ended(home, *arguments):
    """Status and stderr of a command, which may take a minute."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=home, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0 or done.stderr.strip()
    return done.returncode, done.stderr


@pytest.mark.rotates
@pytest.mark.parametrize("k", range(4))
def test_masks_through_the_command_evaluate(project, k):
    fuzz_pictures.mask(random.Random(f"cli:{k}"), project)
    layout.split_path(project / "voc", "val").write_text("a\nb\nc\n")
    status, told = ended(
        project, "segmodels.cli", "evaluate", "--predictions", "masks", "--voc", "voc"
    )
    assert status == 0 or "b.png" in told


@pytest.mark.rotates
@pytest.mark.parametrize("k", range(3))
def test_photographs_through_the_command_predict(project, k):
    fuzz_pictures.photo(random.Random(f"cli:{k}"), project)
    status, told = ended(project, "segmodels.cli", "predict", "photo.jpg")
    assert status == 0 or "photo.jpg" in told


@pytest.mark.rotates
@pytest.mark.parametrize("k", range(4))
def test_parameters_through_the_stage_check(project, k):
    fuzz_params.parameters(random.Random(f"cli:{k}"), project)
    status, told = ended(project, "stages.check")
    assert status == 0 or "params.yaml" in told or "models." in told
    assert (project / "data/code/train.txt").exists() == (status == 0)


@pytest.mark.rotates
@pytest.mark.parametrize("k", range(3))
def test_weights_through_the_command_predict(project, k):
    fuzz_weights.weight_file(random.Random(f"cli:{k}"), project)
    (project / "weights.pt").replace(project / "data/runs/toy/tiny/train/weights.pt")
    Image.fromarray(fuzz_samples.picture(1)).save(project / "photo.png")
    status, told = ended(project, "segmodels.cli", "predict", "photo.png")
    assert status == 0 or "weights.pt" in told
