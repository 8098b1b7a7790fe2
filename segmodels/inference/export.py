"""A model as an ONNX file that holds all that stands between a picture and its logits.

Input "image": (N, 3, H, W) float32, RGB in 0..255, any N and any H, W >= 32, or one fixed H and W;
the normalisation is inside. Output, which has this name too: "logits" (N, C, H, W) float32,
"probabilities" (N, C, H, W) float32, their softmax, or "labels" (N, H, W) uint8, their argmax. The
file's metadata are texts: "classes", a JSON list of names; "normalize", JSON of the mean and std
that are inside; "input"; "output"; "size" ("any" or e.g. "512x512"); "precision"; and what the
caller adds. Nothing is written before onnxruntime has given PyTorch's output at three sizes that
differ in batch, parity and shape, one of them the smallest, or at the fixed size, since an exporter
may take a size for a constant without a word.
"""

import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from segmodels.config.schema import Normalize
from segmodels.core.files import write_bytes

NEEDED = ("onnx", "onnxruntime", "onnxscript")  # the optional extra "onnx"
TRACED = (2, 3, 97, 130)  # not checked again: a constant in it would be found
CHECKED = ((1, 3, 32, 47), (2, 3, 127, 97), (1, 3, 187, 250))
TOLERANCE = 1e-3  # of the largest logit, or of 1 where that is larger
AGREEING = 0.999  # smallest share of pixels with the same label
OUTPUTS = ("logits", "probabilities", "labels")
OPSETS = range(11, 24)  # of ONNX's operators
EXPORTED = 18  # the first opset of torch's exporter
LOWERED = 16  # the first that its files can be lowered to; older ones are left to its predecessor
SIDES = range(32, 8193)  # pixels of a fixed height or width
INPUT = "image: (N, 3, H, W) float32, RGB, 0 to 255; normalised inside"


@dataclass(frozen=True)
class Form:
    """What an ONNX file is to be; `size` is (height, width), or None for any."""

    size: tuple[int, int] | None = None
    opset: int | None = None  # None: torch's choice
    output: str = "logits"

    @property
    def checked(self) -> list[tuple[int, int, int, int]]:
        """Shapes of the images on which the file is compared with PyTorch."""
        if self.size is None:
            return list(CHECKED)
        return [(batch, 3, *self.size) for batch in (1, 2)]

    @property
    def sizes(self) -> list[str]:
        """Those images' heights and widths, for people."""
        return list(dict.fromkeys(f"{height} x {width}" for *_, height, width in self.checked))

    @property
    def axes(self) -> dict[int, str]:
        """Of the input, those that stay open."""
        return {0: "N"} if self.size else {0: "N", 2: "H", 3: "W"}


Way = Callable[[nn.Module, Tensor, Form], Any]  # (deployed, image, form) -> ONNX's ModelProto


class Deployed(nn.Module):
    """A model with its normalisation: RGB in 0..255 -> one of OUTPUTS."""

    def __init__(self, model: nn.Module, normalization: Normalize, output: str = "logits") -> None:
        super().__init__()
        self.model = model
        self.output = output
        self.shift: Tensor
        self.spread: Tensor
        for name, values in (("shift", normalization.mean), ("spread", normalization.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1) * 255)

    def forward(self, image: Tensor) -> Tensor:
        logits = self.model((image - self.shift) / self.spread)["out"]
        if self.output == "probabilities":
            return logits.softmax(1)
        return logits.argmax(1).to(torch.uint8) if self.output == "labels" else logits


def to_onnx(
    model: nn.Module,
    path: Path,
    *,
    normalization: Normalize,
    classes: Sequence[str],
    form: Form = Form(),  # noqa: B008 (frozen)
    facts: Mapping[str, str] = MappingProxyType({}),
) -> float:
    """Export a model, check the result against it, and write it.

    Args:
        model: on the CPU, in float32; it is left in eval mode.
        facts: more of the file's metadata.
    Returns:
        the largest difference of a logit or probability at the sizes that were checked; for labels
        the largest share of pixels that differ.
    Raises:
        ValueError: packages are missing, the model cannot be exported, or the result differs.
    """
    deployed = Deployed(model, normalization, form.output).eval()
    content, difference = checked(deployed, form)
    facts = metadata(form, normalization, classes) | {"precision": "float32", **facts}
    write_bytes(path, described(content, facts))
    return difference


def checked(deployed: Deployed, form: Form) -> tuple[bytes, float]:
    """The content of an ONNX file without metadata, and its difference as `to_onnx` returns it."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"no {', '.join(missing)}: pip install -e '.[onnx]'")
    ways = _ways(form)
    for way in ways[:-1]:
        with suppress(ValueError):
            return _compared(way, deployed, form)
    return _compared(ways[-1], deployed, form)


def _compared(way: Way, deployed: Deployed, form: Form) -> tuple[bytes, float]:
    content = _exported(way, deployed, form)
    return content, _difference_at_sizes(deployed, content, form)


def metadata(form: Form, normalization: Normalize, classes: Sequence[str]) -> dict[str, str]:
    """What every file says of itself."""
    return {
        "classes": json.dumps(list(classes), ensure_ascii=False),
        "normalize": normalization.model_dump_json(),
        "input": INPUT,
        "output": form.output,
        "size": "x".join(map(str, form.size)) if form.size else "any",
    }


def described(content: bytes, facts: Mapping[str, str]) -> bytes:
    """An ONNX file's content with these metadata and no others."""
    import onnx

    proto = onnx.load_model_from_string(content)
    del proto.metadata_props[:]
    for key, value in facts.items():
        proto.metadata_props.add(key=key, value=value)
    return proto.SerializeToString()


def _ways(form: Form) -> list[Way]:
    """The exporters that can write an opset, the better one first."""
    opset = form.opset or EXPORTED
    ways = list[Way]()
    if opset >= LOWERED:
        ways.append(_converted)
    if opset < EXPORTED:
        ways.append(_traced)
    return ways


def _exported(way: Way, deployed: nn.Module, form: Form) -> bytes:
    """The ONNX file's content."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    image = torch.zeros((TRACED[0], 3, *form.size) if form.size else TRACED)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            proto = way(deployed, image, form)
        found = next(entry.version for entry in proto.opset_import if not entry.domain)
        if form.opset not in (None, found):
            raise ValueError(f"torch gives opset {found}")
    except Exception as error:  # both exporters raise whatever they meet
        raise ValueError(f"cannot be exported to ONNX{_at(form)}: {_reason(error)}") from None
    return proto.SerializeToString()


def _converted(deployed: nn.Module, image: Tensor, form: Form) -> Any:
    """By torch's exporter."""
    program: Any = torch.onnx.export(  # None with dynamo=False only
        deployed,
        (image,),
        dynamo=True,
        dynamic_shapes={"image": dict.fromkeys(form.axes, torch.export.Dim.DYNAMIC)},
        input_names=["image"],
        output_names=[form.output],
        opset_version=form.opset,
        verbose=False,
    )
    return program.model_proto


def _traced(deployed: nn.Module, image: Tensor, form: Form) -> Any:
    """By its predecessor, which writes older opsets."""
    import onnx

    content: Any = io.BytesIO()
    open_axes = form.axes
    of_output = open_axes
    if form.output == "labels":  # has no axis of channels
        of_output = {axis - (axis > 1): name for axis, name in open_axes.items()}
    with _without_graph():
        torch.onnx.export(
            deployed,
            (image,),
            content,
            dynamo=False,
            dynamic_axes={"image": open_axes, form.output: of_output},
            input_names=["image"],
            output_names=[form.output],
            opset_version=form.opset,
        )
    return onnx.load_model_from_string(content.getvalue())


@contextmanager
def _without_graph() -> Iterator[None]:
    """Keep torch from printing the whole graph with an error; its own switch is always on."""
    functions: Any = torch._C
    log = functions._jit_onnx_log
    functions._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        functions._jit_onnx_log = log


def _difference_at_sizes(deployed: nn.Module, content: bytes, form: Form) -> float:
    """The largest difference between onnxruntime's output and PyTorch's; too large raises."""
    generator = torch.Generator().manual_seed(0)
    differences = []
    session = None
    for shape in form.checked:
        image = torch.randint(0, 256, shape, generator=generator).float()
        with torch.inference_mode():
            expected = deployed(image)
        try:
            session = session or runtime(content)
            given = torch.from_numpy(session.run(None, {"image": image.numpy()})[0])
        except Exception as error:  # onnxruntime's own classes have no public name
            raise ValueError(f"ONNX{_at(form)} fails at {shape}: {_reason(error)}") from None
        if (given.shape, given.dtype) != (expected.shape, expected.dtype):
            raise ValueError(
                f"ONNX{_at(form)} gives {tuple(given.shape)} at {shape}, expected "
                f"{tuple(expected.shape)}: something of the size it was exported at has become a "
                "constant"
            )
        differences.append(_difference(given, expected, shape, form.output))
    return max(differences)


def _difference(given: Tensor, expected: Tensor, shape: tuple[int, ...], output: str) -> float:
    """The largest difference of two outputs, or the share of labels; too large raises."""
    if output == "labels":
        other = (given != expected).float().mean().item()
        if other > 1 - AGREEING:
            raise ValueError(f"ONNX differs at {shape}: labels on {other:.2%}")
        return other
    difference = (given - expected).abs().max().item()
    agreeing = (given.argmax(1) == expected.argmax(1)).float().mean().item()
    if difference > TOLERANCE * max(1, expected.abs().max().item()) or agreeing < AGREEING:
        raise ValueError(
            f"ONNX differs at {shape}: {output} by {difference:g}, labels on {1 - agreeing:.2%}"
        )
    return difference


def _at(form: Form) -> str:
    """For an error: what was asked for and might be asked for otherwise."""
    if form.opset is None:
        return ""
    remedy = "" if form.opset >= EXPORTED else f"; {EXPORTED} or more may work"
    if remedy and form.size is None:
        remedy += ", or a fixed --size"
    return f" of opset {form.opset} ({OPSETS[0]} to {OPSETS[-1]} are possible{remedy})"


def runtime(content: bytes) -> Any:
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
