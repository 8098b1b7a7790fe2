"""Two gloo processes against one: the same training, the same validation."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import write_tree
from test_loop import NUM_CLASSES, make_job

from segmodels import models
from segmodels.core import distributed
from segmodels.core.distributed import Processes
from segmodels.training import loop

HERE = Path(__file__).parent
MODEL = {"width": 4}


def train(tree, group, folder):
    """20 steps of batch 4, and what came of them."""
    torch.set_num_threads(1)
    recipe = {"epochs": 5, "batch_size": 4, "bn": "frozen", "lr": 1e-4, "warmup_epochs": 0}
    job = make_job(tree, processes=group, crop_size=32, optimizer="sgd", schedule="poly", **recipe)
    torch.manual_seed(0)
    model = models.build("unet", num_classes=NUM_CLASSES, **MODEL)
    epochs = list(loop.epochs(model, job))
    assert (job.steps_per_epoch, len(epochs)) == (4, 6)
    result = {
        "weights": model.state_dict(),
        "losses": torch.tensor(
            [[*e.train.values(), e.train_objective, *e.val.values()] for e in epochs]
        ),
        "start": torch.from_numpy(epochs[0].confusion),
        "validation": torch.from_numpy(loop.validate(model, job)[1]),
    }
    torch.save(result, folder / f"{group.count}_{group.rank}.pt")


def work(argument, group):
    """What each of the processes does that the test below starts."""
    folder = Path(argument)
    train((folder / "voc", torch.load(folder / "index.pt", weights_only=False)), group, folder)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of one process, and of the first and second of two."""
    folder = tmp_path_factory.mktemp("runs")
    index = write_tree(folder / "voc", train=17, val=7, num_classes=NUM_CLASSES)
    torch.save(index, folder / "index.pt")
    train((folder / "voc", index), Processes(), folder)
    environment = {**os.environ, distributed.VARIABLE: "2", "PYTHONPATH": f"{HERE}:{HERE.parent}"}
    command = [sys.executable, "-m", "test_distributed", str(folder)]
    done = subprocess.run(
        command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [torch.load(folder / name) for name in ("1_0.pt", "2_0.pt", "2_1.pt")]


def test_two_processes_train_as_one_with_the_same_batch(results):
    one, first, second = results
    for name, value in one["weights"].items():
        torch.testing.assert_close(first["weights"][name], value, rtol=0, atol=1e-5, msg=name)
        assert torch.equal(first["weights"][name], second["weights"][name]), name
    torch.testing.assert_close(first["losses"], one["losses"], rtol=1e-5, atol=0)
    assert torch.equal(first["losses"], second["losses"])
    moved = models.build("unet", num_classes=NUM_CLASSES, **MODEL).state_dict()
    name = "encoder.4.1.conv.weight"
    assert not torch.allclose(one["weights"][name], moved[name], atol=1e-4)  # or it would be idle


def test_two_processes_validate_each_of_an_odd_number_of_images_once(results):
    one, first, second = results
    assert torch.equal(first["start"], one["start"])  # the same weights
    assert torch.equal(first["start"], second["start"])
    assert torch.equal(first["validation"], second["validation"])
    assert first["validation"].sum() == one["validation"].sum()


def test_shares_of_a_batch_are_the_batch():
    batch = list(range(12))
    shares = [Processes(rank, 3).share(batch) for rank in range(3)]
    assert sum(shares, []) == batch and {len(share) for share in shares} == {4}


def test_trained_batchnorm_in_several_cpu_processes_is_refused(tmp_path):
    tree = tmp_path, write_tree(tmp_path, train=9, val=1, num_classes=NUM_CLASSES)
    model = models.build("unet", num_classes=NUM_CLASSES, **MODEL)
    job = make_job(tree, processes=Processes(0, 2))
    with pytest.raises(ValueError, match=r"bn = train in 2 processes: .*train in one process, or"):
        next(loop.epochs(model, job))


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", ""])
def test_number_of_processes_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv(distributed.VARIABLE, value)
    with pytest.raises(ValueError, match=f"SEGMODELS_NPROC = '{value}': expected a number"):
        distributed.requested()


def failing(folder, failure):
    """Status and stderr of two processes of which the second fails and the first waits for it."""
    program = (
        "import os, sys, torch\n"
        "from segmodels.core import distributed, supervise\n"
        "def work(group):\n"
        f"    if group.rank == 1:\n        {failure}\n"
        "    group.total(torch.ones(1))\n"
        "supervise.run(lambda: distributed.run('failing', ['x'], work))\n"
    )
    (folder / "failing.py").write_text(program)
    environment = {**os.environ, distributed.VARIABLE: "2", "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "failing"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("raise ValueError('sheep.jpg: no picture')", "error: sheep.jpg: no picture\n"),
        ("open('data/x')", "error: data/x: no such file or directory; `dvc repro` makes what a "),
        ("os.kill(os.getpid(), 9)", "error: process 1 of 2 was killed: out of memory? Try SEG"),
    ],
)
def test_failure_of_one_process_is_one_line(tmp_path, failure, message):
    status, error = failing(tmp_path, failure)
    assert status == 1
    assert error.startswith(message) and error.count("\n") == 1


def test_defect_in_one_process_is_its_traceback_alone(tmp_path):
    status, error = failing(tmp_path, "raise LookupError('broken')")
    assert status == 1
    assert error.startswith("error: Traceback") and error.count("Traceback") == 1
    assert error.rstrip().endswith("LookupError: broken")


if __name__ == "__main__":
    from segmodels.core import supervise

    begin = partial(work, sys.argv[1])
    supervise.run(lambda: distributed.run("test_distributed", sys.argv[1:], begin))
