"""Files of weights, read again by the safetensors package."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from helpers.packing import CARD, pack
from safetensors import safe_open

from segmodels.core import packed
from segmodels.inference import from_file, predictor


def test_safetensors_reads_the_file_and_its_card(tmp_path):
    path, model = pack(tmp_path / "tiny.safetensors")
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["segmodels"]) == asdict(CARD)
        state = {k: v for k, v in model.state_dict().items() if "num_batches" not in k}
        assert set(file.keys()) == set(state)
        for name, tensor in state.items():
            assert torch.equal(file.get_tensor(name), tensor.half()), name
    assert packed.read_card(path) == CARD


def test_the_same_model_gives_the_same_bytes(tmp_path):
    first, model = pack(tmp_path / "a.safetensors")
    turned = dict(reversed(list(model.state_dict().items())))
    packed.write(tmp_path / "b.safetensors", CARD, turned)
    assert first.read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_values_beyond_float16_are_refused(tmp_path):
    with pytest.raises(ValueError, match="big: has values beyond those of float16"):
        packed.write(tmp_path / "a.safetensors", CARD, {"big": torch.tensor([70000.0])})


def test_loaded_weights_are_the_models_in_float16(tmp_path):
    path, model = pack(tmp_path / "tiny.safetensors")
    image = torch.randint(0, 256, (1, 3, 64, 80), dtype=torch.uint8)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    normal = (image / 255 - 0.5) / 0.25
    with torch.no_grad():
        expected = model.eval()(normal)["out"]
    loaded = from_file.load(path, "cpu")
    network = predictor.placed(loaded.network, "fp32", "cpu")
    torch.testing.assert_close(network(image), expected, rtol=1e-4, atol=1e-4)


def damaged(path, change):
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    begin = json.dumps(header).encode()
    path.write_bytes(len(begin).to_bytes(8, "little") + begin + content[8 + length :])


def card_with(**changes):
    def change(header):
        values = json.loads(header["__metadata__"]["segmodels"]) | changes
        header["__metadata__"]["segmodels"] = json.dumps(values)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda header: header.pop("__metadata__"), "no card of segmodels in it"),
        (card_with(more=1), "its card has other fields than"),
        (card_with(classes="cat"), "its card: classes is 'cat', expected list"),
        (card_with(classes=["cat"] * 3), "its card: 3 classes and 5 colours"),
        (card_with(classes=[1, 2, 3, 4, 5]), "its card: classes are no texts"),
        (card_with(palette=[[0, 0]] * 5), "its card: palette has"),
        (card_with(arch="os"), "arch = 'os': expected one of"),
        (card_with(arguments={"width": -1}), "its card: width: Input should be greater than 0"),
        (card_with(arguments={"width": 4}), "its tensors are not those of its card, as"),
        (card_with(normalize={"mean": 1}), "its card: "),
        (card_with(predict={"scales": []}), "its card: "),
        (
            lambda header: header.update(more=header.pop("classifier.bias")),
            "not those of its card, as",
        ),
    ],
)
def test_a_file_that_is_damaged_or_of_anyone_is_one_line(tmp_path, change, reason):
    path, _ = pack(tmp_path / "tiny.safetensors")
    damaged(path, change)
    with pytest.raises(ValueError, match=reason) as error:
        from_file.load(path, "cpu")
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"text", b"{}" * 50])
def test_what_is_no_safetensors_file_is_one_line(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no card of segmodels in it"):
        packed.read_card(path)
    path, _ = pack(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="damaged"):
        packed.read_tensors(path)


def test_not_finite_values_are_refused(tmp_path):
    path, model = pack(tmp_path / "a.safetensors")
    content = bytearray(path.read_bytes())
    content[-2:] = np.float16(np.nan).tobytes()
    path.write_bytes(content)
    with pytest.raises(ValueError, match="has values that are not finite"):
        packed.read_tensors(path)


def test_names_are_those_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "FOLDER", tmp_path)
    pack(tmp_path / "tiny.safetensors")
    assert packed.names() == ["tiny"]
    assert packed.find("tiny") == tmp_path / "tiny.safetensors"
    assert packed.find("other") is None and packed.find("../tiny") is None
    with pytest.raises(ValueError, match="models that come along: tiny"):
        packed.read_card(tmp_path / "other.safetensors")
