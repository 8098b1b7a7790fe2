"""Rows of a model for docs/reference/models.md and docs/learn/starting-weights.md.

    python -m tools.model_rows unet
    python -m tools.model_rows fcn_r18 '{arch: fcn, backbone: resnet18}'

A name alone is a model of params.yaml, or an architecture with its defaults. Everything is counted
on the meta device: no weights are allocated, nothing is downloaded. What a paper reports is not
known here: the row says "none known" until docs/reference/published.yaml has it.
"""

import argparse
import importlib
import re
import warnings
from pathlib import Path

import torch
import torchvision
import yaml
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from segmodels import models
from segmodels.config.schema import Model
from segmodels.models import flops, pretrained

PARAMS = Path(__file__).parents[1] / "params.yaml"
CLASSES = 21
SIDE = 512  # pixels, at which strides are measured
ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")


class Heights(TorchDispatchMode):
    """Notes the height of everything that has the shape of a feature, in the order of the work."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.seen += [t.shape[2] for t in tensors if t.dim() == 4 and t.shape[0] == 1]
        return result


def built(model: Model) -> nn.Module:
    with torch.device("meta"):
        return models.build(model.arch, num_classes=CLASSES, **model.arguments).eval()


def gflops(network: nn.Module, size: int) -> float:
    """Billions of multiply-adds for one image of size x size pixels."""
    with torch.device("meta"), torch.no_grad():
        return flops.gflops(lambda: network(torch.empty(1, 3, size, size)))


def coarsest_stride(network: nn.Module) -> int:
    """A power of 2, since valid convolutions change the size a little.

    What is pooled to a fixed number of bins is as high in an image of twice the size, and left out.
    """
    with torch.device("meta"), torch.no_grad():
        heights = []
        for side in (SIDE, 2 * SIDE):
            with Heights() as noted:
                network(torch.empty(1, 3, side, side))
            heights.append(noted.seen)
    lowest = min(h for h, twice in zip(*heights, strict=True) if h != twice)
    return 2 ** round(torch.tensor(SIDE / lowest).log2().item())


def coverage(model: Model, init: str) -> str:
    """How many tensors of a model a start covers."""
    try:
        if pretrained.source(arch=model.arch, arguments=model.arguments, init=init) is None:
            return "all random, no backbone"
    except ValueError:
        return "refused"
    prefixes = ["backbone."] if init == "imagenet" else [""]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* which is a no-op")  # weights on the meta device
        loaded = pretrained.load(built(model), _reference(model, init), prefixes)
    if not loaded["loaded"]:
        return "refused, nothing fits"
    return pretrained.summary({"init": init, "file": None, **loaded}).removeprefix(f"{init}: ")


def _reference(model: Model, init: str) -> dict[str, torch.Tensor]:
    """Names and shapes of the file that a start downloads."""
    name = models.backbone(model.arch, model.arguments)
    with torch.device("meta"):
        if init == "imagenet":
            theirs = torchvision.models.get_model(name)
        else:
            off = {"weights": None, "weights_backbone": None}
            theirs = torchvision.models.get_model(f"{model.arch}_{name}", aux_loss=True, **off)
    state = theirs.state_dict()
    return {key: state[key] for key in state if not key.endswith("num_batches_tracked")}


def counted(model: Model) -> dict[str, str]:
    """The cells of models.md that are counted, by heading."""
    network = built(model)
    return {
        "parameters": f"{sum(p.numel() for p in network.parameters()):,}",
        "GMACs": f"{gflops(network, 513):.1f}",
        "output stride": str(coarsest_stride(network)),
    }


def command(name: str, model: Model, known: bool) -> str:
    """The command that trains a model: one of params.yaml, or one that it adds."""
    if known:
        return f"dvc exp run headline -S model={name}"
    entry = ", ".join(f"{key}: {_text(value)}" for key, value in model.arguments.items())
    added = f"{{arch: {model.arch}{', ' if entry else ''}{entry}}}"
    return f"dvc exp run headline -S '+models.{name}={added}' -S model={name}"


def _text(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


def paper(arch: str) -> str:
    """The first arXiv id of a model file's docstring, as a link."""
    found = ARXIV.search(importlib.import_module(f"segmodels.models.{arch}").__doc__ or "")
    return f"[{found[1]}](https://arxiv.org/abs/{found[1]})" if found else "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", help="of the model: of params.yaml, an arch, or a new one")
    parser.add_argument("entry", nargs="?", help="of a new one, as in params.yaml: {arch: ...}")
    options = parser.parse_args()
    listed = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))["models"]
    known = options.entry is None and options.name in listed
    entry = yaml.safe_load(options.entry) if options.entry else {"arch": options.name}
    try:
        model = Model.model_validate(listed[options.name] if known else entry)
        models.check_arguments(options.name, model.arch, model.arguments)
    except ValueError as error:
        parser.error(str(error))
    cells = [options.name, paper(model.arch), *counted(model).values(), "none known"]
    print("docs/reference/models.md:")
    print(f"| {' | '.join(cells)} | `{command(options.name, model, known)}` |")
    starts = [coverage(model, init) for init in ("imagenet", "coco")]
    print("docs/learn/starting-weights.md:")
    print(f"| {options.name} | {' | '.join(starts)} |")


if __name__ == "__main__":
    main()
