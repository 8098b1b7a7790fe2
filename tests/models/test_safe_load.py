"""Files as starting weights: whole, wrapped, damaged, foreign, and such as would run code."""

import argparse
import hashlib
import json
import os
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from segmodels import models
from segmodels.models import pretrained

UNET = {"arch": "unet", "arguments": {"width": 2}}


def started(init, *, arch, arguments):
    torch.manual_seed(1)
    model = models.build(arch, num_classes=21, **arguments)
    return model, pretrained.start(model, arch=arch, arguments=arguments, init=str(init))


def wrap_as_reference_script(state):
    return {"model": state, "epoch": 29, "args": argparse.Namespace(lr=0.01), "optimizer": {}}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrap", [dict, wrap_as_reference_script, lambda state: {"state_dict": state}]
)
def test_file_starts_a_model(tmp_path, wrap, legacy):
    torch.manual_seed(0)
    trained = models.build("unet", num_classes=21, width=2).state_dict()
    file = tmp_path / "my weights.pth"
    torch.save(wrap(trained), file, _use_new_zipfile_serialization=not legacy)
    model, coverage = started(file, **UNET)
    assert all(torch.equal(tensor, trained[name]) for name, tensor in model.state_dict().items())
    assert coverage["loaded"] == [n for n in trained if not n.endswith("num_batches_tracked")]
    assert (coverage["init"], coverage["file"]) == ("file", "my weights.pth")
    assert coverage["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert str(tmp_path) not in json.dumps(coverage)


class Payload:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_file_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    state = {"classifier.weight": Payload(f"touch '{tmp_path}/ran'")}
    torch.save(state, tmp_path / "zip.pth")
    torch.save(state, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(state, protocol=2))
    for name in ("zip.pth", "legacy.pth", "plain.pth"):
        with pytest.raises(ValueError, match=rf"{name}: refused, it asks for \w+.system; expect"):
            started(tmp_path / name, **UNET)
    assert not (tmp_path / "ran").exists()
    pickle.loads((tmp_path / "plain.pth").read_bytes())  # the payload is a live one
    assert (tmp_path / "ran").exists()


def truncated(path, state, legacy):
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[:-1000])


def saved(content):
    return lambda path, state: torch.save(content(state), path)


UNFIT = {
    "cut off": partial(truncated, legacy=False),
    "cut off, legacy": partial(truncated, legacy=True),
    "empty": lambda path, state: path.write_bytes(b""),
    "text": lambda path, state: path.write_text("classifier.weight: 0\n"),
    "picture": lambda path, state: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(999)),
    "list": saved(lambda state: list(state.values())),
    "tensor": saved(lambda state: state["classifier.weight"]),
    "number": saved(lambda state: {"epoch": 3}),
    "numbered tensors": saved(lambda state: dict(enumerate(state.values()))),
    "module": saved(lambda state: nn.Conv2d(1, 1, 1)),
    "no tensor": saved(lambda state: {}),
    "another model": saved(lambda state: {"other": torch.zeros(3)}),
}


@pytest.mark.parametrize("write", UNFIT.values(), ids=UNFIT)
def test_unfit_file_is_one_line_that_names_it(tmp_path, write):
    path = tmp_path / "unfit.pth"
    write(path, models.build("unet", num_classes=3, width=2).state_dict())
    with pytest.raises(ValueError) as caught:
        started(path, **UNET)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_init_that_is_no_file_names_what_is_allowed(tmp_path):
    allowed = "init = 'imagnet': expected none, imagenet, coco, a model"
    with pytest.raises(ValueError, match=allowed):
        pretrained.source(**UNET, init="imagnet")
    with pytest.raises(ValueError, match="expected none, imagenet, coco, a model that"):
        pretrained.source(**UNET, init=str(tmp_path))
