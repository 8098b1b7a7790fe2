"""Every model, every backbone and every loss learns one batch of the miniature by heart.

Where a paper's network is deep and has no BatchNorm, a random start does not get there within
minutes. So VGG16 is shown by its sibling with BatchNorm, the paper's U-Net by `batch_norm: true`;
the widest networks are shown narrow.
"""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.small_cases import CASES, LOSSES
from segmodels import models
from segmodels.config import params
from segmodels.data.sources.miniature import generate
from segmodels.models.backbones import IMAGENET
from segmodels.models.network import normalize
from segmodels.training import losses

pytestmark = pytest.mark.slow

SETTINGS = params.load(Path(__file__).parents[2] / "params.yaml")
CLASSES = SETTINGS.datasets["miniature"].classes
VOID = 255
STEPS, EVERY = 500, 20  # at most; from one look at the accuracy to the next
WIDER = {  # what the papers have, or near it, where the small cases have less
    "deeplabv1": ("deeplabv1", {"backbone": "vgg16_bn"}),
    "deeplabv2": ("deeplabv2", {"backbone": "resnet50"}),
    "deeplabv3": ("deeplabv3", {}),
    "deeplabv3_cascade": ("deeplabv3_cascade", {"backbone": "resnet50"}),
    "deeplabv3plus": ("deeplabv3plus", {"backbone": "resnet50"}),
    "fcn": ("fcn", {}),
    "fpn": ("fpn", {}),
    "segnet": ("segnet", {"width": 16}),
    "segnet_bilinear": ("segnet", {"width": 16, "upsampling": "bilinear"}),
    "segnet_transposed": ("segnet", {"width": 16, "upsampling": "transposed"}),
    "unet": ("unet", {"width": 16}),
    "unet_encoder": ("unet_encoder", {}),
    "unet_valid": ("unet_valid", {"width": 16, "batch_norm": True}),
}
MODELS = CASES | WIDER
BACKBONES = [*sorted(set(IMAGENET) - {"vgg16"}), "timm/tf_efficientnet_lite0"]


@pytest.fixture(scope="module")
def batch():
    """Normalised image (4, 3, 64, 64) and target (4, 64, 64)."""
    scenes = list(islice(generate.draw(CLASSES, 64, 64, seed=(0, 0)), 4))
    image, target = (
        torch.from_numpy(np.stack([getattr(scene, part) for scene in scenes]))
        for part in ("image", "target")
    )
    return normalize(image.permute(0, 3, 1, 2), SETTINGS.normalize), target


def accuracy_after_training(arch, arguments, batch, loss=LOSSES["cross_entropy"]):
    """Pixel accuracy in eval mode, as soon as it is high enough, else after STEPS steps."""
    torch.manual_seed(0)
    model = models.build(arch, num_classes=len(CLASSES), **arguments)
    model.to(memory_format=torch.channels_last)
    image, target = batch
    weights, weighted = loss
    pixels = np.stack([np.bincount(t.flatten(), minlength=256)[: len(CLASSES)] for t in target])
    class_weights = torch.tensor(losses.median_frequency(pixels)) if weighted else None
    updates = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    for step in range(1, STEPS + 1):
        heads = [
            losses.class_sums(logits, target, weights, ignore_index=VOID)
            for logits in model.train()(image).values()
        ]
        objectives = [losses.objective(sums, weights, class_weights) for sums in heads]
        updates.zero_grad()
        sum(objectives).backward()
        updates.step()
        if step % EVERY == 0:
            with torch.no_grad():
                right = model.eval()(image)["out"].argmax(1) == target
            accuracy = right[target != VOID].float().mean().item()
            if accuracy >= 0.95:
                break
    print(f"{arch} {arguments}: {accuracy:.3f} after {step} steps")
    return accuracy


@pytest.mark.parametrize(("arch", "arguments"), MODELS.values(), ids=MODELS)
def test_model_overfits_one_batch(batch, arch, arguments):
    assert accuracy_after_training(arch, arguments, batch) >= 0.95


@pytest.mark.parametrize("backbone", BACKBONES)
def test_backbone_under_fcn_overfits_one_batch(batch, backbone):
    if backbone.startswith("timm/"):
        pytest.importorskip("timm")
    assert accuracy_after_training("fcn", {"backbone": backbone}, batch) >= 0.95


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_loss_overfits_one_batch(batch, loss):
    arguments = {"backbone": "resnet18", "aux": False}
    assert accuracy_after_training("fcn", arguments, batch, loss) >= 0.95
