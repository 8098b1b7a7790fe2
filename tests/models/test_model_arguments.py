"""The builders' arguments, as params.yaml gives them, and how a model is found by its name."""

import pytest
import torch

from segmodels import models

GOOD = [
    ("fcn", {}),
    ("fcn", {"backbone": "resnet18", "output_stride": 32}),
    ("fcn", {"backbone": "timm/tf_efficientnet_lite0", "output_stride": 16}),
    ("deeplabv3", {"atrous_rates": [6, 12, 18], "output_stride": 16, "multi_grid": [1, 2, 4]}),
    ("segnet", {"width": 4, "upsampling": "transposed"}),
    ("fcn_skip", {"stride": 8}),
    ("unet", {"width": 4}),
]


@pytest.mark.parametrize(
    ("arch", "arguments", "message"),
    [
        ("fnc", {}, "models.x.arch = 'fnc': expected one of deeplabv1, deeplabv2, deeplabv3, "),
        ("layers", {}, "models.x.arch = 'layers': expected one of deeplabv1, deep"),
        ("unet", {"widht": 64}, "models.x.widht: unknown argument, unet takes width"),
        ("unet", {"num_classes": 5}, "models.x.num_classes: unknown argument"),
        ("unet", {"width": "64"}, "models.x.width = '64': input should be a valid integer"),
        ("fcn", {"backbone": "resnet99"}, "models.x.backbone = 'resnet99': expected one of resnet"),
        ("fcn", {"backbone": "timm/nosuch"}, "models.x.backbone = 'timm/nosuch': "),
        ("segnet", {"backbone": "resnet50"}, "models.x.backbone = 'resnet50': input should be 'vg"),
        ("segnet", {"upsampling": "nearest"}, "models.x.upsampling = 'nearest': input should be "),
        ("fcn", {"aux": "yes"}, "models.x.aux = 'yes': input should be a valid boolean"),
        ("fcn_skip", {"stride": 4}, "models.x.stride = 4: input should be 8, 16 or 32"),
        ("deeplabv3", {"atrous_rates": [6, 0]}, "models.x.atrous_rates.1 = 0: input should be gre"),
    ],
)
def test_bad_argument_is_one_line_with_key_value_and_what_is_allowed(arch, arguments, message):
    with pytest.raises(ValueError) as caught:
        models.check_arguments("x", arch, arguments)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_two_bad_values_are_two_lines():
    with pytest.raises(ValueError, match=r"^models.x.backbone = 3: .*\nmodels.x.stride = 4: .*$"):
        models.check_arguments("x", "fcn_skip", {"stride": 4, "backbone": 3})


@pytest.mark.parametrize(("arch", "arguments"), GOOD)
def test_good_arguments_pass_and_leave_the_random_numbers_alone(arch, arguments):
    before = torch.get_rng_state()
    models.check_arguments("x", arch, arguments)
    assert torch.equal(torch.get_rng_state(), before)


def test_files_with_a_function_of_their_name_are_models_and_helpers_are_none():
    known = set(models.available())
    assert {"fcn", "fcn_skip", "unet", "deeplabv3"} <= known
    assert not {"layers", "heads", "backbones", "resnet", "network"} & known


def test_new_file_is_a_model_and_a_broken_neighbour_does_not_matter(tmp_path, monkeypatch):
    known = models.available()
    (tmp_path / "mine.py").write_text(
        "from torch import nn\ndef mine(*, num_classes, depth=1):\n"
        "    return nn.Conv2d(3, num_classes, depth)\n"
    )
    (tmp_path / "broken.py").write_text("raise RuntimeError\n")
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    assert models.build("mine", num_classes=7, depth=3).weight.shape == (7, 3, 3, 3)
    with pytest.raises(ValueError, match="deepth: unknown argument, mine takes depth"):
        models.check_arguments("x", "mine", {"deepth": 3})
    (tmp_path / "broken.py").unlink()
    assert set(models.available()) == {*known, "mine"}
