"""Checks of networks on a GPU, which run small on a CPU too: arithmetic, bits and kernels.

Each takes a `Place`, returns its figures as a line, and raises `Failed` where they are beyond the
tolerance. The reference is the CPU in float64, or the same work done twice.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.gpu_common import (
    Place,
    build,
    deterministic,
    expect,
    logits,
    tf32,
    train,
    without_dropout,
)
from benchmarks.small_cases import CASES, LOSSES, TOGETHER
from benchmarks.train_step import CLASSES, random_batch, sgd
from segmodels.core.distributed import Processes
from segmodels.models import layers
from segmodels.training.step import Objective, gradients

LOGITS = 1e-4  # of the largest logit: float32 has 24 bits, some 50 layers lose a few of them
LOGITS_TF32 = 3e-2  # the same where convolutions round their inputs to 11 bits
# Of the loss. The second one tells whether gradients and update agree: an update lowers it by 1%,
# so that 1e-4 finds one that is 1% off. Later a maximum that float32 rounds to another pixel makes
# losses differ: on CPUs by up to 2.9e-3 within 8 steps, over 8 starts.
EARLY, FIRST_STEPS = 1e-4, 2
STEPS = 1e-2
HALF = 0.1  # of the loss after 50 steps: bf16 has 8 bits, fp16 11
RESIZED = 1e-5  # of the largest element
FORBIDDEN = {  # aten operations that torch refuses on a GPU under use_deterministic_algorithms
    "_adaptive_avg_pool2d_backward",
    "_adaptive_avg_pool3d_backward",
    "adaptive_max_pool2d_backward",
    "avg_pool3d_backward",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d_backward",
    "grid_sampler_2d_backward",
    "histc",
    "kthvalue",
    "max_unpool2d",
    "max_unpool3d",
    "put",
    "put_",
    "reflection_pad1d_backward",
    "reflection_pad2d_backward",
    "reflection_pad3d_backward",
    "replication_pad2d_backward",
    "upsample_bicubic2d_backward",
    "upsample_bilinear2d_backward",
    "upsample_linear1d_backward",
    "upsample_trilinear3d_backward",
}
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2"}


class Recorder(TorchDispatchMode):
    """Names of the aten operations that are computed, and those that only some arguments forbid."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in ("nll_loss_forward", "nll_loss2d_forward") and args[3] != 0:
            name = f"{name} with a reduction"
        if name == "bincount" and len(args) > 1 and args[1] is not None:
            name = "bincount with weights"
        self.names.add(name)
        return func(*args, **(kwargs or {}))

    @property
    def forbidden(self) -> set[str]:
        return {name for name in self.names if name in FORBIDDEN or " with " in name}


def logits_agree(place: Place, case: str) -> str:
    """An arch's logits on the device and in float64 on the CPU, at two odd sizes."""
    model = build(case).eval()
    exact, here = deepcopy(model).double(), deepcopy(model).to(place.device)
    worst = {True: 0.0, False: 0.0}
    sizes = ((45, 51),) if place.small else ((129, 177), (97, 65))
    for size in sizes:
        image = random_batch(2, max(size))[0][..., : size[0], : size[1]]
        with torch.inference_mode():
            expected = logits(exact, image)["out"]
            expect(bool(expected.std() > 1e-3), f"logits of {case} hardly vary: no check")
            for rounded in (False,) if place.small else (False, True):
                with tf32(rounded), deterministic(True):
                    found = logits(here, image.to(place.device))["out"].cpu().double()
                error = (found - expected).abs().max() / expected.abs().max()
                worst[rounded] = max(worst[rounded], error.item())
    return expect(
        worst[False] <= LOGITS and worst[True] <= LOGITS_TF32,
        f"largest difference {worst[False]:.1e} of the largest logit (at most {LOGITS:g}), "
        f"with TF32 {worst[True]:.1e} (at most {LOGITS_TF32:g})",
    )


def steps_agree(place: Place) -> str:
    """The losses of training steps, FCN's or a small U-Net's, here and in float64 on the CPU."""
    model = without_dropout(build("unet" if place.small else "fcn"))
    with tf32(False), deterministic(True):
        found = train(deepcopy(model).to(place.device), place, steps=place.steps)
    expected = train(model.double(), place, steps=place.steps)
    errors = [abs(a - b) / b for a, b in zip(found, expected, strict=True)]
    early, worst = max(errors[:FIRST_STEPS]), max(errors)
    return expect(
        early <= EARLY and worst <= STEPS and sum(expected[-4:]) < sum(expected[:4]),
        f"{place.steps} losses from {expected[0]:.3f} to {expected[-1]:.3f}; largest difference "
        f"{early:.1e} of the loss in the first {FIRST_STEPS} steps (at most {EARLY:g}), then "
        f"{worst:.1e} (at most {STEPS:g})",
    )


def same_bits(place: Place, case: str, losses: list[str]) -> str:
    """Training an arch with `deterministic: true`, twice: no refused kernel, the same bits.

    What is computed is compared by name with torch's list as well, which needs no GPU.
    """
    model = build(case)
    precision = "fp32" if place.small else "bf16"
    steps = 1 if place.small else 2
    recorder = Recorder()
    for loss in losses:
        parts = 2 if loss == "together" and not place.small else 1  # two images each, for BatchNorm
        runs = []
        for watch in (nullcontext(), recorder):
            trained = deepcopy(model).to(place.device)
            # A CPU would take F.interpolate, a GPU takes the products.
            resizing = patch.object(layers, "resize", layers.resize_by_products)
            with deterministic(True), resizing, watch:
                values = train(
                    trained, place, steps=steps, loss=loss, precision=precision, parts=parts
                )
            runs.append((values, trained.state_dict()))
        (first, state), (second, other) = runs
        differing = [name for name, value in state.items() if not torch.equal(value, other[name])]
        expect(
            first == second and not differing,
            f"{loss}: losses {first} and {second}, {len(differing)} tensors differ {differing[:3]}",
        )
    listed = ", ".join(sorted(recorder.forbidden)) or "none"
    return expect(
        listed == "none",
        f"{', '.join(losses)}: the same bits twice in {precision}; forbidden among "
        f"{len(recorder.names)} operations: {listed}",
    )


def halves_train(place: Place, precision: str) -> str:
    """Training in 16 bits ends near training in 32."""
    case = "unet" if place.small else "fcn"  # a CPU takes seconds for a step in fp16
    model = without_dropout(build(case))
    full, half = (
        train(deepcopy(model).to(place.device), place, steps=place.steps, precision=each)
        for each in ("fp32", precision)
    )
    return expect(
        abs(half[-1] - full[-1]) <= HALF * full[-1]
        and sum(half[-4:]) < sum(half[:4])
        and half != full,
        f"{place.steps} losses from {half[0]:.3f} to {half[-1]:.3f}, in fp32 to {full[-1]:.3f} "
        f"(at most {HALF:.0%} apart)",
    )


def step_does_not_wait(place: Place) -> str:
    """A step asks the device for no value, so that the program can run ahead of it."""
    model = build("fcn").to(place.device)
    image, target = (tensor.to(place.device) for tensor in place.batch(0))
    objective = Objective(TOGETHER, 0.5, None, CLASSES, 255)
    updates = sgd(model, fused=True)

    def step() -> None:
        gradients(
            model,
            [(image, target)],
            objective=objective,
            forward=logits,
            processes=Processes(),
            scale=lambda loss: loss,
        )
        updates.step()

    with deterministic(True):
        step()
        on_gpu = place.device.type == "cuda"
        if on_gpu:
            torch.cuda.set_sync_debug_mode("error")
        try:
            with Recorder() as recorder:
                step()
        finally:
            if on_gpu:
                torch.cuda.set_sync_debug_mode("default")
    waits = sorted(recorder.names & WAITING)
    return expect(not waits, f"operations that wait for the device: {', '.join(waits) or 'none'}")


def resize_agrees(place: Place) -> str:
    """Resizing by matrix products against F.interpolate on the CPU, and twice the same bits."""
    torch.manual_seed(0)
    worst = 0.0
    for source, target in (((13, 17), (97, 131)), ((33, 29), (14, 9)), ((1, 1), (60, 60))):
        x = torch.randn(2, 5, *source, dtype=torch.float64, requires_grad=True)
        slope = torch.randn(2, 5, *target, dtype=torch.float64)
        expected = F.interpolate(x, size=target, mode="bilinear", align_corners=False)
        (gradient,) = torch.autograd.grad(expected, x, slope)
        runs = []
        for _ in range(2):
            here = x.detach().to(place.device, torch.float32).requires_grad_()
            found = layers.resize_by_products(here, target)
            runs.append((found, *torch.autograd.grad(found, here, slope.to(found))))
        for (found, again), exact in zip(
            zip(*runs, strict=True), (expected, gradient), strict=True
        ):
            expect(torch.equal(found, again), "resizing twice gave other bits")
            error = (found.cpu().double() - exact).abs().max() / exact.abs().max()
            worst = max(worst, error.item())
    return expect(worst <= RESIZED, f"largest difference {worst:.1e} (at most {RESIZED:g})")


def cases(place: Place) -> Iterator[tuple[str, Callable[[], str]]]:
    """Every check of this file, by what it says."""
    losses = ["together"] if place.small else list(LOSSES)
    for case in CASES:
        yield f"logits agree with the CPU: {case}", partial(logits_agree, place, case)
    yield "training steps agree with the CPU", partial(steps_agree, place)
    for case in CASES:
        yield f"deterministic: {case}", partial(same_bits, place, case, losses)
    for precision in ("bf16", "fp16"):
        yield f"training in {precision}", partial(halves_train, place, precision)
    yield "a step does not wait", partial(step_does_not_wait, place)
    yield "resizing by matrix products", partial(resize_agrees, place)
