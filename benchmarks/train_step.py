"""A training step of FCN-ResNet-50: ours, in bf16 and fp32, against torchvision's recipe in fp32.

Ours is what the training loop calls: bytes in, normalised on the device, channels-last weights,
class sums in place of a mean, fused SGD. The recipe's batch comes normalised and as int64, which
its input has paid for.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks import recipe, timing
from segmodels import models
from segmodels.config.schema import Loss, Normalize
from segmodels.core.distributed import Processes
from segmodels.models.network import forward, normalize
from segmodels.training.step import Objective, gradients

CLASSES = 21
NORMALIZE = Normalize(mean=recipe.MEAN, std=recipe.STD)
OBJECTIVE = Objective(
    loss=Loss(cross_entropy=1, dice=0),
    aux_weight=0.5,
    class_weights=None,
    num_classes=CLASSES,
    ignore_index=255,
)


def random_batch(size: int, crop: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """image (N, 3, crop, crop) uint8 and target (N, crop, crop) uint8 with a border of void."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (size, crop, crop, 3), dtype=torch.uint8, generator=generator)
    blocks = torch.randint(0, CLASSES, (size, 1, 4, 4), dtype=torch.uint8, generator=generator)
    target = nn.functional.interpolate(blocks, (crop, crop), mode="nearest")[:, 0]
    target[:, :8] = 255
    return image.permute(0, 3, 1, 2), target


def our_gradients(
    model: nn.Module, image: Tensor, target: Tensor, see: Callable[[nn.Module, Tensor], dict]
) -> None:
    """Leave the gradients of a step in the parameters."""
    gradients(
        model,
        [(image, target)],
        objective=OBJECTIVE,
        forward=see,
        processes=Processes(),
        scale=lambda loss: loss,
    )


def see(model: nn.Module, image: Tensor, precision: str) -> dict[str, Tensor]:
    """Logits of image (N, 3, H, W) uint8, as the training loop computes them."""
    return forward(model, image, normalization=NORMALIZE, precision=precision)


def our_step(
    model: nn.Module,
    image: Tensor,
    target: Tensor,
    optimizer: torch.optim.Optimizer,
    precision: str,
) -> None:
    optimizer.zero_grad(set_to_none=True)
    our_gradients(model, image, target, partial(see, precision=precision))
    optimizer.step()


def sgd(model: nn.Module, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=fused
    )


def main() -> None:
    options = timing.parser(__doc__)
    options.add_argument("--batch", type=int, default=8, help="as in voc_sample's recipe")
    options.add_argument("--crop", type=int, default=256, help="the same")
    given = options.parse_args()
    print(timing.machine(given.threads))
    image, target = random_batch(given.batch, given.crop)
    plain = models.build("fcn", num_classes=CLASSES, backbone="resnet50").train()
    fast = deepcopy(plain).to(memory_format=torch.channels_last)
    updates = sgd(fast, fused=True)
    sides: dict[str, Callable[[], object]] = {
        "recipe": partial(
            recipe.train_step,
            plain,
            normalize(image, NORMALIZE).contiguous(),
            target.long(),
            sgd(plain, fused=False),
        ),
        "ours in fp32": partial(our_step, fast, image, target, updates, "fp32"),
        "ours in bf16": partial(our_step, fast, image, target, updates, "bf16"),
    }
    seconds = timing.alternate(sides, given.turns)
    ratios = [("recipe", "ours in fp32"), ("recipe", "ours in bf16")]
    print(timing.row(f"training step, {given.batch} x {given.crop}, ms", seconds, 1, ratios))


if __name__ == "__main__":
    main()
