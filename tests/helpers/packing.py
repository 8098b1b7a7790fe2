"""A tiny model in a file of weights."""

import torch

from segmodels import models
from segmodels.core import packed
from segmodels.core.packed import Card

CLASSES = ["background", "cat", "dog", "person", "sheep"]
CARD = Card(
    name="tiny",
    summary="A model for tests.",
    classes=CLASSES,
    scored=["background", "cat"],
    palette=[[0, 0, 0], [64, 0, 0], [64, 0, 128], [192, 128, 128], [128, 64, 0]],
    normalize={"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    arch="unet",
    arguments={"width": 2},
    predict={"long_side": 64, "scales": [1.0], "flip": False, "window": None, "crf": None},
    training={
        "dataset": "drawings",
        "images": 7,
        "parameters": 100,
        "start": "none",
        "recipe": {"epochs": 2},
    },
    scores={
        "miou": 0.5,
        "low": 0.4,
        "high": 0.6,
        "iou": {"background": 0.75, "cat": 0.25},
        "miou_all": 0.3,
        "classes_counted": 4,
        "images": 8,
        "split": "val",
        "test_time": "single scale",
    },
    licences={"licence": "mit", "encoder": "none", "photographs": "drawn by a program"},
    source={"study": "studies/none", "run": "tiny", "weights_sha256": "0" * 64},
)


def pack(path, card=CARD):
    """Write the file; returns its path and the model."""
    torch.manual_seed(1)
    model = models.build(card.arch, num_classes=len(card.classes), **card.arguments)
    packed.write(path, card, model.state_dict())
    return path, model
