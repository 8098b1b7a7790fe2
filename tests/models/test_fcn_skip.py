"""FCN-skip with learned upsampling against fixed upsampling, plain functions and the paper."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segmodels import models


def built(upsampling, stride, backbone="resnet18"):
    torch.manual_seed(0)
    return models.build(
        "fcn_skip", num_classes=5, backbone=backbone, stride=stride, upsampling=upsampling
    )


def scored(model):
    """Scores that are not zero, the same for the same seed."""
    torch.manual_seed(1)
    for score in (model.classifier, *model.skips.values()):
        nn.init.normal_(score.weight)
        nn.init.normal_(score.bias)
    return model


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_both_upsamplings_start_from_the_same_weights_and_logits(stride):
    fixed, learned = (built(upsampling, stride) for upsampling in ("bilinear", "transposed"))
    left = fixed.load_state_dict(learned.state_dict(), strict=False)
    steps = {32: 1, 16: 2, 8: 3}[stride]
    assert left.missing_keys == []
    assert left.unexpected_keys == [f"upsamplings.{k}.weight" for k in range(steps)]
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        logits = [scored(model).eval()(image)["out"] for model in (fixed, learned)]
    assert logits[0].std() > 1
    torch.testing.assert_close(logits[1], logits[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 96), (33, 47)])
def test_learned_upsamplings_are_used_in_the_order_of_figure_3(size):
    model = scored(built("transposed", 8)).eval()
    for upsampling in model.upsamplings:
        nn.init.normal_(upsampling.weight, std=0.1)
    weights = [upsampling.weight for upsampling in model.upsamplings]

    def enlarged(x, weight, stride, like):
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        x = F.conv_transpose2d(x, weight, stride=stride, padding=stride + stride // 2)
        return x[..., : like.shape[-2], : like.shape[-1]]

    image = torch.randn(1, 3, *size)
    with torch.no_grad():
        features = model.backbone(image)
        pool4, pool3 = (model.skips[name](features[name]) for name in ("aux", "mid"))
        x = enlarged(model.classifier(features["out"]), weights[0], 2, pool4) + pool4
        x = enlarged(x, weights[1], 2, pool3) + pool3
        expected = enlarged(x, weights[2], 8, image)
        assert expected.shape[-2:] == size
        torch.testing.assert_close(model(image)["out"], expected, rtol=1e-4, atol=1e-4)


def test_every_parameter_learns_also_where_poolings_leave_out_a_row():
    with torch.device("meta"):
        model = built("transposed", 8, backbone="vgg16")
        logits = model(torch.empty(1, 3, 33, 47))["out"]
        assert logits.shape == (1, 5, 33, 47)
        logits.sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_fcn32s_vgg16_has_the_papers_134_million_parameters():
    # Table 1 of the paper. VGG16 has 138,357,544 (arXiv 1409.1556, table 2: 138 million), of which
    # fc8 is 4096 x 1000 + 1000; in its place are the scores of 21 classes.
    with torch.device("meta"):
        model = models.build("fcn_skip", num_classes=21, backbone="vgg16", stride=32)
    expected = 138_357_544 - (4096 * 1000 + 1000) + 4096 * 21 + 21
    assert sum(p.numel() for p in model.parameters()) == expected == 134_346_581
