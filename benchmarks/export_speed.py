"""A model as PyTorch and as ONNX runs it on a CPU: size, time, labels, and mIoU of each.

Every image goes through all sides before the next one does, so that whatever else the machine does
meets all of them; times are medians over the images, factors medians of each image's own quotient.
One thread computes, and its CPU time counts: other programs disturb it least. Images are scaled to
the model's long side and seen once. int8 is calibrated on images of the tree's train list. The
differences of mIoU have paired intervals over the images.

    OMP_NUM_THREADS=1 python -m benchmarks.export_speed --voc DIR [--model animals]
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import segmodels
from benchmarks import timing
from segmodels.commands.common import names
from segmodels.core import machine
from segmodels.data import images, layout
from segmodels.data.transforms import resize_image, seen_size
from segmodels.evaluation import bootstrap, confusion
from segmodels.evaluation.scores import overlap_miou
from segmodels.inference import export, int8, photos, predictor
from segmodels.inference.predictor import Model
from segmodels.models.network import Network, label_map

VOID = 255
ALIKE = 0.9999  # share of labels
REFERENCE, BASELINE = "PyTorch fp32", "ONNX fp32"
Compute = Callable[[np.ndarray], torch.Tensor]  # (1, 3, h, w) uint8 -> logits (1, C, h, w)


@dataclass
class Side:
    """One way to run the model, and what was measured of it."""

    compute: Compute
    size: int  # bytes
    sizes: set[tuple[int, ...]] = field(default_factory=set)  # of images that it has seen
    seconds: list[float] = field(default_factory=list)
    same: list[float] = field(default_factory=list)  # share of an image's labels
    overlaps: list[np.ndarray] = field(default_factory=list)  # (3, C) of each image


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--voc", type=Path, help=f"VOC tree; else {timing.VARIABLE} is unpacked")
    options.add_argument("--model", default="animals", help="as for `segmodels predict`")
    options.add_argument("--images", type=int, default=10_000, help="at most, of the val list")
    scored = "over which mIoU is (default: those of the model's card, else all)"
    options.add_argument("--classes", type=names, metavar="A,B,...", help=scored)
    given = options.parse_args()
    print(timing.machine(threads=1))
    model = segmodels.load(given.model, device="cpu")
    with timing.pictures(given.voc) as tree, tempfile.TemporaryDirectory() as folder:
        all_sides = sides(model, tree, Path(folder))
        image_ids = layout.read_split(tree, "val")[: given.images]
        for image_id in image_ids:
            measure(model, all_sides, tree, image_id)
    classes = given.classes or (model.card.scored if model.card else model.classes)
    print(
        f"{len(image_ids)} images, long side {long_side(model)}; mIoU over {', '.join(classes)}\n"
    )
    print(table(all_sides, [model.classes.index(name) for name in classes]))


def long_side(model: Model) -> int:
    return model.choices.long_side or photos.LARGEST


def sides(model: Model, tree: Path, folder: Path) -> dict[str, Side]:
    """PyTorch in each precision that this CPU has, and both files."""
    float_file, int8_file = folder / "fp32.onnx", folder / "int8.onnx"
    module, training = model.module.float().to(memory_format=torch.contiguous_format), []
    for image_id in layout.read_split(tree, "train"):
        training.append(layout.image_path(tree, image_id))
    facts = dict[str, Any](normalization=model.network.normalization, classes=model.classes)
    export.to_onnx(module, float_file, **facts)
    share = int8.to_int8(module, int8_file, training, long_side=long_side(model), **facts)
    print(f"int8: {share:.1%} of labels on training images kept from the calibration")
    weights = sum(4 * tensor.numel() for tensor in module.parameters())
    found = {REFERENCE: Side(partial(by_torch, on_cpu(model, "fp32")), weights)}
    if machine.has_bf16():
        found["PyTorch bf16"] = Side(partial(by_torch, on_cpu(model, "bf16")), weights)
    for name, file in ((BASELINE, float_file), ("ONNX int8", int8_file)):
        session = export.runtime(file.read_bytes())
        found[name] = Side(partial(by_onnx, session.run), file.stat().st_size)
    return found


def on_cpu(model: Model, precision: str) -> Network:
    return predictor.placed(model.network, precision, "cpu")


def by_torch(network: Network, image: np.ndarray) -> torch.Tensor:
    return network(torch.from_numpy(image))


def by_onnx(run: Callable[..., list[np.ndarray]], image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(run(None, {"image": image.astype(np.float32)})[0])


def measure(model: Model, all_sides: dict[str, Side], tree: Path, image_id: str) -> None:
    """One image through all sides; the first of a size goes through once more, without a clock."""
    photo = images.read_image(layout.image_path(tree, image_id))
    target = images.read_target(layout.target_path(tree, image_id))
    height, width = photo.shape[:2]
    seen = resize_image(photo, seen_size(height, width, long_side(model)))
    image = np.ascontiguousarray(seen.transpose(2, 0, 1)[None])
    reference = None
    for side in all_sides.values():
        if image.shape not in side.sizes:
            side.compute(image)
            side.sizes.add(image.shape)
        begin = time.process_time()
        logits = side.compute(image)
        side.seconds.append(time.process_time() - begin)
        labels = label_map(F.interpolate(logits, (height, width), mode="bilinear"))[0].numpy()
        reference = labels if reference is None else reference
        side.same.append(float((labels == reference).mean()))
        counts = confusion.confusion_matrix(
            target=target,
            prediction=labels,
            num_classes=len(model.classes),
            ignore_index=VOID,
        )
        side.overlaps.append(confusion.overlap(counts))


def table(all_sides: dict[str, Side], classes: list[int]) -> str:
    """A Markdown row for each side."""
    overlaps = {name: np.stack(side.overlaps)[..., classes] for name, side in all_sides.items()}
    pairs = bootstrap.differences(overlaps)
    against = {row["second"]: row for row in pairs.to_dict("records") if row["first"] == REFERENCE}
    baseline = np.array(all_sides[BASELINE].seconds)
    rows = ["| | MB | ms an image | times ONNX fp32 | labels of PyTorch fp32 | mIoU | difference |"]
    rows.append("|---|---:|---:|---:|---:|---:|---:|")
    for name, side in all_sides.items():
        points = difference(against.get(name), float(np.mean(side.same)))
        factor = np.median(baseline / np.array(side.seconds))
        miou = 100 * overlap_miou(overlaps[name].sum(0))
        rows.append(
            f"| {name} | {side.size / 1e6:.1f} | {1e3 * np.median(side.seconds):.1f} | "
            f"{factor:.2f} | {np.mean(side.same):.2%} | {miou:.2f} | {points} |"
        )
    return "\n".join(rows)


def difference(row: Mapping[Hashable, Any] | None, same: float) -> str:
    """Points of mIoU above PyTorch fp32, with the limits of the 95% interval.

    Where nearly all labels are the same, too few images differ for an interval.
    """
    if row is None:
        return ""
    if same > ALIKE:
        return f"{100 * row['difference']:+.2f}"
    value, low, high = (100 * row[key] for key in ("difference", "low", "high"))
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


if __name__ == "__main__":
    main()
