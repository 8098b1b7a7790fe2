import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import VOID, write_tree
from sklearn import metrics
from torch import nn

from segmodels.config import params
from segmodels.config.schema import Loss, Normalize
from segmodels.core.distributed import Processes
from segmodels.data import images, layout
from segmodels.data.augment import RandomCrop
from segmodels.data.loading import epoch_batches, training_batches
from segmodels.evaluation.confusion import iou, mean, pixel_accuracy
from segmodels.training import history, loop
from segmodels.training.task import Job

CLASSES = ["0", "1", "2", "3"]
NUM_CLASSES = len(CLASSES)
RECIPE = params.load(Path(__file__).parents[2] / "params.yaml").train["miniature"]
NORMALIZE = Normalize(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


class TinyNet(nn.Module):
    """Half resolution, BatchNorm, and an auxiliary head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 12, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(12), nn.ReLU()
        )
        self.head, self.aux_head = nn.Conv2d(12, NUM_CLASSES, 1), nn.Conv2d(12, NUM_CLASSES, 1)

    def forward(self, image):
        features = self.stem(image)
        return {
            name: F.interpolate(head(features), image.shape[-2:], mode="bilinear")
            for name, head in (("out", self.head), ("aux", self.aux_head))
        }


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("voc")
    return root, write_tree(root, train=13, val=7, num_classes=NUM_CLASSES)


def make_job(tree, *, seed=0, precision="fp32", workers=0, processes=None, **changes):
    small = {"epochs": 3, "batch_size": 4, "crop_size": 40, "lr": 0.01, "warmup_epochs": 1}
    small |= {"momentum": 0.9, "head_lr": 1.0, "aux_lr": 1.0}  # torch's own, not the project's
    small |= {"class_weights": "none", "scale": [0.75, 1.5]}
    return Job(
        root=tree[0],
        index=tree[1],
        classes=CLASSES,
        ignore_index=VOID,
        normalize=NORMALIZE,
        recipe=RECIPE.model_copy(update={**small, **changes}),
        seed=seed,
        device=torch.device("cpu"),
        precision=precision,
        progress=lambda items, count, what: items,
        workers=workers,
        processes=processes or Processes(),
    )


def make_model(seed=0):
    torch.manual_seed(seed)
    return TinyNet()


def plain_batches(job, number):
    """What the loop should see, normalised the way torchvision's Normalize does."""
    ids = job.index.loc[job.index["split"] == "train", "image_id"].tolist()
    batch_size = job.recipe.batch_size
    crop = RandomCrop(40, None, job.recipe.scale, True, VOID, (102, 128, 153))
    loader = training_batches(
        job.root,
        ids,
        epoch_batches(len(ids), batch_size=batch_size, seed=0, epoch=number),
        crop=crop,
        seed=0,
        epoch=number,
        workers=0,
        decoded=None,
    )
    mean_, std = (torch.tensor(v).view(3, 1, 1) for v in (NORMALIZE.mean, NORMALIZE.std))
    return [((image / 255 - mean_) / std, target.long()) for image, target in loader]


def test_training_equals_a_plain_loop(tree):
    job, ours, theirs = make_job(tree), make_model(), make_model()
    updates = torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.01)
    rates = [1 / 3, 2 / 3, 1.0] + [(1 + np.cos(np.pi * k / 6)) / 2 for k in range(6)]
    epochs = loop.epochs(ours, job)
    next(epochs)
    for number in (1, 2, 3):
        total = objective = pixels = 0.0
        theirs.train()
        for step, (image, target) in enumerate(plain_batches(job, number)):
            updates.param_groups[0]["lr"] = 0.01 * rates[3 * (number - 1) + step]
            logits = theirs(image)
            out, aux = (F.cross_entropy(v, target, ignore_index=VOID) for v in logits.values())
            updates.zero_grad()
            (out + 0.5 * aux).backward()
            updates.step()
            count = (target != VOID).sum().item()
            total, pixels = total + out.item() * count, pixels + count
            objective += (out + 0.5 * aux).item() * count
        epoch = next(epochs)
        # fp32 sums in another order; Adam divides small numbers by small numbers.
        assert epoch.train["loss"] == pytest.approx(total / pixels, rel=1e-4)
        assert epoch.train["cross_entropy"] == epoch.train["loss"]
        assert epoch.train_objective == pytest.approx(objective / pixels, rel=1e-4)
        assert epoch.lr == pytest.approx(0.01 * rates[3 * number - 1])
        for (name, a), b in zip(
            ours.state_dict().items(), theirs.state_dict().values(), strict=True
        ):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, msg=name)


def test_epoch_zero_is_the_untouched_model(tree):
    job, model = make_job(tree), make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    epoch = next(loop.epochs(model, job))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    total = pixels = 0.0
    for image, target in plain_batches(job, 1):
        total += F.cross_entropy(
            make_model().train()(image)["out"], target, ignore_index=VOID, reduction="sum"
        ).item()
        pixels += (target != VOID).sum().item()
    assert (epoch.number, epoch.lr) == (0, 0)
    assert epoch.train["loss"] == pytest.approx(total / pixels, rel=1e-5)


@pytest.mark.parametrize("val_size", [None, 40])
def test_validation_equals_brute_force_at_the_original_size(tree, val_size):
    job, model = make_job(tree, val_size=val_size), make_model(3)
    losses, confusion = loop.validate(model, job)
    true, predicted, shares = [], [], []
    for image_id, width, height in job.pictures("val")[["image_id", "width", "height"]].values:
        image = torch.from_numpy(images.read_image(layout.image_path(tree[0], image_id)).copy())
        image = image.permute(2, 0, 1).float() / 255
        if val_size:
            size = (30, 40) if width > height else (40, 30)
            image = F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
        for channel in range(3):
            image[channel] = (image[channel] - NORMALIZE.mean[channel]) / NORMALIZE.std[channel]
        with torch.no_grad():
            logits = model.eval()(image[None])["out"]
        logits = F.interpolate(logits, (height, width), mode="bilinear")[0]
        target = images.read_target(layout.target_path(tree[0], image_id))
        keep = target != VOID
        true.append(target[keep])
        predicted.append(logits.argmax(0).numpy()[keep])
        shares.append(logits.softmax(0).double().numpy()[:, keep].T)
    true, predicted, shares = map(np.concatenate, (true, predicted, shares))
    nats = -np.log(shares[np.arange(len(true)), true])
    one_hot = np.eye(NUM_CLASSES)[true]
    dices = 2 * (shares * one_hot).sum(0) / (shares.sum(0) + one_hot.sum(0))
    # At another size PIL rounds to 256 grey levels and the witness does not.
    expected = {"loss": nats.mean(), "cross_entropy": nats.mean(), "dice": 1 - dices.mean()}
    assert losses == pytest.approx(expected, rel=1e-5 if val_size is None else 2e-2)
    expected = metrics.confusion_matrix(true, predicted, labels=range(NUM_CLASSES))
    assert abs(confusion - expected).sum() <= (0 if val_size is None else 0.03 * len(true))
    assert confusion.sum() == len(true)


def test_same_seed_same_bits_other_seed_other_bits(tree):
    def train(seed):
        model = make_model()
        rows = history.table(list(loop.epochs(model, make_job(tree, seed=seed))))
        return rows, model.state_dict()

    (rows, state), (again, same), (other, _) = train(0), train(0), train(1)
    assert rows.equals(again) and not rows.equals(other)
    assert all(torch.equal(state[name], same[name]) for name in state)


def test_tiny_net_learns_the_rectangles(tree):
    epochs = list(loop.epochs(make_model(), make_job(tree, epochs=25, lr=0.03)))
    first, last = epochs[0], epochs[-1]
    assert last.train["loss"] < 0.2 * first.train["loss"]
    assert mean(iou(last.confusion)) > 0.7


def test_history_rows_are_scores_of_the_confusion(tree):
    epochs = list(loop.epochs(make_model(), make_job(tree)))
    table = history.table(epochs)
    assert table["epoch"].tolist() == [0, 1, 2, 3]
    assert table["val_miou"].tolist() == [mean(iou(e.confusion)) for e in epochs]
    assert table["val_pixel_acc"].tolist() == [pixel_accuracy(e.confusion) for e in epochs]
    per_class = history.per_class_table(epochs, CLASSES)
    last = per_class[per_class["epoch"] == 3].set_index("class")["iou"]
    assert last.mean() == pytest.approx(table["val_miou"].iloc[-1])
    np.testing.assert_array_equal(last, iou(epochs[-1].confusion))


def test_bf16_is_near_fp32_and_not_the_same(tree):
    losses = [
        list(loop.epochs(make_model(), make_job(tree, precision=p)))[-1].val["loss"]
        for p in ("fp32", "bf16")
    ]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)  # bf16 has 8 bits of precision


def test_loss_that_is_not_finite_stops_with_advice(tree):
    model = make_model()
    nn.init.constant_(model.head.bias, float("inf"))
    with pytest.raises(ValueError, match=r"epoch 0, lr 0: .*not finite; try a smaller lr"):
        next(loop.epochs(model, make_job(tree)))


def test_fewer_pictures_than_a_batch_is_refused(tree):
    with pytest.raises(ValueError, match="train has 13 pictures, fewer than batch_size = 16"):
        next(loop.epochs(make_model(), make_job(tree, batch_size=16)))


def test_a_job_without_aux_head_has_objective_equal_to_loss(tree):
    class NoAux(TinyNet):
        def forward(self, image):
            return {"out": super().forward(image)["out"]}

    epoch = next(loop.epochs(NoAux(), dataclasses.replace(make_job(tree))))
    assert epoch.train_objective == epoch.train["loss"]


def plain_dice(logits, target):
    """Soft Dice of a batch of which all classes occur."""
    keep = target != VOID
    shares = logits.softmax(1).movedim(1, -1)[keep]
    one_hot = F.one_hot(target[keep], NUM_CLASSES)
    assert one_hot.any(0).all()
    return 1 - (2 * (shares * one_hot).sum(0) / (shares.sum(0) + one_hot.sum(0))).mean()


def test_dice_and_class_weights_train_as_a_plain_loop_does(tree):
    changes = {"loss": Loss(cross_entropy=0.5, dice=2), "class_weights": "median_frequency"}
    job = make_job(tree, epochs=1, warmup_epochs=0, schedule="poly", batch_size=12, **changes)
    pixels = job.pictures("train")[CLASSES].to_numpy()
    occurs = [pixels[pixels[:, c] > 0] for c in range(NUM_CLASSES)]
    frequency = np.array([rows[:, c].sum() / rows.sum() for c, rows in enumerate(occurs)])
    weight = torch.tensor(np.median(frequency) / frequency).float()
    assert weight.max() > 3 * weight.min()

    def objective(logits, target):
        nats = F.cross_entropy(logits, target, weight=weight, ignore_index=VOID)
        return 0.5 * nats + 2 * plain_dice(logits, target)

    theirs = make_model()
    updates = torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.01)
    image, target = plain_batches(job, 1)[0]
    logits = theirs.train()(image)
    values = {name: objective(value, target) for name, value in logits.items()}
    (values["out"] + 0.5 * values["aux"]).backward()
    updates.step()
    ours = make_model()
    epoch = list(loop.epochs(ours, job))[1]
    total = (values["out"] + 0.5 * values["aux"]).item()
    assert epoch.train["loss"] == pytest.approx(values["out"].item(), rel=1e-5)
    assert epoch.train_objective == pytest.approx(total, rel=1e-5)
    plain = F.cross_entropy(logits["out"], target, ignore_index=VOID).item()
    assert epoch.train["cross_entropy"] == pytest.approx(plain, rel=1e-5)
    assert epoch.train["dice"] == pytest.approx(plain_dice(logits["out"], target).item(), rel=1e-5)
    # AdamW's first step has length lr wherever the gradient is not 0: a wrong sign would be seen.
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, msg=name)


def test_a_training_with_another_loss_reports_it_too(tree):
    job = make_job(tree, epochs=8, lr=0.03, loss=Loss(cross_entropy=0, dice=0, focal=1))
    table = history.table(list(loop.epochs(make_model(), job)))
    plain = history.table(list(loop.epochs(make_model(), make_job(tree, epochs=1))))
    assert set(table.columns) - set(plain.columns) == {"train_focal", "val_focal"}
    for split in ("train", "val"):
        np.testing.assert_array_equal(table[f"{split}_loss"], table[f"{split}_focal"])
        assert table[f"{split}_focal"].iloc[-1] < 0.7 * table[f"{split}_focal"].iloc[0]
    assert (table["train_focal"] < table["train_cross_entropy"]).all()


def test_history_reports_the_objective_and_its_losses(tree):
    job = make_job(tree, loss=Loss(cross_entropy=2, dice=0.5))
    table = history.table(list(loop.epochs(make_model(), job)))
    for split in ("train", "val"):
        parts = 2 * table[f"{split}_cross_entropy"] + 0.5 * table[f"{split}_dice"]
        np.testing.assert_allclose(table[f"{split}_loss"], parts, rtol=1e-12)
        assert table[f"{split}_dice"].between(0.01, 1).all()
