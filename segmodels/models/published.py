"""What a download of torchvision's published weights will cost."""

from pathlib import Path

import torch

from segmodels import models
from segmodels.models.trained import published_names

MEGABYTES = {  # torchvision's own numbers
    "fcn_resnet50": 135,
    "fcn_resnet101": 208,
    "deeplabv3_resnet50": 161,
    "deeplabv3_resnet101": 233,
}


def download_notice(name: str) -> str | None:
    """How large the download of a model's weights will be, and where it goes.

    Args:
        name: torchvision's.
    Returns:
        a line for people; None: they are there.
    """
    arch, backbone = published_names()[name]
    url = models.coco_weights(arch)[backbone]
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if path.exists():
        return None
    size = f"{MEGABYTES[name]} MB" if name in MEGABYTES else "weights"
    return f"torchvision/{name}: downloading {size} from {url} to {path}"
