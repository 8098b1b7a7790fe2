"""What a GPU would meet first, shown on a CPU: kernels, layouts, compiled steps, fp16 and sums."""

import functools

import pytest
import torch
import torch.nn.functional as F
from conftest import write_tree
from test_loop import NUM_CLASSES, make_job, make_model
from torch import nn

from segmodels.models import layers
from segmodels.training import loop
from segmodels.training.checkpoint import Checkpoints
from segmodels.training.state import TrainingState


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("voc")
    return root, write_tree(root, train=13, val=5, num_classes=NUM_CLASSES)


@pytest.mark.parametrize(
    ("source", "target"),
    [((13, 17), (97, 131)), ((33, 29), (14, 9)), ((5, 8), (10, 8)), ((1, 1), (7, 5))],
)
def test_resizing_by_products_equals_interpolation_gradient_included(source, target):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *source, dtype=torch.float64, requires_grad=True)
    x.data = x.data.contiguous(memory_format=torch.channels_last)
    slope = torch.randn(2, 3, *target, dtype=torch.float64)
    expected = F.interpolate(x, size=target, mode="bilinear", align_corners=False)
    found = layers.resize_by_products(x, target)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(y, x, slope)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-11)


def test_resizing_by_products_weighs_by_hand():
    # From 2 to 4 elements: 1/4 of the distance to the neighbour, and nothing beyond the border.
    weights = layers.interpolation_matrix(4, 2, dtype=torch.float32, device=torch.device("cpu"))
    assert weights.tolist() == [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_resizing_by_products_under_autocast_rounds_its_result_only(dtype):
    x = torch.randn(1, 2, 7, 9).to(dtype)
    exact = F.interpolate(x.double(), size=(33, 31), mode="bilinear", align_corners=False)
    with torch.autocast("cpu", dtype=dtype):
        found = layers.resize_by_products(x, (33, 31))
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-6)


def test_a_cpu_interpolates_as_ever():
    x = torch.randn(2, 3, 5, 7)
    torch.use_deterministic_algorithms(True)
    expected = F.interpolate(x, size=(11, 13), mode="bilinear", align_corners=False)
    assert torch.equal(layers.resize(x, (11, 13)), expected)
    assert torch.equal(
        layers.Doubling()(x),
        F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False),
    )


def test_pooling_to_one_element_is_a_mean_whose_gradient_torch_does_not_refuse():
    """AdaptiveAvgPool2d's own gradient is refused on a GPU; torch takes it for no other size."""
    x = torch.randn(2, 3, 5, 5, requires_grad=True)
    for layout in (torch.contiguous_format, torch.channels_last):
        y = nn.AdaptiveAvgPool2d(1)(x.contiguous(memory_format=layout))
        names, todo = set(), [y.grad_fn]
        while todo:
            node = todo.pop()
            names.add(node.name())
            todo += [parent for parent, _ in node.next_functions if parent]
        assert any(name.startswith("MeanBackward") for name in names)
        assert not any("AdaptiveAvgPool" in name for name in names)
    assert "AdaptiveAvgPool" in nn.AdaptiveAvgPool2d(2)(x).grad_fn.name()


class Moved:
    """Stands for a tensor of a checkpoint, which is read to the CPU; notes where it is sent."""

    def __init__(self):
        self.devices = []

    def to(self, device):
        self.devices.append(device)


def test_sums_of_a_checkpoint_return_to_the_device(tree, monkeypatch, tmp_path):
    """A run that goes on within an epoch adds the next step's sums to them."""
    sums = Moved()
    job = make_job(tree)

    def resume(self, run: TrainingState):
        run.sums = sums

    monkeypatch.setattr(Checkpoints, "resume", resume)
    next(loop.epochs(make_model(), job, Checkpoints(tmp_path, 60, False)))
    assert sums.devices == [job.device]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_fp16_step_that_overflows_at_once_leaves_no_trace(tree, monkeypatch, optimizer):
    """Fused SGD has then not written to its momentum; here torch fills such memory with NaN."""
    scaler = functools.partial(torch.amp.GradScaler, init_scale=2.0**20)
    monkeypatch.setattr(torch.amp, "GradScaler", scaler)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    model = make_model()
    start = {name: value.clone() for name, value in model.named_parameters()}
    list(loop.epochs(model, make_job(tree, precision="fp16", optimizer=optimizer, lr=1e-3)))
    for name, value in model.named_parameters():
        assert value.isfinite().all(), name
    assert any(not torch.equal(value, start[name]) for name, value in model.named_parameters())


def test_without_compile_torch_compiles_nothing(tree, monkeypatch):
    monkeypatch.setattr(torch, "compile", None)
    assert not make_job(tree).recipe.compile
    list(loop.epochs(make_model(), make_job(tree, epochs=2)))


def test_only_the_steps_pass_through_the_compiled_network(tree, monkeypatch):
    """Epoch 0, validation and recalibration see the model itself; the names stay as they are."""
    compiled = []

    class Compiled(nn.Module):
        """As torch's own wrapper: another prefix, the same parameters."""

        def __init__(self, model, **options):
            super().__init__()
            self._orig_mod, self.options, self.sizes = model, options, set()
            compiled.append(self)

        def forward(self, image):
            self.sizes.add(tuple(image.shape))
            return self._orig_mod(image)

    monkeypatch.setattr(torch, "compile", Compiled)
    changes = {"epochs": 2, "bn": "recalibrate", "warmup_epochs": 0}
    plain, model = make_model(), make_model()
    expected = list(loop.epochs(plain, make_job(tree, **changes)))
    found = list(loop.epochs(model, make_job(tree, compile=True, **changes)))
    (network,) = compiled
    assert network.options == {"dynamic": False}
    assert network.sizes == {(4, 3, 40, 40)}
    assert [epoch.train for epoch in found] == [epoch.train for epoch in expected]
    assert [epoch.val for epoch in found] == [epoch.val for epoch in expected]
    assert list(model.state_dict()) == list(plain.state_dict())


@pytest.mark.slow
def test_compiled_steps_train_as_plain_ones_do(tree):
    """To 1e-4: the compiler adds up in another order, and AdamW divides small by small numbers."""
    plain, compiled = (
        list(loop.epochs(make_model(), make_job(tree, compile=each))) for each in (False, True)
    )
    for a, b in zip(plain, compiled, strict=True):
        assert b.train["loss"] == pytest.approx(a.train["loss"], rel=1e-4)
        assert b.val["loss"] == pytest.approx(a.val["loss"], rel=1e-4)
    assert compiled[-1].train["loss"] < 0.8 * compiled[0].train["loss"]
