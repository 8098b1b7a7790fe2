"""The GPU benchmark on a CPU: each check holds on a tiny network, and each can fail."""

import signal
import subprocess
from itertools import chain
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import gpu, gpu_checks, gpu_common, gpu_runs, gpu_speed
from benchmarks.gpu_common import Failed, Place
from benchmarks.small_cases import CASES, LOSSES
from segmodels import models
from segmodels.models import layers
from segmodels.training import losses
from segmodels.training.state import TrainingState
from segmodels.training.step import Objective

PLACE = Place(torch.device("cpu"), small=True)
TINY = ("segnet", {"width": 2, "upsampling": "bilinear"})


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    torch.set_num_threads(1)
    for case in ("fcn", "unet_valid"):
        monkeypatch.setitem(CASES, case, TINY)


def test_every_arch_and_every_check_has_its_test():
    assert set(models.available()) <= set(CASES)
    assert set(losses.LOSSES) <= set(LOSSES)
    place = Place(torch.device("cuda"), small=False)
    names = [name for name, _ in chain(gpu_checks.cases(place), gpu_runs.cases(place))]
    assert len(names) == len(set(names)) >= 25


def test_logits_that_differ_fail(monkeypatch):
    assert "at most 0.0001" in gpu_checks.logits_agree(PLACE, "fcn")
    forward = nn.BatchNorm2d.forward

    def wrong(self, x):
        y = forward(self, x)
        return y * 1.001 if y.dtype == torch.float32 else y

    monkeypatch.setattr(nn.BatchNorm2d, "forward", wrong)
    with pytest.raises(Failed, match=r"largest difference \d.*e-0[23]"):
        gpu_checks.logits_agree(PLACE, "fcn")


def test_logits_that_do_not_vary_are_no_check(monkeypatch):
    monkeypatch.setattr(gpu_checks, "logits", lambda model, image: {"out": image.double() * 0})
    with pytest.raises(Failed, match="hardly vary"):
        gpu_checks.logits_agree(PLACE, "fcn")


def test_steps_that_differ_fail(monkeypatch):
    steps = lambda model, fused: torch.optim.SGD(model.parameters(), 1e-3)  # noqa: E731
    monkeypatch.setattr(gpu_common, "sgd", steps)  # so small a network amplifies more
    monkeypatch.setitem(CASES, "fcn", ("unet", {"width": 4}))
    gpu_checks.steps_agree(PLACE)
    forward = nn.BatchNorm2d.forward
    noise = iter(range(1000))

    def wrong(self, x):
        y = forward(self, x)
        return y + 0.05 * (next(noise) % 7) if y.dtype == torch.float32 else y

    monkeypatch.setattr(nn.BatchNorm2d, "forward", wrong)
    with pytest.raises(Failed, match="8 losses"):
        gpu_checks.steps_agree(PLACE)


def test_training_with_other_bits_or_a_forbidden_kernel_fails(monkeypatch):
    assert "operations: none" in gpu_checks.same_bits(PLACE, "fcn", ["cross_entropy", "together"])
    with monkeypatch.context() as patched:
        interpolate = lambda x, size: F.interpolate(x, size=size, mode="bilinear")  # noqa: E731
        patched.setattr(layers, "resize_by_products", interpolate)
        with pytest.raises(Failed, match="operations: upsample_bilinear2d_backward"):
            gpu_checks.same_bits(PLACE, "fcn", ["together"])
    products, calls = layers.resize_by_products, iter(range(1000))
    other = lambda x, size: products(x, size) + 1e-6 * next(calls)  # noqa: E731
    monkeypatch.setattr(layers, "resize_by_products", other)
    with pytest.raises(Failed, match=r"together: losses .* tensors differ"):
        gpu_checks.same_bits(PLACE, "fcn", ["together"])


@pytest.mark.parametrize(
    ("forbidden", "compute"),
    [
        ("nll_loss2d_forward with a reduction", lambda x: F.cross_entropy(x, x[:, 0].long())),
        ("reflection_pad2d_backward", lambda x: F.pad(x, (1, 1, 1, 1), "reflect").sum()),
        ("_adaptive_avg_pool2d_backward", lambda x: F.adaptive_avg_pool2d(x, 2).sum()),
        (
            "bincount with weights",
            lambda x: x.sum() + torch.ones(2).long().bincount(torch.ones(2)).sum(),
        ),
    ],
)
def test_recorder_knows_forbidden_kernels(forbidden, compute):
    x = torch.zeros(1, 3, 5, 5, requires_grad=True)
    with gpu_checks.Recorder() as recorder:
        compute(x).backward()
    assert recorder.forbidden == {forbidden}


def test_sixteen_bits_that_do_not_train_fail(monkeypatch):
    gpu_checks.halves_train(PLACE, "bf16")
    monkeypatch.setattr(gpu_checks, "HALF", 0)
    with pytest.raises(Failed, match="at most 0% apart"):
        gpu_checks.halves_train(PLACE, "bf16")


def test_step_that_asks_the_device_fails(monkeypatch):
    gpu_checks.step_does_not_wait(PLACE)
    sums = Objective.sums

    def asking(self, logits, target):
        assert logits["out"].sum().item() != 0
        return sums(self, logits, target)

    monkeypatch.setattr(Objective, "sums", asking)
    with pytest.raises(Failed, match="_local_scalar_dense"):
        gpu_checks.step_does_not_wait(PLACE)


def test_resizing_otherwise_fails(monkeypatch):
    gpu_checks.resize_agrees(PLACE)
    corners = lambda x, size: F.interpolate(x, size=size, mode="bilinear", align_corners=True)  # noqa: E731
    monkeypatch.setattr(layers, "resize_by_products", corners)
    with pytest.raises(Failed):
        gpu_checks.resize_agrees(PLACE)


def killed_here(monkeypatch):
    """The process that is to be killed, in this one: it stops where SIGKILL would end it."""

    class Killed(BaseException):
        pass

    def kill(pid, number):
        raise Killed

    def start(command, **options):
        monkeypatch.setattr(gpu_runs.sys, "argv", command[2:])
        with pytest.raises(Killed):
            gpu_runs.main()
        return SimpleNamespace(returncode=-signal.SIGKILL, communicate=lambda: ("", ""))

    monkeypatch.setattr(gpu_runs.os, "kill", kill)
    monkeypatch.setattr(subprocess, "Popen", start)


def test_resumed_training_with_other_bits_fails(monkeypatch):
    killed_here(monkeypatch)
    assert "killed in step 3 of epoch 2; 0 of" in gpu_runs.resumes(PLACE, "fp32")
    restore = TrainingState.load_state_dict

    def forgetful(self, state):
        restore(self, state)
        self.optimizer.state.clear()

    monkeypatch.setattr(TrainingState, "load_state_dict", forgetful)
    with pytest.raises(Failed, match="tensors differ"):
        gpu_runs.resumes(PLACE, "fp32")


def test_process_that_was_not_killed_is_no_check(monkeypatch):
    ended = SimpleNamespace(returncode=1, communicate=lambda: ("", "no such device"))
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: ended)
    with pytest.raises(Failed, match="ended with no such device"):
        gpu_runs.resumes(PLACE, "fp32")


def test_other_validation_on_the_device_fails(monkeypatch):
    gpu_runs.validation_agrees(PLACE)
    validate, calls = gpu_runs.loop.validate, []

    def wrong(model, job):
        calls.append(job)
        losses, counts = validate(model, job)
        return losses, counts.T if len(calls) == 1 else counts

    monkeypatch.setattr(gpu_runs.loop, "validate", wrong)
    with pytest.raises(Failed, match="of the pixels"):
        gpu_runs.validation_agrees(PLACE)


def test_loader_that_changes_the_layout_fails(monkeypatch):
    gpu_runs.loader_hands_over(PLACE)
    batches = gpu_runs.training_batches

    def plain(*args, workers, **options):
        return [
            (image.contiguous(), target) for image, target in batches(*args, workers=0, **options)
        ]

    monkeypatch.setattr(gpu_runs, "training_batches", plain)
    with pytest.raises(Failed):
        gpu_runs.loader_hands_over(PLACE)


def test_compiled_steps_that_differ_fail(monkeypatch):
    class Compiled(nn.Module):
        """Another network: its logits are twice the model's."""

        def __init__(self, model, **options):
            super().__init__()
            self.model = model

        def forward(self, image):
            return {name: 2 * value for name, value in self.model(image).items()}

    monkeypatch.setattr(torch, "compile", Compiled)
    with pytest.raises(Failed, match="at most 0.001"):
        gpu_runs.compiled_agrees(PLACE)


def test_a_failed_check_is_a_line_and_the_exit_status(monkeypatch, capsys):
    def refused():
        raise RuntimeError("upsample does not have a deterministic implementation\nmore")

    assert gpu.check("good", lambda: "1e-6") is True
    assert gpu.check("bad", lambda: gpu_common.expect(False, "2 (at most 1)")) is False
    assert gpu.check("refused", refused) is False
    assert capsys.readouterr().out.splitlines() == [
        "ok      good: 1e-6",
        "FAILED  bad: 2 (at most 1)",
        "FAILED  refused: RuntimeError: upsample does not have a deterministic implementation",
    ]
    monkeypatch.setattr(gpu.sys, "argv", ["gpu", "--cpu-smoke", "--only", "checks"])
    for failed, status in (([], 0), (["bad"], 1)):
        monkeypatch.setattr(gpu, "run_checks", lambda place, failed=failed: failed)
        with pytest.raises(SystemExit) as end:
            gpu.main()
        assert end.value.code == status


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_without_a_gpu_the_program_says_what_runs(monkeypatch):
    monkeypatch.setattr(gpu.sys, "argv", ["gpu"])
    with pytest.raises(SystemExit, match="error: no CUDA device; --cpu-smoke"):
        gpu.main()


def test_rows_without_time_are_named(capsys):
    place = Place(torch.device("cuda"), small=False)
    rows = gpu_speed.rows(place)
    assert len({row.name for row in rows}) == len(rows) == 3 * 2 * 6
    assert gpu.run_rows(place, rows, gpu.Clock(0.0), None, []) == ([], [row.name for row in rows])
    clock = gpu.Clock(1.0)  # enough for the others, not for those that are compiled
    assert clock.reaches(gpu_speed.OTHERS) and not clock.reaches(gpu_speed.COMPILING)


def test_row_that_fails_or_needs_too_much_memory_says_so(monkeypatch, capsys):
    row = gpu_speed.Row("U-Net, width 8", 2, gpu_speed.FIRST[1])
    for error, cell, failed in (
        (torch.OutOfMemoryError("2 GiB"), "out of memory", []),
        (RuntimeError("no kernel\nmore"), "failed: no kernel", [row.name]),
    ):

        def measured(*arguments, error=error):
            raise error

        monkeypatch.setattr(gpu_speed, "_measured", measured)
        assert gpu.run_rows(PLACE, [row], gpu.Clock(1.0), None, []) == (failed, [])
        expected = f"| U-Net, width 8 | 2 | ours, fp32 | {cell} | | | |"
        assert capsys.readouterr().out.splitlines()[-1] == expected


def test_pictures_come_in_turn():
    assert gpu_speed.positions(3, 2, 4) == [[0, 1], [2, 0], [1, 2], [0, 1]]
