"""The table of exported models, on sides of known masks and times."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import write_tree
from sklearn.metrics import jaccard_score

from benchmarks import export_speed
from benchmarks.export_speed import Side
from segmodels.data import images, layout

CLASSES = ["background", "cat", "dog"]
SECONDS = {"PyTorch fp32": 0.4, "ONNX fp32": 0.2, "ONNX int8": 0.1}


def test_table_has_each_sides_time_labels_and_paired_difference(tmp_path, monkeypatch):
    write_tree(tmp_path, train=1, val=8, num_classes=3)
    image_ids = layout.read_split(tmp_path, "val")
    targets = [images.read_target(layout.target_path(tmp_path, name)) for name in image_ids]
    masks = [np.where(target == 255, 0, target) for target in targets]
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(export_speed, "time", SimpleNamespace(process_time=lambda: clock.now))
    current = SimpleNamespace()

    def side(name):
        def compute(image):
            clock.now += SECONDS[name]
            mask = current.wrong if name == "ONNX int8" else current.mask
            assert image.shape == (1, 3, *mask.shape) and image.dtype == np.uint8
            return torch.from_numpy(np.eye(3, dtype=np.float32)[mask]).permute(2, 0, 1)[None]

        return Side(compute, 3_000_000)

    sides = {name: side(name) for name in SECONDS}
    model = SimpleNamespace(classes=CLASSES, choices=SimpleNamespace(long_side=64))
    wrong = [np.roll(mask, k, axis=0) for k, mask in enumerate(masks)]
    for image_id, current.mask, current.wrong in zip(image_ids, masks, wrong, strict=True):
        export_speed.measure(model, sides, tmp_path, image_id)
    rows = {}
    for line in export_speed.table(sides, [0, 1, 2]).splitlines()[2:]:
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[name] = cells
    assert [row[:3] for row in rows.values()] == [
        ["3.0", "400.0", "0.50"],
        ["3.0", "200.0", "1.00"],
        ["3.0", "100.0", "2.00"],
    ]
    same = np.mean([(one == other).mean() for one, other in zip(wrong, masks, strict=True)])
    assert [row[3] for row in rows.values()] == ["100.00%", "100.00%", f"{same:.2%}"]
    true = np.concatenate([target.ravel() for target in targets])
    predicted = np.concatenate([mask.ravel() for mask in wrong])[true != 255]
    miou = 100 * jaccard_score(true[true != 255], predicted, average="macro")
    assert float(rows["ONNX int8"][4]) == pytest.approx(miou, abs=0.005)
    assert rows["PyTorch fp32"][5] == "" and rows["ONNX fp32"][5] == "+0.00"
    value, low, high = map(float, re.findall(r"[+-][\d.]+", rows["ONNX int8"][5]))
    assert value == pytest.approx(miou - 100, abs=0.01)
    assert low < value < high < 0
