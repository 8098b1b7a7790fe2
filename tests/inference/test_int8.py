"""Files in 8-bit integers against PyTorch, on photographs; models that need no training."""

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from PIL import Image
from test_export import EACH, NORMALIZE, trained
from torch import nn

import segmodels
from segmodels.core import packed
from segmodels.inference import export, int8
from segmodels.inference.export import Form

onnx = pytest.importorskip("onnx", reason="needs the extra: pip install -e '.[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra: pip install -e '.[onnx]'")
pytest.importorskip("onnxscript", reason="needs the extra: pip install -e '.[onnx]'")

CLASSES = ["dark", "bright"]
PHOTOGRAPHS = ("chelsea", "astronaut")


class Bright(nn.Module):
    """Whether the means around a pixel, weighed by many small weights, are bright."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1, stride=2)
        self.classifier = nn.Conv2d(16, 2, 1)
        nn.init.uniform_(self.first.weight, 0, 0.1)
        nn.init.uniform_(self.second.weight, 0, 0.02)
        with torch.no_grad():
            self.first.bias.fill_(5)  # all is above 0, so that ReLU changes nothing
            self.classifier.weight.copy_(torch.tensor([-1.0, 1.0])[:, None, None, None])
            level = self.logits(torch.zeros(1, 3, 8, 8))[0, :, 2, 2]
            self.classifier.bias.sub_(level)

    def logits(self, image):
        return self.classifier(self.second(self.first(image).relu()).relu())

    def forward(self, image):
        return {"out": F.interpolate(self.logits(image), image.shape[-2:], mode="bilinear")}


@pytest.fixture
def photographs(tmp_path):
    """Parts of two photographs, PNGs of several sizes."""
    files = []
    rng = np.random.default_rng(0)
    for k in range(20):
        image = getattr(skimage.data, PHOTOGRAPHS[k % 2])()
        top, left = rng.integers(0, 100, 2)
        height, width = rng.integers(120, 200, 2)
        files.append(tmp_path / f"photographs/{k}.png")
        files[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(image[top : top + height, left : left + width]).save(files[-1])
    return files


def written(model, path, photographs, classes=CLASSES, normalization=NORMALIZE, **form):
    """The share of labels that `to_int8` returns, and the file's session."""
    share = int8.to_int8(
        model,
        path,
        photographs,
        long_side=160,
        normalization=normalization,
        classes=classes,
        form=Form(**form),
        facts={"long_side": "160"},
    )
    return share, onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def whole(name, scale=1):
    """A photograph of scikit-image, (1, 3, H, W) float32."""
    image = Image.fromarray(getattr(skimage.data, name)())
    image = image.resize((round(image.width * scale), round(image.height * scale)))
    return np.asarray(image, np.float32).transpose(2, 0, 1)[None]


def by_pytorch(model, image, normalization=NORMALIZE):
    with torch.inference_mode():
        return export.Deployed(model, normalization).eval()(torch.from_numpy(image)).numpy()


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_int8_keeps_the_labels_and_is_a_quarter_of_the_size(tmp_path, photographs, name, capfd):
    share, session = written(Bright(), tmp_path / "int8.onnx", photographs)
    assert 0.97 < share < 1
    image = whole(name)
    expected = by_pytorch(Bright(), image)
    assert 0.1 < expected.argmax(1).mean() < 0.9
    [given] = session.run(["logits"], {"image": image})
    assert given.dtype == np.float32 and (given != expected).any()
    assert (given.argmax(1) == expected.argmax(1)).mean() > 0.97
    assert capfd.readouterr() == ("", "")


def test_weights_are_bytes_and_the_enlargement_is_in_float32(tmp_path, photographs):
    written(Bright(), tmp_path / "int8.onnx", photographs)
    graph = onnx.load(tmp_path / "int8.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("QLinearConv") == 3 and "Conv" not in kinds
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "QLinearConv":
            weight, scale = stored[node.input[3]], stored[node.input[4]]
            assert weight.dtype == np.int8 and scale.shape == weight.shape[:1]
    assert kinds.index("DequantizeLinear") < kinds.index("Resize")
    assert kinds.count("QuantizeLinear") == 1


@pytest.mark.parametrize("output", export.OUTPUTS)
def test_form_is_that_of_the_float_file(tmp_path, photographs, output):
    path = tmp_path / "int8.onnx"
    _, session = written(Bright(), path, photographs, output=output, size=(96, 128))
    facts = session.get_modelmeta().custom_metadata_map
    export.to_onnx(
        Bright(),
        tmp_path / "float.onnx",
        normalization=NORMALIZE,
        classes=CLASSES,
        form=Form((96, 128), None, output),
        facts={"long_side": "160"},
    )
    plain = onnxruntime.InferenceSession(
        tmp_path / "float.onnx", providers=["CPUExecutionProvider"]
    )
    assert facts == plain.get_modelmeta().custom_metadata_map | {"precision": "int8"}
    for one, other in zip(session.get_outputs(), plain.get_outputs(), strict=True):
        assert (one.name, one.type) == (other.name, other.type) and one.name == output
    image = whole("chelsea")[..., :96, :128]
    [given], [expected] = (each.run(None, {"image": image}) for each in (session, plain))
    if output == "labels":
        assert given.dtype == np.uint8 and (given == expected).mean() > 0.97
    else:
        assert (given.argmax(1) == expected.argmax(1)).mean() > 0.97
    if output == "probabilities":
        np.testing.assert_allclose(given.sum(1), 1, atol=1e-5)


def test_too_few_photographs_are_refused(tmp_path, photographs):
    with pytest.raises(ValueError, match="^19 photographs to calibrate on, expected 20 or more$"):
        written(Bright(), tmp_path / "int8.onnx", photographs[1:])
    assert not (tmp_path / "int8.onnx").exists()


def test_labels_that_differ_are_refused(tmp_path, photographs, monkeypatch):
    quantized = int8._quantized

    def on_black(content, images):
        return quantized(content, (np.zeros_like(image) for image in images))

    monkeypatch.setattr(int8, "_quantized", on_black)
    with pytest.raises(ValueError, match=r"in int8 \d+\.\d% of labels are PyTorch's, expected 90%"):
        written(Bright(), tmp_path / "int8.onnx", photographs)
    assert not (tmp_path / "int8.onnx").exists()


def test_photographs_that_are_compared_calibrate_nothing():
    files = list(range(203))
    calibrating, compared = int8._divided(files)
    assert len(calibrating) == 64 and len(compared) == 16
    assert not set(calibrating) & set(compared)
    assert max(calibrating) > 195 and min(compared) == 0


@pytest.mark.parametrize(("arch", "arguments"), EACH)
def test_every_architecture_in_int8_follows_its_float_logits(
    tmp_path, photographs, monkeypatch, arch, arguments
):
    """Random weights decide labels by a hair: logits are compared."""
    monkeypatch.setattr(int8, "AGREEING", 0)
    model = trained(arch, arguments)
    _, session = written(model, tmp_path / "int8.onnx", photographs)
    image = whole("chelsea", 0.4)
    [given] = session.run(None, {"image": image})
    expected = by_pytorch(model, image)
    assert np.corrcoef(given.ravel(), expected.ravel())[0, 1] > 0.9


@pytest.mark.skipif("animals" not in packed.names(), reason="animals does not come along yet")
def test_animals_keeps_its_labels_in_int8(tmp_path, photographs):
    model = segmodels.load("animals", device="cpu")
    normalization = model.network.normalization
    share, session = written(
        model.module, tmp_path / "int8.onnx", photographs, model.classes, normalization
    )
    assert share > 0.9
    for name in PHOTOGRAPHS:
        image = whole(name)
        expected = by_pytorch(model.module, image, normalization).argmax(1)
        [given] = session.run(None, {"image": image})
        assert (given.argmax(1) == expected).mean() > 0.95


@pytest.mark.parametrize("number", [11, 17, 23])
def test_opset_stays_the_one_that_was_asked_for(tmp_path, photographs, number):
    share, _ = written(Bright(), tmp_path / "int8.onnx", photographs, opset=number)
    assert share > 0.97
    content = onnx.load(tmp_path / "int8.onnx")
    assert next(entry.version for entry in content.opset_import if not entry.domain) == number
