"""What a recipe may ask of the loop beside the plain run: parts, clipping, BatchNorm, precision."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import VOID, write_tree
from test_loop import NUM_CLASSES, TinyNet, make_job, make_model, plain_batches
from torch import nn

from segmodels.training import guard, history, loop


class NoNorm(TinyNet):
    def __init__(self):
        super().__init__()
        self.stem[1] = nn.Identity()


class Poisoned(TinyNet):
    """Its logits are not finite at one of its calls in training."""

    def __init__(self, call):
        super().__init__()
        self.left = call

    def forward(self, image):
        logits = super().forward(image)
        if self.training:
            self.left -= 1
            if self.left == 0:
                logits["out"] = logits["out"] * float("nan")
        return logits


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("voc")
    return root, write_tree(root, train=17, val=5, num_classes=NUM_CLASSES)


def train(job, kind=TinyNet):
    torch.manual_seed(0)
    model = kind()
    return list(loop.epochs(model, job)), model


def test_two_parts_of_four_equal_a_batch_of_eight_without_batchnorm(tree):
    common = {"batch_size": 8, "optimizer": "sgd", "lr": 0.05}
    _, whole = train(make_job(tree, **common), NoNorm)
    _, parts = train(make_job(tree, accumulate=2, **common), NoNorm)
    for (name, a), b in zip(whole.state_dict().items(), parts.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6, msg=name)


def test_clipped_steps_have_the_length_of_a_plain_loop(tree):
    changes = {"optimizer": "sgd", "schedule": "poly", "warmup_epochs": 0, "epochs": 1}
    job = make_job(tree, clip_norm=0.1, **changes)
    theirs = make_model()
    updates = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9, weight_decay=0.01)
    norms = []
    for step, (image, target) in enumerate(plain_batches(job, 1)):
        updates.param_groups[0]["lr"] = 0.01 * (1 - step / 4) ** 0.9
        logits = theirs.train()(image)
        out, aux = (F.cross_entropy(v, target, ignore_index=VOID) for v in logits.values())
        updates.zero_grad()
        (out + 0.5 * aux).backward()
        norms.append(nn.utils.clip_grad_norm_(theirs.parameters(), 0.1).item())
        updates.step()
    assert min(norms) > 0.2  # it was clipped
    _, ours = train(job)
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


def test_frozen_statistics_stay_and_weights_do_not(tree):
    _, model = train(make_job(tree, bn="frozen"))
    norm, start = model.stem[1], make_model().stem[1]
    assert torch.equal(norm.running_mean, start.running_mean)
    assert torch.equal(norm.running_var, start.running_var)
    assert not torch.equal(norm.weight, start.weight)


def test_recalibrated_statistics_are_those_of_the_train_set(tree):
    job = make_job(tree, bn="recalibrate", epochs=2)
    epochs, model = train(job)
    plain, _ = train(make_job(tree, epochs=2))
    images = [image for image, _ in plain_batches(job, 2)]
    with torch.no_grad():
        features = torch.cat([model.stem[0](image) for image in images]).double().numpy()
    pixels = features.transpose(1, 0, 2, 3).reshape(len(features[0]), -1)
    mean = pixels.mean(1)
    var = ((pixels - mean[:, None]) ** 2).sum(1) / (pixels.shape[1] - 1)
    np.testing.assert_allclose(model.stem[1].running_mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.stem[1].running_var, var, rtol=1e-4)
    # Training is the same, validation is not; the start is measured as it was given.
    assert [e.train for e in epochs] == [e.train for e in plain]
    assert [e.val == p.val for e, p in zip(epochs, plain, strict=True)] == [True, False, False]


def test_holdout_chooses_the_epoch_and_nothing_learns_from_it(tree):
    root, index = tree
    index = index.copy()
    index.loc[index["split"].eq("train").idxmax() + np.arange(5), "split"] = "holdout"
    job = make_job((root, index))
    assert not set(job.train_ids) & set(job.pictures("holdout")["image_id"])
    epochs, model = train(job)
    table = history.table(epochs)
    assert table["holdout_miou"].tolist() == [e.choice for e in epochs]
    assert (epochs[-1].holdout == loop.validate(model, job, "holdout")[1]).all()
    assert (epochs[-1].holdout != epochs[-1].confusion).any()


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2, "clip_norm": 1.0}])
def test_fp16_is_near_fp32_and_not_the_same(tree, changes):
    (*_, half), _ = train(make_job(tree, precision="fp16", **changes))
    (*_, full), _ = train(make_job(tree, **changes))
    assert half.val["loss"] != full.val["loss"]
    assert half.val["loss"] == pytest.approx(full.val["loss"], rel=0.02)  # fp16 has 11 bits


@pytest.mark.parametrize("workers", [1, 2])
def test_weights_do_not_depend_on_the_number_of_workers(tree, workers):
    alone, model = train(make_job(tree))
    helped, same = train(make_job(tree, workers=workers))
    assert history.table(alone).equals(history.table(helped))
    for name, value in model.state_dict().items():
        assert torch.equal(value, same.state_dict()[name]), name


@pytest.mark.parametrize("every", [1, 50])
def test_loss_that_is_not_finite_names_step_rate_and_images(tree, monkeypatch, every):
    monkeypatch.setattr(guard, "EVERY", every)
    job = make_job(tree)
    poisoned = 4 + 4 + 2  # the batches of epoch 0 and 1, then step 2
    images = ", ".join(job.train_ids[k] for k in job.steps(2)[1])
    expected = rf"epoch 2, step 2 of 4, lr 0\.00\d+: the loss of these images .*: {images}; try a"
    with pytest.raises(ValueError, match=expected):
        train(job, lambda: Poisoned(poisoned))


@pytest.mark.parametrize(
    "error", ["real", torch.OutOfMemoryError("CUDA out of memory."), MemoryError()]
)
def test_memory_that_does_not_suffice_is_one_line(tree, error):
    class Greedy(TinyNet):
        def forward(self, image):
            if error != "real":
                raise error
            return {"out": torch.empty(1 << 60)}

    with pytest.raises(ValueError, match="out of memory with batch_size = 4, .*try accumulate: 2"):
        train(make_job(tree), Greedy)


def test_other_errors_keep_their_traceback(tree):
    class Wrong(TinyNet):
        def forward(self, image):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(make_job(tree), Wrong)


def test_batch_that_has_no_equal_parts_is_refused(tree):
    with pytest.raises(
        ValueError, match="batch_size = 4: expected a multiple of 1 processes times"
    ):
        train(make_job(tree, accumulate=3))
