"""A side of `peers_camvid`: segmentation_models.pytorch, with the loop of its CamVid example.

Its FPN with its defaults on the encoder that ours has, filled with the same ImageNet weights; Dice
loss, Adam, a cosine from 2e-4 to 1e-5 over all steps, crops of 320, its augmentation. Runs in the
environment that `peer_venv` makes.
Source: qubvel-org/segmentation_models.pytorch at 00bbcca, examples/
camvid_segmentation_multiclass.ipynb.

Differs from the example, each time to its advantage or for a fair score:

- void is left out of the loss; the example learns it as a twelfth class. What padding and moving
  uncover is void too.
- images are divided by 255 before the mean is taken off, as the encoder's weights expect; the
  example normalises 0..255.
- GaussNoise has the strength that it had when the example was written, 3 to 7 of 255;
  albumentations 2 took the square root of another number, and its default is 51 to 112.
- no metrics in each step, and no validation.
"""

from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from benchmarks import peer_common
from benchmarks.peer_common import Result, Task
from segmodels.core import supervise

ENCODER = "tu-tf_efficientnet_lite0"
CROP = 320  # pixels
BATCHES = (32, 8)  # images: the example's, and what is taken where memory is short
LR, LAST_LR = 2e-4, 1e-5
STRIDE = 32  # of the encoder: sides have to be multiples of it
NOISE = (10**0.5 / 255, 50**0.5 / 255)  # standard deviation, of albumentations 1.4


class Normalized(nn.Module):
    """A network that normalises images (N, 3, H, W) of 0..255, as its encoder was trained."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        params = smp.encoders.get_preprocessing_params(ENCODER)
        self.register_buffer("mean", torch.tensor(params["mean"]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(params["std"]).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.network((image / 255 - self.mean) / self.std)


class Images(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Training images (3, CROP, CROP) and masks (CROP, CROP), uint8."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.augmentation = augmentation(task.void, task.seed)

    def __len__(self) -> int:
        return len(self.task.train)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        image_id = self.task.train[k]
        mask = np.array(Image.open(self.task.target(image_id)))
        sample = self.augmentation(image=read(self.task, image_id), mask=mask)
        image = torch.from_numpy(sample["image"]).permute(2, 0, 1)
        return image, torch.from_numpy(sample["mask"])


def main() -> None:
    run(peer_common.begin())


def run(task: Task) -> None:
    """Train, hand in the masks and say what it took."""
    batch = batch_size(task)
    model, cost = peer_common.train(task, partial(build, task), partial(steps, task, batch))
    model.eval()
    for image_id in task.test:
        task.hand_in(image_id, predict(task, model, read(task, image_id)))
    result = Result(
        program=f"segmentation_models.pytorch {version('segmentation-models-pytorch')}",
        network="FPN, EfficientNet-Lite0",
        start="random" if task.weights == "none" else peer_common.imagenet(tensors(model)),
        batch=batch,
        crop=CROP,
        cost=cost,
    )
    result.write(task)


def build(task: Task) -> nn.Module:
    network = smp.FPN(ENCODER, encoder_weights=None, classes=len(task.classes))
    if task.weights != "none":
        fill(network.get_submodule("encoder.model"), Path(task.weights))
    return Normalized(network)


def fill(backbone: nn.Module, path: Path) -> None:
    """Load every tensor of a backbone from a file of exactly these.

    Raises:
        ValueError: one is missing, one is left over, or one has another shape.
    """
    given = torch.load(path, weights_only=True, map_location="cpu")
    own = backbone.state_dict()
    differ = sorted(own.keys() ^ given.keys())
    for name in own.keys() & given.keys():
        if own[name].shape != given[name].shape:
            differ.append(name)
    if differ:
        raise ValueError(
            f"{path}: {len(differ)} tensors differ from those of {ENCODER}, as {differ[0]}: "
            "expected the same names and shapes"
        )
    backbone.load_state_dict(given)


def tensors(model: nn.Module) -> int:
    """How many the backbone has, without the counters of BatchNorm, which decide nothing."""
    names = model.get_submodule("network.encoder.model").state_dict()
    return len([name for name in names if not name.endswith(".num_batches_tracked")])


def steps(task: Task, batch: int, model: nn.Module, count: int) -> Iterator[float]:
    """Train for `count` steps, yielding the loss of each."""
    model.train()
    loss_function = smp.losses.DiceLoss(
        smp.losses.MULTICLASS_MODE, from_logits=True, ignore_index=task.void
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, count, eta_min=LAST_LR)
    batches = peer_common.endless(loader(task, batch))
    for _ in range(count):
        image, mask = next(batches)
        with peer_common.autocast(task):
            loss = loss_function(model(image), mask.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        yield loss.item()


def loader(task: Task, batch: int) -> "torch.utils.data.DataLoader[tuple[Tensor, Tensor]]":
    return torch.utils.data.DataLoader(Images(task), batch_size=batch, shuffle=True)


def augmentation(void: int, seed: int) -> A.Compose:
    """The example's transforms; masks are void where there is no image."""
    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.ShiftScaleRotate(
                scale_limit=0.5, rotate_limit=0, shift_limit=0.1, p=1, border_mode=0, fill_mask=void
            ),
            A.PadIfNeeded(min_height=CROP, min_width=CROP, fill_mask=void),
            A.RandomCrop(height=CROP, width=CROP),
            A.GaussNoise(std_range=NOISE, p=0.2),
            A.Perspective(p=0.5, fill_mask=void),
            A.OneOf([A.CLAHE(p=1), A.RandomBrightnessContrast(p=1), A.RandomGamma(p=1)], p=0.9),
            A.OneOf(
                [A.Sharpen(p=1), A.Blur(blur_limit=3, p=1), A.MotionBlur(blur_limit=3, p=1)], p=0.9
            ),
            A.OneOf([A.RandomBrightnessContrast(p=1), A.HueSaturationValue(p=1)], p=0.9),
        ],
        seed=seed,
    )


def batch_size(task: Task) -> int:
    """The task's batch; else the example's, or the small one where memory is short.

    What an image needs is taken from a step of the small one.
    """
    if task.smp_batch:
        return min(task.smp_batch, len(task.train))
    large, small = BATCHES
    before = peer_common.peak_memory()
    next(steps(task, small, build(task), 1))
    needed = (peer_common.peak_memory() - before) * large / small
    free = free_memory()
    batch = min(large if needed < free else small, len(task.train))
    peer_common.say(
        f"batches of {batch}: {large} need about {needed / 1e9:.1f} GB, {free / 1e9:.1f} are free"
    )
    return batch


def free_memory() -> int:
    """Bytes that a process can have without swapping; 0 where Linux does not say."""
    path = Path("/proc/meminfo")
    if path.exists():
        for line in path.read_text().splitlines():
            name, _, amount = line.partition(":")
            if name == "MemAvailable":
                return int(amount.split()[0]) * 1024
    return 0


def read(task: Task, image_id: str) -> np.ndarray:
    """(H, W, 3) uint8, RGB."""
    path = task.image(image_id)
    image = cv2.imread(str(path))
    if image is None:
        raise ValueError(f"{path}: not an image that OpenCV reads")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def predict(task: Task, model: nn.Module, image: np.ndarray) -> np.ndarray:
    """The label map (H, W) uint8 of an image, padded with black for the network alone."""
    height, width = image.shape[:2]
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    padded = F.pad(pixels, (0, -width % STRIDE, 0, -height % STRIDE))
    return peer_common.label_map(task, model, padded)[:height, :width]


if __name__ == "__main__":
    supervise.run(main)
