"""A model as an ONNX file that holds all that stands between a picture and its logits.

Input "image": (N, 3, H, W) float32, RGB in 0..255, any N and any H, W >= 32; the normalisation is
inside. Output "logits": (N, C, H, W) float32. The names of the classes are in the file's metadata,
as a JSON list under "classes". Nothing is written before onnxruntime has given PyTorch's logits at
three sizes that differ in batch, parity and shape, one of them the smallest, since an exporter may
take a size for a constant without a word.
"""

import importlib.util
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segmodels.files import write_bytes
from segmodels.sections import Normalize

NEEDED = ("onnx", "onnxruntime", "onnxscript")  # the optional extra "onnx"
TRACED = (2, 3, 97, 130)  # not checked again: a constant in it would be found
CHECKED = ((1, 3, 32, 47), (2, 3, 127, 97), (1, 3, 187, 250))
TOLERANCE = 1e-3  # of the largest logit, or of 1 where that is larger
AGREEING = 0.999  # smallest share of pixels with the same label


class Deployed(nn.Module):
    """A model with its normalisation: RGB in 0..255 -> logits."""

    def __init__(self, model: nn.Module, normalization: Normalize) -> None:
        super().__init__()
        self.model = model
        self.shift: Tensor
        self.spread: Tensor
        for name, values in (("shift", normalization.mean), ("spread", normalization.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1) * 255)

    def forward(self, image: Tensor) -> Tensor:
        return self.model((image - self.shift) / self.spread)["out"]


def to_onnx(
    model: nn.Module, path: Path, *, normalization: Normalize, classes: Sequence[str]
) -> float:
    """Export a model, check the result against it, and write it.

    Args:
        model: on the CPU, in float32; it is left in eval mode.
    Returns:
        the largest difference of a logit at the sizes that were checked.
    Raises:
        ValueError: packages are missing, the model cannot be exported, or the result differs.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"no {', '.join(missing)}: pip install -e '.[onnx]'")
    deployed = Deployed(model, normalization).eval()
    content = _exported(deployed, classes)
    difference = _checked(deployed, content)
    write_bytes(path, content)
    return difference


def _exported(deployed: nn.Module, classes: Sequence[str]) -> bytes:
    """The ONNX file's content."""
    dynamic = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(  # None with dynamo=False only
                deployed,
                (torch.zeros(TRACED),),
                dynamo=True,
                dynamic_shapes={"image": dynamic},
                input_names=["image"],
                output_names=["logits"],
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError, ValueError) as error:
        raise ValueError(f"cannot be exported to ONNX: {_reason(error)}") from None
    program.model.metadata_props["classes"] = json.dumps(list(classes), ensure_ascii=False)
    return program.model_proto.SerializeToString()


def _checked(deployed: nn.Module, content: bytes) -> float:
    """The largest difference between onnxruntime's logits and PyTorch's; too large raises."""
    session = _session(content)
    generator = torch.Generator().manual_seed(0)
    differences = []
    for shape in CHECKED:
        image = torch.randint(0, 256, shape, generator=generator).float()
        with torch.inference_mode():
            expected = deployed(image)
        try:
            given = torch.from_numpy(session.run(None, {"image": image.numpy()})[0])
        except Exception as error:  # onnxruntime's own classes have no public name
            raise ValueError(f"ONNX fails at {shape}: {_reason(error)}") from None
        if given.shape != expected.shape:
            raise ValueError(
                f"ONNX gives {tuple(given.shape)} at {shape}, expected {tuple(expected.shape)}: "
                "something of the size it was exported at has become a constant"
            )
        difference = (given - expected).abs().max().item()
        agreeing = (given.argmax(1) == expected.argmax(1)).float().mean().item()
        if difference > TOLERANCE * max(1, expected.abs().max().item()) or agreeing < AGREEING:
            raise ValueError(
                f"ONNX differs at {shape}: logits by {difference:g}, labels on {1 - agreeing:.2%}"
            )
        differences.append(difference)
    return max(differences)


def _session(content: bytes) -> Any:
    """onnxruntime on the CPU, with PyTorch's number of threads; quiet."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _reason(error: BaseException) -> str:
    """The first line of what lies at the bottom of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
