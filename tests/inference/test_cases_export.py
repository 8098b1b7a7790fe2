"""ONNX files for other runtimes: a fixed size, another opset, labels or probabilities."""

import json

import numpy as np
import pytest
import torch
from test_export import NORMALIZE, Constant, Pointwise, Wrong, trained

from segmodels import cli
from segmodels.inference import export
from segmodels.inference.export import Form

onnx = pytest.importorskip("onnx", reason="needs the extra: pip install -e '.[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra: pip install -e '.[onnx]'")
pytest.importorskip("onnxscript", reason="needs the extra: pip install -e '.[onnx]'")

CLASSES = ["background", "cät"]
SKIP = ("fcn_skip", {"backbone": "resnet18", "stride": 8})


def written(model, path, **form):
    """The file's session and content."""
    export.to_onnx(model, path, normalization=NORMALIZE, classes=CLASSES, form=Form(**form))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session, onnx.load(path)


def facts(content):
    return {entry.key: entry.value for entry in content.metadata_props}


def dims(value):
    """Sizes of an input or output, None where they are open."""
    sides = value.type.tensor_type.shape.dim
    return [None if side.dim_param else side.dim_value for side in sides]


def opset(content):
    return next(entry.version for entry in content.opset_import if entry.domain in ("", "ai.onnx"))


def image(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)


def logits(model, pixels):
    with torch.inference_mode():
        return export.Deployed(model, NORMALIZE).eval()(torch.from_numpy(pixels)).numpy()


@pytest.mark.parametrize("number", [None, 11, 17])
def test_fixed_size_is_in_the_file_and_gives_pytorchs_logits(tmp_path, number):
    model = trained(*SKIP)
    session, content = written(model, tmp_path / "a.onnx", size=(64, 97), opset=number)
    onnx.checker.check_model(content, full_check=True)
    assert dims(content.graph.input[0]) == [None, 3, 64, 97]
    assert facts(content)["size"] == "64x97" and facts(content)["output"] == "logits"
    assert json.loads(facts(content)["classes"]) == CLASSES
    pixels = image(3, 3, 64, 97)
    expected = logits(model, pixels)
    [given] = session.run(["logits"], {"image": pixels})
    np.testing.assert_allclose(given, expected, atol=1e-3 * max(1, np.abs(expected).max()))
    with pytest.raises(Exception, match="(?i)invalid dimensions"):
        session.run(None, {"image": image(1, 3, 64, 98)})


@pytest.mark.parametrize("number", [11, 13, 17, 18, 20, 23])
@pytest.mark.parametrize("output", export.OUTPUTS)
def test_opset_is_the_one_that_was_asked_for(tmp_path, number, output):
    session, content = written(Pointwise(), tmp_path / "a.onnx", opset=number, output=output)
    assert opset(content) == number and facts(content)["size"] == "any"
    assert dims(content.graph.input[0]) == [None, 3, None, None]
    [value] = session.get_outputs()
    assert value.name == output == facts(content)["output"]
    [given] = session.run(None, {"image": image(3, 3, 40, 33)})
    assert given.shape == ((3, 40, 33) if output == "labels" else (3, 2, 40, 33))


def test_probabilities_and_labels_are_those_of_the_logits(tmp_path):
    model, pixels = trained(*SKIP), image(2, 3, 50, 70)
    expected = torch.from_numpy(logits(model, pixels))
    session, _ = written(model, tmp_path / "p.onnx", output="probabilities")
    [given] = session.run(None, {"image": pixels})
    np.testing.assert_allclose(given.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(given, expected.softmax(1).numpy(), atol=1e-4)
    session, _ = written(model, tmp_path / "l.onnx", output="labels", size=(50, 70))
    [given] = session.run(None, {"image": pixels})
    assert given.dtype == np.uint8
    assert (given == expected.argmax(1).numpy()).mean() > 0.999


class Flipped(Pointwise):
    """Gives other classes than when it was exported."""

    def forward(self, image):
        found = super().forward(image)["out"]
        return {"out": found if torch.compiler.is_exporting() else -found}


@pytest.mark.parametrize(
    ("model", "form", "reason"),
    [
        (Wrong(), {"size": (32, 48)}, r"differs at \(1, 3, 32, 48\): logits by 0.1"),
        (Flipped(), {"output": "labels"}, r"differs at \(1, 3, 32, 47\): labels on \d"),
        (Flipped(), {"output": "probabilities"}, "probabilities by"),
        (
            Constant(),
            {"opset": 11},
            "opset 11 .11 to 23 are possible; 18 or more may work, or a fixed",
        ),
    ],
)
def test_file_that_differs_is_refused_and_not_written(tmp_path, model, form, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        written(model, tmp_path / "a.onnx", **form)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_operator_that_an_opset_lacks_is_one_line_with_another_one(tmp_path, capfd):
    model = trained("segnet", {"width": 4, "upsampling": "unpool"})
    with pytest.raises(ValueError, match="of opset 11 .*18 or more may work.*unflatten") as caught:
        written(model, tmp_path / "a.onnx", opset=11)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    out, err = capfd.readouterr()
    assert "graph" not in out + err


@pytest.mark.parametrize("number", [16, 17])
def test_exporter_of_newer_opsets_is_tried_first(tmp_path, number):
    model = trained("segnet", {"width": 4, "upsampling": "unpool"})  # its predecessor cannot
    _, content = written(model, tmp_path / "a.onnx", opset=number)
    assert opset(content) == number and dims(content.graph.input[0]) == [None, 3, None, None]


def test_old_opset_that_needs_a_fixed_size_says_so(tmp_path):
    model = trained("unet", {"width": 2})
    with pytest.raises(ValueError, match="18 or more may work, or a fixed --size"):
        written(model, tmp_path / "a.onnx", opset=11)
    written(model, tmp_path / "a.onnx", opset=11, size=(40, 56))


def test_model_of_a_constant_size_passes_at_that_size(tmp_path):
    _, content = written(Constant(), tmp_path / "a.onnx", size=(32, 40))
    assert dims(content.graph.output[0]) == [None, 2, 32, 60]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--size", "512"], "'512': expected HxW, height and width of 32 to 8192 pixels, e.g. 384"),
        (["--size", "31x64"], "'31x64': expected HxW"),
        (["--size", "0x0"], "'0x0': expected HxW"),
        (["--size", "64x64x3"], "'64x64x3': expected HxW"),
        (["--size", "axb"], "'axb': expected HxW"),
        (["--size=-64x64"], "'-64x64': expected HxW"),
        (["--size", "99999x99999"], "'99999x99999': expected HxW"),
        (["--opset", "10"], "'10': expected a number from 11 to 23"),
        (["--opset", "twelve"], "'twelve': expected a number from 11 to 23"),
        (["--output", "mask"], "invalid choice: 'mask' (choose from"),
    ],
)
def test_wrong_options_have_status_2_and_name_the_value(capsys, arguments, reason):
    with pytest.raises(SystemExit) as end:
        cli.main(["export", "m", "--onnx", "m.onnx", *arguments])
    assert end.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("segmodels export: error: argument --") and reason in last
