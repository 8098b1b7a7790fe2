"""Weights of other programs: prefixes before the names, other keys, other formats."""

import collections
import hashlib
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from segmodels import models
from segmodels.models import pretrained

FCN = {"arch": "fcn_skip", "arguments": {"backbone": "resnet18", "stride": 8}}


def built(seed):
    torch.manual_seed(seed)
    return models.build("fcn_skip", num_classes=3, **FCN["arguments"])


@pytest.fixture(scope="module")
def trained():
    return built(0).state_dict()


def before(prefix, state):
    return collections.OrderedDict((prefix + name, tensor) for name, tensor in state.items())


def backbone(state):
    """The backbone alone, under torchvision's names."""
    return {n.removeprefix("backbone."): t for n, t in state.items() if n.startswith("backbone.")}


def started(path, content):
    if content is not None:
        torch.save(content, path)
    model = built(1)
    return model, pretrained.start(model, **FCN, init=str(path))


def refusal(path, content=None):
    """The line with which a file is refused, without the file's own name."""
    with pytest.raises(ValueError) as caught:
        started(path, content)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


def equal(model, trained, names):
    return all(torch.equal(model.state_dict()[name], trained[name]) for name in names)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "net.", "module.model.", "a.very.own.wrapper."]
)
def test_prefix_of_a_wrapper_is_removed_and_said(tmp_path, trained, prefix):
    model, coverage = started(tmp_path / "wrapped.pth", before(prefix, trained))
    assert equal(model, trained, coverage["loaded"])
    assert coverage["missing"] == coverage["unexpected"] == coverage["wrong_shape"] == []
    assert coverage["prefix"] == prefix
    assert pretrained.summary(coverage) == (
        f'file (wrapped.pth): 106 of 106 tensors loaded; without "{prefix}"'
    )


KEYED = {
    "model_state": lambda state: {"model_state": state, "best_score": np.float64(0.5)},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer_state_dict": {}},
    "net": lambda state: {"net": state, "acc": 93.1, "epoch": 7},
    "nested": lambda state: {"checkpoint": {"network": {"weights": state}}},
    "an own key": lambda state: {"mine": state, "losses": {"train": torch.tensor(0.3)}},
    "numpy's arrays beside": lambda state: {"params": state, "iou": np.zeros(3, np.float32)},
    "numbers among the tensors": lambda state: {**state, "epoch": 3},
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", KEYED.values(), ids=KEYED)
def test_state_dict_is_found_under_any_key(tmp_path, trained, wrap, legacy):
    path = tmp_path / "keyed.pth"
    torch.save(wrap(trained), path, _use_new_zipfile_serialization=not legacy)
    model, coverage = started(path, None)
    assert equal(model, trained, coverage["loaded"]) and len(coverage["loaded"]) == 106
    assert not {"prefix", "key", "no_numbers"} & set(coverage)
    assert coverage["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_checkpoint_of_lightning_names_what_is_in_the_file_only(tmp_path, trained):
    state = {**before("model.", trained), "criterion.weight": torch.ones(3)}
    content = {"state_dict": state, "epoch": 1, "global_step": 10}
    _, coverage = started(tmp_path / "last.ckpt", content)
    assert coverage["unexpected"] == ["criterion.weight"] and coverage["prefix"] == "model."
    assert pretrained.summary(coverage) == (
        "file (last.ckpt): 106 of 106 tensors loaded; in the file only: criterion 1; "
        'without "model."'
    )


def test_old_checkpoint_of_imagenet_starts_the_backbone(tmp_path, trained):
    classifier = backbone(trained) | {"fc.weight": torch.ones(9, 512), "fc.bias": torch.ones(9)}
    content = {"arch": "resnet18", "state_dict": before("module.", classifier), "epoch": 90}
    content["best_prec1"] = torch.tensor(70.0)
    model, coverage = started(tmp_path / "checkpoint.pth.tar", content)
    assert len(coverage["loaded"]) == 100 and equal(model, trained, coverage["loaded"])
    assert coverage["unexpected"] == ["module.fc.weight", "module.fc.bias"]
    assert pretrained.summary(coverage).endswith('in the file only: fc 2; without "module."')


@pytest.mark.parametrize("prefix", ["encoder.", "model.encoder.", "backbone.0.body."])
def test_encoder_of_another_model_starts_the_backbone(tmp_path, trained, prefix):
    state = before(prefix, backbone(trained)) | {"decoder.conv.weight": torch.ones(2, 2)}
    model, coverage = started(tmp_path / "encoder.pth", state)
    assert {name.split(".")[0] for name in coverage["loaded"]} == {"backbone"}
    assert len(coverage["loaded"]) == 100 and equal(model, trained, coverage["loaded"])
    assert (coverage["prefix"], coverage["unexpected"]) == (prefix, ["decoder.conv.weight"])


def test_other_number_of_classes_behind_a_prefix_is_named_by_shape(tmp_path):
    other = models.build("fcn_skip", num_classes=21, **FCN["arguments"]).state_dict()
    _, coverage = started(tmp_path / "voc.pth", before("module.", other))
    assert {entry["name"].split(".")[0] for entry in coverage["wrong_shape"]} == {
        "classifier",
        "skips",
    }
    assert len(coverage["loaded"]) == 100 and coverage["missing"] == []


def test_tensors_that_are_no_weights_do_not_refuse_a_file(tmp_path, trained):
    extra = {"mask": torch.ones(2, dtype=torch.bool), "bytes": torch.ones(2, dtype=torch.uint8)}
    extra |= {"ids": torch.ones(2, dtype=torch.int32), "z": torch.ones(2) * 1j}
    extra |= {"attention": torch.tensor([-float("inf")])}
    _, coverage = started(tmp_path / "buffers.pth", {**trained, **extra})
    assert len(coverage["loaded"]) == 106 and coverage["unexpected"] == ["attention"]
    assert coverage["no_numbers"] == ["mask", "bytes", "ids", "z"]
    name = "backbone.conv1.weight"
    whole = trained[name].to(torch.int8)
    _, coverage = started(tmp_path / "quantised.pth", {**trained, name: whole})
    assert coverage["missing"] == coverage["no_numbers"] == [name]


def test_weights_that_are_not_finite_are_refused_behind_a_prefix_too(tmp_path, trained):
    name = "backbone.conv1.weight"
    state = before("module.", {**trained, name: trained[name] * float("nan")})
    assert refusal(tmp_path / "nan.pth", state) == f"module.{name}: has values that are not finite"


def test_what_fits_in_two_ways_is_refused(tmp_path, trained):
    other = built(2).state_dict()
    pair = before("student.", trained) | before("teacher.", other)
    assert refusal(tmp_path / "pair.pth", pair).startswith(
        'its names fit equally without "student." and without "teacher.": expected one model'
    )
    message = refusal(tmp_path / "keys.pth", {"student": trained, "teacher": other})
    assert message.startswith('"student" and "teacher" in it fit equally: expected one model')


def test_model_is_taken_before_its_average_and_both_are_named(tmp_path, trained):
    model, coverage = started(tmp_path / "a.pth", {"ema": built(2).state_dict(), "model": trained})
    assert equal(model, trained, coverage["loaded"])
    assert (coverage["key"], coverage["other_keys"]) == ("model", ["ema"])
    assert pretrained.summary(coverage).endswith('; from "model", not "ema"')


def test_block_with_names_like_a_models_is_not_taken_for_one(tmp_path):
    block = {"bn1.weight": torch.ones(64), "bn1.bias": torch.ones(64), "conv1.bias": torch.ones(64)}
    state = before("blocks.3.", block) | {"head.weight": torch.ones(4), "stem.bias": torch.ones(4)}
    message = refusal(tmp_path / "vit.pth", state)
    assert "it has blocks.3.bn1.weight (64), the model backbone.bn1.weight (64)" in message


def test_nothing_that_fits_shows_a_name_of_either_side(tmp_path):
    message = refusal(tmp_path / "other.pth", {"stem.weight": torch.ones(3, 4)})
    assert message == (
        "none of its 1 tensors fits fcn_skip {'backbone': 'resnet18', 'stride': 8}: it has "
        "stem.weight (3 x 4), the model backbone.conv1.weight (64 x 3 x 7 x 7); expected names of "
        "this model or of its backbone: rename them and save them again"
    )
    narrow = {"module.classifier.weight": torch.ones(3, 5, 1, 1)}
    message = refusal(tmp_path / "narrow.pth", narrow)
    assert (
        "module.classifier.weight (3 x 5 x 1 x 1), the model classifier.weight (3 x 51" in message
    )
    assert message.endswith("give the model the arguments and classes with which they were trained")


def test_safetensors_are_read_and_a_damaged_one_is_a_line(tmp_path, trained):
    save_file = pytest.importorskip("safetensors.torch").save_file
    path = tmp_path / "model.safetensors"
    save_file({name: tensor.clone() for name, tensor in before("model.", trained).items()}, path)
    model, coverage = started(path, None)
    assert equal(model, trained, coverage["loaded"]) and coverage["prefix"] == "model."
    path.write_bytes(path.read_bytes()[:-1000])
    assert refusal(path).startswith("damaged safetensors file (")


def keras(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"\x89HDF")


def beginning(content):
    return lambda path: path.write_bytes(content + bytes(99))


OTHERS = {
    "model.h5": (beginning(b"\x89HDF\r\n\x1a\n"), "an HDF5 file (Keras)"),
    "model.keras": (keras, "a Keras model"),
    "model.onnx": (beginning(b"\x08\x08\x12\x07pytorch"), "an ONNX model"),
    "model.pb": (beginning(b"\x0a"), "a graph of TensorFlow"),
    "model.tflite": (beginning(b"\x1c\0\0\0TFL3"), "a model of TensorFlow Lite"),
    "weights.npz": (lambda path: np.savez(path, a=np.zeros(3)), "arrays of numpy"),
    "page.pth": (beginning(b"<!DOCTYPE html>"), "HTML or XML, a web page in place of the file"),
    "lfs.pth": (beginning(b"version https://git-lfs.github.com/spec/v1\n"), "a pointer of Git LFS"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_format_is_named_with_what_to_save(tmp_path, name):
    write, kind = OTHERS[name]
    write(tmp_path / name)
    message = refusal(tmp_path / name)
    assert message.startswith(kind)
    assert message.endswith(
        'expected a state dict of PyTorch, from torch.save(model.state_dict(), "weights.pth")'
    )


def test_whole_module_and_other_content_say_what_to_save(tmp_path, trained):
    save = 'save it there with torch.save(model.state_dict(), "weights.pth") and name that file'
    message = refusal(tmp_path / "module.pth", nn.Conv2d(1, 1, 1))
    assert "it asks for torch.nn.modules.conv.Conv2d" in message and message.endswith(save)
    message = refusal(tmp_path / "optimizer.pth", {"optimizer": {"lr": 1}, "epoch": 2})
    assert "found a dict of optimizer, epoch" in message and message.endswith(save)


def test_own_weights_stay_strict(tmp_path, trained):
    path = tmp_path / "weights.pt"
    for content, reason in (
        (before("module.", trained), "of another model or other classes"),
        ({**trained, "mask": torch.ones(2, dtype=torch.bool)}, "expected plain numbers"),
        ({"model_state": trained}, "expected a state dict"),
    ):
        torch.save(content, path)
        with pytest.raises(ValueError, match=reason):
            pretrained.fill(built(1), pretrained.safe_load.read(path), path)
