import pandas as pd
import pytest
import torch
from conftest import as_network
from torch import nn
from torchvision.models import get_model_weights, segmentation

from segmodels.config.schema import Normalize, Predict
from segmodels.core import machine
from segmodels.inference import cost, testtime
from segmodels.models import flops


class Convolution(nn.Module):
    """A model of one convolution, from 3 to 2 channels."""

    def __init__(self, side):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, side, padding=side // 2)

    def forward(self, image):
        return {"out": self.conv(image)}


def test_gflops_of_a_network_by_hand():
    """Strided, grouped and transposed convolutions, and a matrix product: a multiply-add is 1."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),  # 32 x 40 places, 8 channels, 3 x 3 x 3 products
        nn.Conv2d(8, 8, 3, padding=1, groups=4),  # 2 channels of 8 seen by each
        nn.ConvTranspose2d(8, 4, 2, stride=2),  # each of 32 x 40 x 8 values into 2 x 2 x 4
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )
    convolutions = 32 * 40 * (8 * 3 * 9 + 8 * 2 * 9 + 8 * 4 * 4)
    counted = flops.gflops(lambda: network(torch.zeros(1, 3, 64, 80)))
    assert counted == pytest.approx((convolutions + 4 * 5) / 1e9, rel=1e-12)


@pytest.mark.parametrize("name", ["fcn_resnet50", "deeplabv3_resnet50"])
def test_gflops_are_what_torchvision_publishes(name):
    published = get_model_weights(name).DEFAULT.meta["_ops"]  # of 520 x 520
    with torch.device("meta"):
        model = getattr(segmentation, name)(weights=None, weights_backbone=None, aux_loss=True)
        counted = flops.gflops(lambda: model.eval()(torch.empty(1, 3, 520, 520)))
    assert counted == pytest.approx(published, abs=0.0006)  # they print three digits


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_pass_of_a_prediction_is_counted(precision):
    network = as_network(
        Convolution(3), Normalize(mean=(0, 0, 0), std=(1, 1, 1)), precision=precision
    )
    image = torch.zeros(1, 3, 80, 120, dtype=torch.uint8)
    scales = {"long_side": None, "scales": [0.5, 1], "flip": True}
    counted = flops.gflops(lambda: testtime.multi_scale(network, image, **scales))
    pixels = 2 * (40 * 60 + 80 * 120)
    assert counted == pytest.approx(pixels * 2 * 3 * 9 / 1e9, rel=1e-12)


@pytest.mark.parametrize(("precision", "used"), [("fp32", "fp32"), ("bf16", "bf16")])
def test_cost_is_that_of_the_choices_on_the_cpu(precision, used):
    """80 x 120 is seen at 60 and 120 pixels, twice each."""

    model = as_network(Convolution(1), Normalize(mean=(0, 0, 0), std=(1, 1, 1)))
    choices = Predict(scales=[0.5, 1], flip=True, precision=precision)
    on_gpu = machine.Runtime("cuda", "fp16", 1, "a CPU", "a GPU")
    image = torch.zeros(1, 3, 80, 120, dtype=torch.uint8)
    counted, measured = cost.measure(model, image, choices, on_gpu)
    pixels = 2 * (40 * 60 + 80 * 120)
    assert counted == {"gflops": pytest.approx(pixels * 6 / 1e9), "picture": "120 x 80"}
    assert measured["latency_ms"] > 0 and measured["picture"] == "120 x 80"
    assert (measured["device"], measured["precision"], measured["gpu"]) == ("cpu", used, None)


class Clock:
    """Time that passes only in `work`."""

    def __init__(self, *seconds):
        self.now, self.passes, self.seconds = 0.0, 0, seconds

    def __call__(self):
        return self.now

    def work(self):
        self.now += self.seconds[min(self.passes, len(self.seconds) - 1)]
        self.passes += 1


def test_latency_is_the_median_after_a_warm_up():
    slow = Clock(9, 9, 9, 2, 1, 30, 2, 3)  # the first three warm up, one is interrupted
    assert cost.latency(slow.work, clock=slow) == (2000, 5)
    assert slow.passes == cost.WARM_UP + 5


@pytest.mark.parametrize(("seconds", "passes"), [(0.001, 50), (0.125, 8), (60, 5)])
def test_latency_takes_more_passes_of_a_fast_model(seconds, passes):
    clock = Clock(seconds)
    assert cost.latency(clock.work, clock=clock) == (pytest.approx(1000 * seconds), passes)


def test_usual_picture_is_the_first_of_the_most_frequent_size():
    sizes = [(500, 333), (375, 500), (500, 375), (500, 375), (375, 500), (500, 375)]
    index = pd.DataFrame(sizes, columns=["width", "height"]).assign(image_id=list("abcdef"))
    assert cost.usual_picture(index)["image_id"].tolist() == ["c"]
    assert cost.usual_picture(index.iloc[:5])["image_id"].tolist() == ["b"]  # as many: narrowest
