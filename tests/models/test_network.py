"""How a model is run, against torchvision's normalisation and PyTorch's argmax."""

import pytest
import torch
from conftest import as_network
from torch import nn
from torchvision.transforms import v2

from segmodels.config.schema import Normalize
from segmodels.core.machine import has_bf16, start
from segmodels.models import network
from segmodels.models.network import forward, label_map, normalize

NORMALIZE = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def images(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def test_normalize_equals_torchvision():
    image = images(2, 3, 9, 7)
    theirs = v2.functional.normalize(image / 255, list(NORMALIZE.mean), list(NORMALIZE.std))
    torch.testing.assert_close(normalize(image, NORMALIZE), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cached_pixels", [1, 100, 1 << 13])
@pytest.mark.parametrize("shape", [(21, 30, 40), (2, 21, 30, 40), (2, 1, 5, 7), (255, 3, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_label_map_is_argmax_and_the_first_of_equals(monkeypatch, cached_pixels, shape, dtype):
    monkeypatch.setattr(network, "CACHED_PIXELS", cached_pixels)
    logits = torch.randn(shape).round().to(dtype)  # with many equals
    before = logits.clone()
    first = (logits == logits.amax(-3, keepdim=True)).int().argmax(-3)
    found = label_map(logits)
    assert found.dtype == torch.uint8 and torch.equal(found.long(), first)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("scale", [1e-30, 1, 1e30])
def test_label_map_of_unequal_logits_is_argmax(scale):
    logits = torch.randn(2, 21, 30, 40).mul(scale)
    for stored in (logits, logits.contiguous(memory_format=torch.channels_last)):
        assert torch.equal(label_map(stored), logits.argmax(1).to(torch.uint8))


def test_label_map_of_infinite_logits_and_of_none():
    infinite = torch.tensor([-torch.inf, torch.inf, torch.inf]).view(3, 1, 1)
    assert label_map(infinite).item() == 1
    assert label_map(torch.full((3, 2, 2), -torch.inf)).eq(0).all()
    assert label_map(torch.full((3, 2, 2), torch.nan)).eq(0).all()


class Dropped(nn.Module):
    """Drops half of its input, but in eval mode."""

    def forward(self, image):
        return {"out": nn.functional.dropout(image, 0.5, self.training)}


def test_forward_normalises_in_the_precision_asked_for():
    layer = nn.Conv2d(3, 2, 1)
    image = images(1, 3, 8, 8)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        logits = forward(layer, image, normalization=NORMALIZE, precision=precision)
        assert logits.dtype == dtype
        expected = layer(normalize(image, NORMALIZE))
        torch.testing.assert_close(logits.float(), expected, rtol=0.02, atol=0.05)


def test_network_predicts_in_eval_mode_and_gives_float32():
    model = Dropped().train()
    image = images(2, 3, 8, 8)
    found = as_network(model, NORMALIZE, precision="bf16")(image)
    assert found.dtype == torch.float32 and not model.training and not found.requires_grad
    assert torch.equal(found, normalize(image, NORMALIZE))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "auto"])
def test_runtime_resolves_and_records(precision):
    before = torch.get_num_threads()
    runtime = start(precision, threads=1, deterministic=True, seed=5)
    try:
        record = runtime.record()
        assert torch.get_num_threads() == record["threads"] == 1
        assert torch.initial_seed() == 5
        resolved = {"auto": "bf16" if has_bf16() else "fp32"}.get(precision, precision)
        assert record["precision"] == resolved
        assert record["versions"]["torch"] == torch.__version__
    finally:
        torch.set_num_threads(before)
