"""Checkpoints: the same bits after an interruption, and nothing that does not belong."""

import errno
import fcntl
import io
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import write_tree
from test_loop import NUM_CLASSES, TinyNet, make_job
from torch import nn

from segmodels.core import files
from segmodels.training import checkpoint, history, loop
from segmodels.training.checkpoint import LAST, hold

ROOT = Path(__file__).parents[2]


class Interrupted(Exception):
    pass


class DroppingNet(TinyNet):
    """BatchNorm and dropout: all that has a state beside its weights."""

    def __init__(self):
        super().__init__()
        self.stem.append(nn.Dropout2d(0.3))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("voc")
    return root, write_tree(root, train=13, val=5, num_classes=NUM_CLASSES)


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path / ".scratch"


def stop_after(batches):
    """A progress function that ends the run after some batches, those of epoch 0 included."""
    left = [batches]

    def watch(items, count, what):
        for item in items:
            if left[0] == 0:
                raise Interrupted
            left[0] -= 1
            yield item

    return watch


def train(tree, *, minutes=0.0, stop=None, progress=None, **changes):
    """One try; returns history and weights, last and best."""
    torch.manual_seed(0)
    model, job = DroppingNet(), make_job(tree, **changes)
    if stop is not None:
        progress = stop_after(stop)
    if progress is not None:
        object.__setattr__(job, "progress", progress)
    with hold({"job": 1}, minutes, writes=True) as kept:
        table = history.table(list(loop.epochs(model, job, kept)))
        return table, model.state_dict(), torch.load(kept.best_path, weights_only=True)


def same(first, second):
    return first[0].equals(second[0]) and all(
        first[k].keys() == second[k].keys()
        and all(torch.equal(first[k][name], second[k][name]) for name in first[k])
        for k in (1, 2)
    )


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_run_goes_on_to_the_same_bits_wherever_it_was_stopped(tree, scratch, optimizer):
    whole = train(tree, optimizer=optimizer)
    assert not list(scratch.iterdir())
    for stop in range(0, 12):  # 3 batches of epoch 0, 9 steps
        with pytest.raises(Interrupted):
            train(tree, optimizer=optimizer, stop=stop)
        assert same(train(tree, optimizer=optimizer), whole), stop


def test_run_that_is_stopped_again_and_again_ends_with_the_same_bits(tree):
    whole = train(tree)
    for _ in range(2):  # 4 of 3 + 9 batches each
        with pytest.raises(Interrupted):
            train(tree, stop=4)
    assert same(train(tree, stop=4), whole)


@pytest.mark.parametrize(("seconds", "kept"), [(20, (1, 2)), (21, (2, 0))])
def test_a_checkpoint_is_written_when_the_last_is_that_old(tree, monkeypatch, seconds, kept):
    """Within an epoch as at its end; what came after it is done again."""
    now = 0.0
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now)
    steps = stop_after(3 + 3 + 2)  # of epoch 0, epoch 1, and two of epoch 2

    def clock(items, count, what):
        nonlocal now
        for item in steps(items, count, what):
            yield item
            now += seconds  # of a step

    with pytest.raises(Interrupted):
        train(tree, minutes=1, progress=clock)
    state = checkpoint.Checkpoints(next(checkpoint.scratch(".").iterdir()), 60, True).load()
    assert (len(state["epochs"]), state["step"]) == kept
    assert same(train(tree), train(tree, minutes=60))


def test_best_weights_are_those_of_the_best_epoch(tree, scratch):
    torch.manual_seed(0)
    model, states = DroppingNet(), []
    job = make_job(tree, epochs=10, lr=0.5)
    with hold({"job": 1}, 60, writes=True) as kept:
        epochs = []
        for epoch in loop.epochs(model, job, kept):
            epochs.append(epoch)
            states.append({name: value.clone() for name, value in model.state_dict().items()})
        best = history.table(epochs)["val_miou"].argmax()
        assert best not in (0, 10)  # or the test would not tell
        weights = torch.load(kept.best_path, weights_only=True)
        assert [path.name for path in kept.folder.glob("best*")] == [f"best-{best}.pt"]
    assert all(torch.equal(weights[name], states[best][name]) for name in weights)


def test_another_identity_is_never_picked_up(tree):
    with hold({"lr": 1.0}, 0, writes=True) as kept:
        kept.save({"model": {}})
        with hold({"lr": 2.0}, 0, writes=True) as other:
            assert other.load() is None
        assert kept.load() == {"model": {}, "best": ""}


def test_fingerprint_sees_every_value_and_no_order():
    facts = {"a": {"b": [1, 2.0, None]}, "c": "x"}
    assert checkpoint.fingerprint(facts) == checkpoint.fingerprint(dict(reversed(facts.items())))
    for other in ({"a": {"b": [1, 2.5, None]}, "c": "x"}, {**facts, "d": 0}, {"c": "x"}):
        assert checkpoint.fingerprint(other) != checkpoint.fingerprint(facts)


def test_one_process_at_a_time(tree, scratch, monkeypatch):
    monkeypatch.setattr(checkpoint, "PATIENCE", 0.3)
    with hold({"job": 1}, 0, writes=True) as kept:
        with pytest.raises(ValueError, match="held by another process that trains the same"):
            hold({"job": 1}, 0, writes=True).__enter__()
        with open(f"{kept.folder}.lock") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not kept.folder.exists()


def test_remains_of_an_interrupted_write_are_removed_and_never_read(tree):
    with pytest.raises(Interrupted):
        train(tree, stop=7)
    folder = next(checkpoint.scratch(".").iterdir())
    (folder / f".{LAST}.abc").write_bytes(b"half")
    (folder / f".{LAST}").write_bytes(b"half")
    assert same(train(tree), train(tree))


def test_run_that_is_killed_while_its_folder_is_removed_starts_again(tree, scratch, monkeypatch):
    whole = train(tree)

    def killed(folder, **options):
        raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(files.shutil, "rmtree", killed)
        with pytest.raises(Interrupted):
            train(tree)
    assert list(scratch.rglob(LAST))
    assert same(train(tree), whole)
    assert not list(scratch.iterdir())


def test_full_disk_is_one_line_and_keeps_the_checkpoint_before(tree, monkeypatch):
    with pytest.raises(Interrupted):
        train(tree, stop=7)
    folder = next(checkpoint.scratch(".").iterdir())
    before = (folder / LAST).read_bytes()

    fill = checkpoint._serialise

    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "_serialise", lambda state, _: fill(state, Full()))
        with pytest.raises(OSError, match=r"\.pt: the disk is full: .* MB free: make"):
            train(tree)
    assert {path.name for path in folder.iterdir()} <= {LAST, "best-0.pt", "best-1.pt"}
    assert (folder / LAST).read_bytes() == before
    assert same(train(tree), train(tree))


@pytest.mark.parametrize("damage", ["cut off", "one bit", "empty"])
def test_damaged_checkpoint_is_refused_in_one_line(tree, damage):
    with pytest.raises(Interrupted):
        train(tree, stop=7)
    path = next(checkpoint.scratch(".").iterdir()) / LAST
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "cut off": content[:-100],
            "one bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "empty": b"",
        }[damage]
    )
    with pytest.raises(ValueError, match=r"^\S+last\.pt: refused, .*; delete \S+ and start again$"):
        train(tree)


@pytest.mark.parametrize("interrupted", [True, False])
def test_ctrl_c_amid_a_write_leaves_no_traceback(interrupted):
    """PyTorch answers it with an error of its own; any other defect keeps its traceback."""
    program = f"""
import io, sys
sys.argv[0] = "-m"  # as for `python -m stages.train`
import stages
import torch
from segmodels.core import supervise
from segmodels.training import checkpoint

class Cut(io.BytesIO):
    writes = 0

    def write(self, content):
        self.writes += 1
        if self.writes == 3:
            raise {"KeyboardInterrupt" if interrupted else "LookupError"}
        return super().write(content)

supervise.run(lambda: checkpoint._serialise({{"weight": torch.zeros(1000)}}, Cut()))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode
    assert done.stderr == "" if interrupted else "Traceback" in done.stderr
