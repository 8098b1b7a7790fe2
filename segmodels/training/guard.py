"""What stops a training: a loss that is not finite, or memory that does not suffice.

Whether a loss is finite is asked of the device once in many steps, since every answer makes the
program wait for it; sums that are not finite stay so, and a checkpoint is only written after one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from segmodels.config.schema import Train
from segmodels.core import supervise

EVERY = 50  # steps between two looks at the losses
ADVICE = "try a smaller lr, a longer warmup_epochs, clip_norm: 1 or precision: fp32"


class Watch:
    """Remembers of the latest steps of an epoch whether their losses were finite."""

    def __init__(self, epoch: int, image_ids: list[list[str]]) -> None:
        self.epoch, self.image_ids = epoch, image_ids  # of each step
        self._seen: list[tuple[int, float, Tensor]] = []

    def add(self, step: int, lr: float, sums: Tensor) -> None:
        """Note a step, from 0, its learning rate, and its class sums; look now and then."""
        self._seen.append((step, lr, torch.isfinite(sums).all()))
        if len(self._seen) == EVERY:
            self.look()

    def look(self) -> None:
        """Ask of all steps noted since the last look.

        Raises:
            ValueError: names the first step with a loss that is not finite.
        """
        if not self._seen:
            return
        finite = torch.stack([finite for *_, finite in self._seen]).tolist()
        for (step, lr, _), good in zip(self._seen, finite, strict=True):
            if not good:
                images = ", ".join(self.image_ids[step])
                raise ValueError(
                    f"epoch {self.epoch}, step {step + 1} of {len(self.image_ids)}, lr {lr:g}: the "
                    f"loss of these images is not finite: {images}; {ADVICE}"
                )
        self._seen.clear()


@contextmanager
def memory(recipe: Train) -> Iterator[None]:
    """Answer memory that does not suffice with one line.

    Raises:
        ValueError: instead of the allocator's error.
    """
    try:
        yield
    except Exception as error:
        if not supervise.out_of_memory(error):
            raise
        raise ValueError(
            f"out of memory with batch_size = {recipe.batch_size}, crop_size = {recipe.crop_size}, "
            f"accumulate = {recipe.accumulate}: try accumulate: {2 * recipe.accumulate} "
            "(the same batch in smaller parts) or a smaller crop_size"
        ) from None
