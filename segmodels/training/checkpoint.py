"""Writing trained weights, the same bytes for the same values."""

from io import BytesIO
from pathlib import Path

import torch
from torch import nn

from segmodels.files import write_bytes


def save_weights(model: nn.Module, path: Path) -> None:
    """Save the state dict, on the CPU and in contiguous layout.

    `torch.save` writes the file's name into the archive, so it saves to memory first.
    """
    state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    content = BytesIO()
    torch.save(state, content)
    write_bytes(path, content.getvalue())
