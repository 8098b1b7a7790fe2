"""Weights from strangers: nothing in a file runs, and what does not fit is named.

The payload is a live one: the same file, unpickled as Python would, leaves a mark.
"""

import ast
import io
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from segmodels import models
from segmodels.config import params
from segmodels.models import pretrained, trained
from segmodels.training import checkpoint
from segmodels.training.checkpoint import Checkpoints

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
UNET = {"arch": "unet", "arguments": {"width": 2}}
CODE = sorted(path for wing in ("segmodels", "stages") for path in (ROOT / wing).rglob("*.py"))


class Payload:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


def plain_pickle(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


def legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


COMMANDS = ["stages.predict tiny", "segmodels.cli predict a.png --model tiny"]
FORMATS = {"zip": torch.save, "legacy": legacy, "pickle": plain_pickle}
WRAPS = {
    "bare": lambda state, payload: {**state, "evil": payload},
    "state_dict": lambda state, payload: {"state_dict": {**state, "evil": payload}},
    "beside": lambda state, payload: {"model": state, "args": payload},
    "key": lambda state, payload: {**state, "evil": [{"deep": (payload,)}]},
}


def state_dict(width=2, num_classes=21):
    torch.manual_seed(0)
    return models.build("unet", num_classes=num_classes, width=width).state_dict()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with params.yaml and a trained model called tiny, whose weights a test replaces."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings |= {"models": {"tiny": {"arch": "unet", "width": 2}}, "model": "tiny"}
    settings |= {"comparisons": {}, "dataset": "miniature"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    run = tmp_path / "data/runs/miniature/tiny/train"
    run.mkdir(parents=True)
    recipe = {"recipe": {}, "seed": 0, "normalize": settings["normalize"]}
    (run / "provenance.json").write_text(json.dumps({**UNET, **recipe}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_init(project, file):
    model = models.build("unet", num_classes=21, width=2)
    pretrained.start(model, **UNET, init=str(file))


def by_model(project, file):
    file.replace(project / "data/runs/miniature/tiny/train/weights.pt")
    trained.load(params.load(), "tiny")


def by_checkpoint(project, file):
    """As if it had been put where a training looks for its own."""
    (project / "scratch").mkdir()
    file.replace(project / "scratch/last.pt")
    Checkpoints(project / "scratch", 10, True).load()


@pytest.mark.parametrize("way", [by_init, by_model, by_checkpoint])
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("form", FORMATS)
def test_pickle_that_would_run_code_is_refused(project, way, wrap, form):
    file, mark = project / "evil.pt", project / "ran"
    FORMATS[form](WRAPS[wrap](state_dict(), Payload(mark)), file)
    content = file.read_bytes()
    with pytest.raises(ValueError, match=r"\.pt: refused, it asks for \S+; expected tensors"):
        way(project, file)
    assert not mark.exists()
    (project / "live.pt").write_bytes(content)
    if form == "pickle":
        pickle.load(io.BytesIO(content))
    else:
        torch.load(project / "live.pt", weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_refuse_such_weights_in_one_line(project, command):
    mark, place = project / "ran", project / "data/runs/miniature/tiny/train/weights.pt"
    torch.save({"x": Payload(mark)}, place)
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and not mark.exists()
    assert done.stderr.splitlines() == [
        f"error: {place.relative_to(project)}: refused, it asks for posix.system; expected tensors "
        "only"
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_weights_of_other_shapes_are_named_tensor_by_tensor(project, command):
    checkpoint.save_weights(
        state_dict(num_classes=5), project / "data/runs/miniature/tiny/train/weights.pt"
    )
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    other = [n for n, tensor in state_dict(num_classes=5).items() if 5 in tensor.shape[:1]]
    assert other and all(f"{name} (5 outputs there, 21 here)" in done.stderr for name in other)


def test_checkpoint_of_other_shapes_names_them_and_what_to_do(tmp_path):
    from segmodels.training.state import TrainingState

    model = models.build("unet", num_classes=21, width=2)
    updates = torch.optim.SGD(model.parameters())
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    kept = Checkpoints(tmp_path, 10, True)
    other = {**TrainingState(model, updates, scaler).state_dict(), "model": state_dict(width=4)}
    kept.save(other)
    with pytest.raises(ValueError, match=rf"last.pt: of another .*delete {tmp_path}") as caught:
        kept.resume(TrainingState(model, updates, scaler))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flip", [2000, 20_000, -300])
def test_changed_bit_of_weights_or_of_a_checkpoint_is_not_another_number(tmp_path, flip):
    model = models.build("unet", num_classes=21, width=2)
    checkpoint.save_weights(state_dict(), tmp_path / "weights.pt")
    kept = Checkpoints(tmp_path, 10, True)
    kept.save({"model": state_dict()})
    for name in ("weights.pt", "last.pt"):
        content = bytearray((tmp_path / name).read_bytes())
        content[flip] ^= 1
        (tmp_path / name).write_bytes(content)
    try:
        state = kept.load()
    except ValueError as error:
        assert re.match(rf"{tmp_path}/last.pt: refused, .*; delete", str(error))
    else:  # in what is no weight
        assert all(torch.equal(v, state["model"][k]) for k, v in state_dict().items())
    try:
        pretrained.fill(
            model, pretrained.safe_load.read(tmp_path / "weights.pt"), tmp_path / "weights.pt"
        )
    except ValueError as error:
        assert str(error).startswith(f"{tmp_path}/weights.pt: ")
    else:  # in what is no weight
        right = state_dict()
        assert all(torch.equal(t, right[n]) for n, t in model.state_dict().items())


RUNS_CODE = {"eval", "exec", "compile", "__import__", "system", "popen", "Unpickler"}


def dangers(source):
    """Calls of a program by which a file could run code, as "line: call"."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        call, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        owner, _, name = call.rpartition(".")
        unsafe = (
            (name in RUNS_CODE and owner in ("", "os", "pickle", "builtins"))
            or (owner in ("pickle", "marshal", "dill", "joblib", "shelve"))
            or (owner == "torch" and name == "load" and given.get("weights_only") != "True")
            or (owner == "torch.hub" or owner.startswith("torch.jit") and name == "load")
            and name != "get_dir"
            or (owner in ("np", "numpy") and "allow_pickle" in given)
            or (owner == "yaml" and name not in ("safe_load", "safe_dump"))
            or (call == "YAML" and given.get("typ") != "'safe'")
            or given.get("shell") == "True"
            or (owner == "pd" and name == "read_pickle")
        )
        if unsafe:
            found.append(f"{node.lineno}: {call}")
    return found


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_in_the_product_runs_what_a_file_says(path):
    assert dangers(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.hub.load('a', 'b')",
        "pickle.load(file)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, yaml.Loader)",
        "YAML(typ='unsafe').load(text)",
        "eval(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "pd.read_pickle(path)",
    ],
)
def test_such_calls_are_seen(line):
    assert len(dangers(line)) == 1
    assert dangers("torch.load(p, weights_only=True); np.load(p); re.compile(x)") == []
