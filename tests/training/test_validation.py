import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import VOID, write_tree
from sklearn import metrics
from torch import nn

from segmodels.config.schema import Loss, Normalize
from segmodels.data import images, layout
from segmodels.data.loading import whole_images
from segmodels.evaluation.confusion import confusion_matrix
from segmodels.models import network
from segmodels.training.validation import count_pairs, measure

CLASSES = 5
NORMALIZE = Normalize(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def labels(seed, shape=(3, 20, 30)):
    """Target with void and without class 2, prediction without class 4."""
    rng = np.random.default_rng(seed)
    target = rng.choice([0, 1, 3, 4, VOID], p=[0.4, 0.3, 0.1, 0.1, 0.1], size=shape)
    return target.astype(np.uint8), rng.integers(0, 4, shape).astype(np.uint8)


def count(target, prediction):
    pairs = torch.from_numpy(target), torch.from_numpy(prediction)
    return count_pairs(*pairs).numpy()


@pytest.mark.parametrize("seed", range(3))
def test_counts_equal_scikit_learn_and_the_evaluation(seed):
    target, prediction = labels(seed)
    counts = count(target, prediction)
    expected = metrics.confusion_matrix(target.ravel(), prediction.ravel(), labels=range(256))
    np.testing.assert_array_equal(counts, expected)
    evaluated = confusion_matrix(
        target=target[0], prediction=prediction[0], num_classes=CLASSES, ignore_index=VOID
    )
    np.testing.assert_array_equal(count(target[0], prediction[0])[:CLASSES, :CLASSES], evaluated)


def test_counts_by_hand_are_not_transposed():
    target = np.array([[0, 0, 1], [VOID, 3, 200]], dtype=np.uint8)
    prediction = np.array([[0, 2, 2], [1, 3, 255]], dtype=np.uint8)
    expected = np.zeros((256, 256), dtype=int)
    expected[0, 0] = expected[0, 2] = expected[1, 2] = expected[3, 3] = 1
    expected[VOID, 1] = expected[200, 255] = 1
    np.testing.assert_array_equal(count(target, prediction), expected)


class HalfSize(nn.Module):
    """Logits of half the picture's size, in channels-last."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, CLASSES, 3, stride=2, padding=1)

    def forward(self, image):
        return {"out": self.layer(image).contiguous(memory_format=torch.channels_last)}


@pytest.mark.parametrize("cached_pixels", [1, 300, 1 << 20])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_measures_equal_brute_force(tmp_path, monkeypatch, cached_pixels, batch_size):
    monkeypatch.setattr(network, "CACHED_PIXELS", cached_pixels)
    index = write_tree(tmp_path, train=0, val=5, num_classes=CLASSES)
    model = HalfSize()
    sums, counts = measure(
        model.train(),
        whole_images(tmp_path, index, size=None, batch_size=batch_size, targets=True),
        num_classes=CLASSES,
        ignore_index=VOID,
        loss=Loss(cross_entropy=1, dice=0),
        normalization=NORMALIZE,
        device=torch.device("cpu"),
        precision="fp32",
    )
    assert not model.training and sums.dtype == torch.float64
    expected, expected_counts = np.zeros((4, CLASSES)), np.zeros((CLASSES, CLASSES), int)
    for image_id in index["image_id"]:
        image = images.read_image(layout.image_path(tmp_path, image_id)) / 255
        image = torch.from_numpy((image - NORMALIZE.mean) / NORMALIZE.std).permute(2, 0, 1).float()
        target = images.read_target(layout.target_path(tmp_path, image_id))
        with torch.no_grad():
            logits = F.interpolate(model(image[None])["out"], target.shape, mode="bilinear")[0]
        shares = logits.double().softmax(0).numpy()
        for c in range(CLASSES):
            at, rest = target == c, target != VOID
            expected[:, c] += (
                -np.log(shares[c][at]).sum(),
                shares[c][at].sum(),
                shares[c][rest].sum(),
                at.sum(),
            )
        counted = target != VOID
        guess = shares.argmax(0)[counted]
        expected_counts += metrics.confusion_matrix(target[counted], guess, labels=range(CLASSES))
    np.testing.assert_allclose(sums.numpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(counts.numpy(), expected_counts)
