"""What a stage imports: torch where it computes logits, and never what takes as long as torch.

Time is for `python -m benchmarks.startup`; here modules are counted, each time in a new process.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = ["download", "index", "evaluate", "compare", "page", "headline"]
# torchvision imports torch's compiler; so do torch's optimizers and its counter of multiply-adds.
SLOW = ["torch._dynamo", "torch._inductor", "sympy", "torchvision"]
SELDOM = ["torch.distributed.run", "requests", "urllib3", "matplotlib", "scipy", "timm"]

REPORT = "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
FIRST_STEP = """
import torch
import stages.train
from segmodels import models
from segmodels.config import params
from segmodels.core import machine
from segmodels.models.flops import gflops
from segmodels.training import optim

machine.start("fp32", 1, deterministic=True, seed=0)
settings = params.load()
for arch, arguments in [("fcn", {"backbone": "resnet50"}), ("unet", {"width": 4})]:
    model = models.build(arch, num_classes=3, **arguments)
small, image = models.build("unet", num_classes=3, width=4), torch.rand(2, 3, 32, 32)
gflops(lambda: small(image))
for kind in ["sgd", "adamw"]:
    train = settings.train["miniature"].model_copy(update={"optimizer": kind})
    optimizer = optim.build_optimizer(small, train)
    optimizer.load_state_dict(optimizer.state_dict())
    small(image)["out"].sum().backward()
    optimizer.step()
    optimizer.zero_grad()
"""


def imported(program):
    """Names of all modules that a program in a new process has imported at its end."""
    command = [sys.executable, "-c", program + REPORT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("stage", WITHOUT_TORCH)
def test_stage_that_computes_no_logits_starts_without_torch(stage):
    assert not imported(f"import stages.{stage}") & {"torch", *SLOW}


@pytest.mark.parametrize("stage", ["train", "predict", "check"])
def test_stage_that_computes_logits_imports_torch_and_nothing_as_slow(stage):
    modules = imported(f"import stages.{stage}")
    assert "torch" in modules
    assert not modules & {*SLOW, *SELDOM}


def test_nothing_slow_is_imported_until_the_first_step():
    assert not imported(FIRST_STEP) & {*SLOW, *SELDOM}


@pytest.mark.parametrize("wanted", [True, False])
def test_compiler_learns_what_is_forbidden_when_it_is_imported_later(wanted):
    imported(
        "import torch\n"
        "from segmodels.core import machine\n"
        f"machine.start('fp32', 1, deterministic={wanted}, seed=0)\n"
        f"assert torch.are_deterministic_algorithms_enabled() is {wanted}\n"
        "import torch._inductor.config\n"
        f"assert torch._inductor.config.deterministic is {wanted}\n"
        f"machine.start('fp32', 1, deterministic={not wanted}, seed=0)\n"
        f"assert torch._inductor.config.deterministic is {not wanted}\n"
        f"assert torch.are_deterministic_algorithms_enabled() is {not wanted}\n"
    )
