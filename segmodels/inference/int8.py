"""An ONNX file in 8-bit integers: onnxruntime's static quantisation, calibrated on photographs.

Activations are uint8 with a scale for each tensor, weights int8 with one for each output channel.
Weights take 7 of the 8 bits: x86 CPUs without VNNI add products of bytes in 16 bits, which overflow
otherwise, on the CPU that exports or on another one. What follows the last convolution (the
enlargement of the logits, softmax, argmax) stays in float32, and so do input and output, whose form
is that of the float file. The file has onnxruntime's own quantised operators, which are faster here
than pairs of QuantizeLinear and DequantizeLinear; other runtimes cannot read them. See
benchmarks/README.md.
Source: onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from segmodels.config.schema import Normalize
from segmodels.core.files import write_bytes
from segmodels.data.transforms import resize_image, seen_size
from segmodels.inference import export, photos
from segmodels.inference.export import Deployed, Form

FEWEST, MOST = 20, 80  # photographs that are used
EACH = 5  # one of so many is compared with PyTorch, the others calibrate
AGREEING = 0.9  # smallest share of the compared ones' pixels with the same label
COMPUTING = {"Conv", "ConvTranspose", "MatMul", "Gemm"}  # operators that take the time


def to_int8(
    model: nn.Module,
    path: Path,
    photographs: Sequence[Path],
    *,
    long_side: int,
    normalization: Normalize,
    classes: Sequence[str],
    form: Form = Form(),  # noqa: B008 (frozen)
    facts: Mapping[str, str] = MappingProxyType({}),
) -> float:
    """Export a model as `export.to_onnx` does, quantise it, compare labels, and write it.

    Args:
        photographs: FEWEST or more; of more than MOST some, evenly spaced.
        long_side: pixels, to which photographs are scaled where the form has no size.
    Returns:
        share of the compared photographs' pixels that have PyTorch's label.
    Raises:
        ValueError: as `to_onnx`; photographs are too few or unreadable; too few labels agree.
    """
    deployed = Deployed(model, normalization, form.output).eval()
    content, _ = export.checked(deployed, form)
    calibrating, compared = _divided(photographs)
    content = _quantized(content, (_seen(file, form, long_side) for file in calibrating))
    share = _agreement(deployed, content, (_seen(file, form, long_side) for file in compared))
    if share < AGREEING:
        raise ValueError(
            f"in int8 {share:.1%} of labels are PyTorch's, expected {AGREEING:.0%}: calibrate on "
            "photographs like those it was trained on, or export without --int8"
        )
    facts = export.metadata(form, normalization, classes) | {"precision": "int8", **facts}
    write_bytes(path, export.described(content, facts))
    return share


def _divided(photographs: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Photographs that calibrate, and others on which labels are compared."""
    if len(photographs) < FEWEST:
        found = len(photographs)
        raise ValueError(f"{found} photographs to calibrate on, expected {FEWEST} or more")
    count = min(len(photographs), MOST)
    places = np.linspace(0, len(photographs) - 1, count).round().astype(int)
    chosen = [photographs[place] for place in places]
    compared = chosen[::EACH]
    return [file for file in chosen if file not in compared], compared


def _seen(file: Path, form: Form, long_side: int) -> np.ndarray:
    """A photograph as the model gets it: (1, 3, h, w) float32."""
    image = photos.read(file)
    height, width = image.shape[:2]
    size = form.size or seen_size(height, width, long_side)
    return resize_image(image, size).transpose(2, 0, 1)[None].astype(np.float32)


def _quantized(content: bytes, images: Iterable[np.ndarray]) -> bytes:
    """The ONNX file in 8-bit integers."""
    import onnx
    from onnxruntime import quantization

    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime's advice to itself
    with TemporaryDirectory() as folder:
        whole, plain, result = (Path(folder, name) for name in ("whole", "plain", "int8"))
        whole.write_bytes(content)
        quantization.quant_pre_process(whole, plain, skip_symbolic_shape=True)
        quantization.quantize_static(
            plain,
            result,
            _Reader(images),
            quant_format=quantization.QuantFormat.QOperator,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,  # 7 bits
            nodes_to_exclude=_last(onnx.load(plain).graph),
        )
        return result.read_bytes()


class _Reader:
    """Images one by one, as onnxruntime asks for them."""

    def __init__(self, images: Iterable[np.ndarray]) -> None:
        self.rest: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self.rest, None)
        return None if image is None else {"image": image}


def _last(graph: Any) -> list[str]:
    """Names of the nodes from which no path leads to an operator of COMPUTING."""
    before = dict[str, Any]()  # a tensor's name -> the node that it comes from
    for node in graph.node:
        before |= dict.fromkeys(node.output, node)
    waiting = [node for node in graph.node if node.op_type in COMPUTING]
    needed = {node.name for node in waiting}
    while waiting:
        for tensor in waiting.pop().input:
            node = before.get(tensor)
            if node is not None and node.name not in needed:
                needed.add(node.name)
                waiting.append(node)
    return [node.name for node in graph.node if node.name not in needed]


def _agreement(deployed: Deployed, content: bytes, images: Iterable[np.ndarray]) -> float:
    """Share of the images' pixels with PyTorch's label."""
    session = export.runtime(content)
    same = total = 0
    for image in images:
        with torch.inference_mode():
            expected = _labels(deployed(torch.from_numpy(image)).numpy())
        labels = _labels(session.run(None, {"image": image})[0])
        same += int((labels == expected).sum())
        total += expected.size
    return same / total


def _labels(output: np.ndarray) -> np.ndarray:
    """(N, H, W) of logits, of probabilities, or of labels."""
    return output.argmax(1) if output.ndim == 4 else output
