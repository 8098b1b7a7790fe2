"""ONNX files against PyTorch, run by onnxruntime; normalisation against torchvision."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms import v2

from benchmarks.small_cases import CASES
from segmodels import models
from segmodels.config.schema import Normalize
from segmodels.inference import export

onnx = pytest.importorskip("onnx", reason="needs the extra: pip install -e '.[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra: pip install -e '.[onnx]'")
pytest.importorskip("onnxscript", reason="needs the extra: pip install -e '.[onnx]'")

NORMALIZE = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
QUICK = {"fcn_skip", "segnet"}
MODELS = CASES | {
    "fcn_resnet50": ("fcn", {}),
    "fcn_vgg16": ("fcn", {"backbone": "vgg16"}),
    "fcn_skip_vgg16": ("fcn_skip", {"backbone": "vgg16", "stride": 32}),
    "deeplabv3_cascade_resnet101": ("deeplabv3_cascade", {}),
    "segnet": ("segnet", {"width": 4}),  # of more channels one maximum is nearly a tie: it moves
}
EACH = [
    pytest.param(*case, id=name, marks=[] if name in QUICK else pytest.mark.slow)
    for name, case in MODELS.items()
]
SIZES = [(1, 33, 47), (3, 64, 64), (1, 150, 98)]  # others than those that export checks itself


def trained(arch, arguments):
    """A model like one after a training: BatchNorm has seen pictures, and no weights are 0."""
    torch.manual_seed(0)
    model = models.build(arch, num_classes=21, **arguments)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    with torch.inference_mode():
        model(torch.randn(4, 3, 64, 64))
    return model


def exported(model, path):
    export.to_onnx(model, path, normalization=NORMALIZE, classes=["background", "cät"])
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("arch", "arguments"), EACH)
def test_onnx_equals_pytorch_at_three_sizes(tmp_path, arch, arguments):
    model = trained(arch, arguments)
    session = exported(model, tmp_path / "model.onnx")
    assert not model.training
    rng = np.random.default_rng(0)
    for batch, height, width in SIZES:
        image = rng.integers(0, 256, (batch, 3, height, width), dtype=np.uint8)
        normal = v2.functional.normalize(
            torch.tensor(image) / 255, list(NORMALIZE.mean), list(NORMALIZE.std)
        )
        with torch.inference_mode():
            expected = model(normal)["out"].numpy()
        [given] = session.run(None, {"image": image.astype(np.float32)})
        np.testing.assert_allclose(given, expected, atol=1e-3 * max(1, np.abs(expected).max()))
        assert (given.argmax(1) == expected.argmax(1)).mean() >= 0.999


class Pointwise(nn.Module):
    """The smallest model."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, image):
        return {"out": self.conv(image)}


def test_file_names_its_classes_and_leaves_sizes_open(tmp_path):
    exported(Pointwise(), tmp_path / "new" / "model.onnx")
    content = onnx.load(tmp_path / "new" / "model.onnx")
    onnx.checker.check_model(content, full_check=True)
    metadata = {entry.key: entry.value for entry in content.metadata_props}
    assert json.loads(metadata["classes"]) == ["background", "cät"]
    sides = content.graph.input[0].type.tensor_type.shape.dim
    assert [bool(side.dim_param) for side in sides] == [True, False, True, True]


class Constant(Pointwise):
    """Adds a column for each two that it sees, counted when it is exported."""

    def forward(self, image):
        logits = super().forward(image)["out"]
        return {"out": torch.cat([logits, *[logits[..., :1]] * (image.shape[-1] // 2)], -1)}


class Sorted(Pointwise):
    """Uses what ONNX has no operator for."""

    def forward(self, image):
        shift = torch.linalg.eigvals(image[:, :, :3, :3]).real.sum()
        return {"out": super().forward(image)["out"] + shift}


class Wrong(Pointwise):
    """Is not what it was when it was exported."""

    def forward(self, image):
        logits = super().forward(image)["out"]
        return {"out": logits if torch.compiler.is_exporting() else logits + 0.1}


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Constant(), "ONNX|constant"),
        (Sorted(), "cannot be exported to ONNX: .*eig"),
        (Wrong(), "differs at .*: logits by 0.1"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_the_reason_and_no_file(tmp_path, model, reason):
    with pytest.raises(ValueError, match=reason) as error:
        exported(model, tmp_path / "model.onnx")
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "NEEDED", ("onnx", "no_such_package"))
    with pytest.raises(ValueError, match=r"no no_such_package: pip install -e '.\[onnx\]'"):
        exported(Pointwise(), tmp_path / "model.onnx")
