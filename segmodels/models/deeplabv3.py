"""DeepLab v3 on a dilated backbone, as torchvision has it.

Paper: Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image
Segmentation", arXiv 1706.05587: atrous spatial pyramid pooling with BatchNorm and image pooling,
section 3.3 and figure 5; multi-grid, section 3.2.1.

Differs from the paper: a 3 x 3 convolution between the pyramid and the logits; dropout in the
pyramid; an auxiliary head on the stage before the last; one output stride for training and
prediction; multi-grid only if asked for: without it the last stage's first 3 x 3 convolution, which
has the stride in torchvision, keeps the rate of the stage before. BatchNorm behind the image
pooling sees one element of each picture, so training needs at least two pictures in a batch.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import nn

from segmodels.models import backbones
from segmodels.models.backbones import SERVER
from segmodels.models.heads import deeplab_head, fcn_head, paper_rates
from segmodels.models.layers import Segmentation

COCO = {  # torchvision's COCO_WITH_VOC_LABELS_V1
    "resnet50": f"{SERVER}/deeplabv3_resnet50_coco-cd0a2569.pth",
    "resnet101": f"{SERVER}/deeplabv3_resnet101_coco-586e9e4e.pth",
}
BOTTLENECKS = ("resnet50", "resnet101", "resnet152")  # three 3 x 3 convolutions in the last stage


def deeplabv3(
    *,
    num_classes: int,
    backbone: str = "resnet50",
    output_stride: Literal[8, 16, 32] = 8,
    atrous_rates: Sequence[PositiveInt] | None = None,
    multi_grid: Annotated[Sequence[PositiveInt], Field(min_length=3, max_length=3)] | None = None,
    aux: bool = True,
) -> nn.Module:
    """torchvision's deeplabv3_resnet50 and its siblings, with random weights.

    Args:
        num_classes: channels of the logits, background included.
        backbone: a name that backbones.build takes.
        output_stride: of the backbone.
        atrous_rates: of the pyramid's 3 x 3 convolutions; None: the paper's 6, 12, 18 at output
            stride 16, twice as large at 8, half as large at 32.
        multi_grid: unit rates of the last stage's three 3 x 3 convolutions, (1, 2, 4) in the paper;
            None: torchvision's rates.
        aux: whether to have the auxiliary head.
    Raises:
        ValueError: there is no such backbone, or it has no place for multi_grid.
    """
    features, channels = backbones.build(
        backbone, output_stride=output_stride, fully_connected=False
    )
    if multi_grid is not None:
        if backbone not in BOTTLENECKS:
            raise ValueError(
                f"multi_grid = {multi_grid!r}: expected none for backbone {backbone!r}, whose last "
                f"stage has not three 3 x 3 convolutions; take one of {', '.join(BOTTLENECKS)}"
            )
        backbones.use_multi_grid(features.get_submodule("layer4"), 32 // output_stride, multi_grid)
    if atrous_rates is None:
        atrous_rates = paper_rates(output_stride)
    aux_classifier = fcn_head(channels["aux"], num_classes) if aux else None
    head = deeplab_head(channels["out"], num_classes, atrous_rates)
    return Segmentation(features, head, aux_classifier)
