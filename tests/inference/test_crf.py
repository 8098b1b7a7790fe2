import math
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from segmodels.data.sources.miniature import generate
from segmodels.data.sources.miniature.objects import LOOKS
from segmodels.inference import crf

SETTINGS = {
    "iterations": 10,
    "position_sigma": 3,
    "position_weight": 3,
    "bilateral_sigma_xy": 20,
    "bilateral_sigma_rgb": 13,
    "bilateral_weight": 5,
}
SIDE = 24


def scene(height, width):
    """The middle of a picture of the miniature, (3, H, W) uint8."""
    drawn = next(generate.draw(["background", *LOOKS], 64, 80, seed=(0, 0))).image
    top, left = (drawn.shape[0] - height) // 2, (drawn.shape[1] - width) // 2
    return torch.from_numpy(drawn[top : top + height, left : left + width]).permute(2, 0, 1)


def noise(height, width):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, height, width), generator=generator).to(torch.uint8)


def unsure(num_classes, height, width):
    """Logits of coarse blobs with noise on them."""
    generator = torch.Generator().manual_seed(1)
    blobs = torch.randn(1, num_classes, height // 8, width // 8, generator=generator) * 3
    fine = torch.randn(num_classes, height, width, generator=generator) / 2
    return F.interpolate(blobs, size=(height, width), mode="bilinear")[0] + fine


def kernel_in_loops(points):
    """D^-1/2 K D^-1/2 of lists of coordinates, pair by pair."""
    kernel = np.array([[math.exp(-(math.dist(p, q) ** 2) / 2) for q in points] for p in points])
    scale = [1 / math.sqrt(math.fsum(row)) for row in kernel]
    for i, j in product(range(len(points)), repeat=2):
        kernel[i, j] *= scale[i] * scale[j]
    return kernel


def softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def marginals_in_loops(logits, image, settings):
    """Mean field as the paper writes it: who disagrees with a label makes it dearer."""
    num_classes, height, width = logits.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]
    xy, rgb = settings["bilateral_sigma_xy"], settings["bilateral_sigma_rgb"]
    near = kernel_in_loops([(y / 3, x / 3) for y, x in pixels])
    alike = kernel_in_loops(
        [(y / xy, x / xy, *(float(c) / rgb for c in image[:, y, x])) for y, x in pixels]
    )
    kernel = settings["position_weight"] * near + settings["bilateral_weight"] * alike
    unary = [-np.log(softmax(logits[:, y, x].astype(np.float64))) for y, x in pixels]
    q = np.array([np.exp(-u) for u in unary])
    for _ in range(settings["iterations"]):
        cost = np.zeros_like(q)
        for i in range(len(pixels)):
            for label in range(num_classes):
                others = [k for k in range(num_classes) if k != label]
                cost[i, label] = kernel[i] @ q[:, others].sum(1)
        q = np.array([softmax(-u - c) for u, c in zip(unary, cost, strict=True)])
    return q.T.reshape(logits.shape)


@pytest.mark.parametrize("picture", [scene, noise])
def test_exact_marginals_equal_loops(monkeypatch, picture):
    monkeypatch.setattr(crf, "lattice", crf.exact)
    image, logits = picture(SIDE, SIDE), unsure(3, SIDE, SIDE)
    expected = marginals_in_loops(logits.numpy(), image.numpy(), SETTINGS)
    found = crf.refine(logits, image, **SETTINGS).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert (found.argmax(0) != logits.numpy().argmax(0)).mean() > 0.02  # it did something


@pytest.mark.parametrize("picture", [scene, noise])
@pytest.mark.parametrize("num_classes", [2, 21])
def test_lattice_marginals_are_close_to_the_exact_ones(monkeypatch, picture, num_classes):
    image, logits = picture(SIDE, SIDE), unsure(num_classes, SIDE, SIDE)
    fast = crf.refine(logits, image, **SETTINGS)
    monkeypatch.setattr(crf, "lattice", crf.exact)
    exact = crf.refine(logits, image, **SETTINGS)
    error = (fast - exact).abs().mean()
    assert error < 0.02
    # Most marginals of 21 classes are near 0 whatever is done: also against what the CRF changes.
    assert error < (exact - logits.softmax(0)).abs().mean() / 5
    assert torch.allclose(fast.sum(0), torch.ones(SIDE, SIDE), atol=1e-5)


@pytest.mark.parametrize(("kernel", "tolerance"), [(crf.exact, 1e-5), (crf.lattice, 0.1)])
def test_position_kernel_equals_scipys_gaussian(kernel, tolerance):
    generator = np.random.default_rng(0)
    values = generator.random((30, 44, 2)).astype(np.float32)

    def blurred(plane):
        return gaussian_filter(plane, 2.5, mode="constant", truncate=12)

    scale = 1 / np.sqrt(blurred(np.ones((30, 44))))
    expected = np.stack([scale * blurred(scale * values[..., k]) for k in (0, 1)], -1)
    features = crf.coordinates(30, 44) / 2.5
    found = kernel(features)(torch.from_numpy(values).view(-1, 2)).view(30, 44, 2)
    np.testing.assert_allclose(found, expected, rtol=tolerance)


def test_labels_follow_the_picture_not_the_noise_of_the_network():
    target = torch.zeros(40, 60, dtype=torch.long)
    target[10:30, 20:] = 1
    image = torch.tensor([[200, 60, 30], [40, 80, 190]], dtype=torch.uint8)[target].permute(2, 0, 1)
    wrong = torch.rand(40, 60, generator=torch.Generator().manual_seed(0)) < 0.3
    logits = F.one_hot(target ^ wrong.long(), 2).permute(2, 0, 1).float()
    assert torch.equal(crf.refine(logits, image, **SETTINGS).argmax(0), target)


def test_weights_of_0_leave_the_networks_probabilities():
    logits = unsure(5, 24, 32)
    settings = SETTINGS | {"position_weight": 0, "bilateral_weight": 0}
    refined = crf.refine(logits, scene(24, 32), **settings)
    torch.testing.assert_close(refined, logits.softmax(0), rtol=1e-5, atol=1e-6)


def test_marginals_do_not_depend_on_the_number_of_threads():
    logits, image = unsure(21, 64, 80), scene(64, 80)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(crf.refine(logits, image, **SETTINGS))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_standard_deviation_too_small_for_the_lattice_is_refused():
    settings = SETTINGS | {"bilateral_sigma_rgb": 1e-3}
    with pytest.raises(ValueError, match="standard deviation of the CRF is too small"):
        crf.refine(unsure(2, 24, 24), noise(24, 24), **settings)
