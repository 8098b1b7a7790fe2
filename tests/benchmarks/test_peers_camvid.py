"""Three programs side by side: each trains and hands in its masks, and their scores are right.

The part of segmentation_models.pytorch runs where it is installed, as in the environment that the
benchmark makes: .scratch/peers/venv/bin/python -m pytest tests/benchmarks/test_peers_camvid.py
"""

import math
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import VOID, write_tree
from sklearn.metrics import accuracy_score, jaccard_score

from benchmarks import peer_common, peer_ours, peer_scores, peer_torchvision, peer_venv
from benchmarks import peers_camvid as peers
from benchmarks.peer_common import Cost, Result, Task
from benchmarks.peer_scores import Scores
from segmodels.config import params
from segmodels.data import images
from segmodels.data.layout import INDEX_COLUMNS, label_columns
from segmodels.models.efficientnet_lite import EfficientNetLite

ROOT = Path(__file__).parents[2]
NUM_CLASSES = 11
RESULT = Result("program 1.0", "network", "random", 8, 224, Cost(45, 90.0, 2_340_000_000, 0.01))


@pytest.fixture(scope="module")
def settings():
    return params.load(ROOT / peer_ours.PARAMS)


@pytest.fixture(scope="module")
def tree(tmp_path_factory, settings):
    """8 training images, 1 of val and 4 of test, with index.csv and test.csv."""
    data = tmp_path_factory.mktemp("camvid")
    root = data / "VOCdevkit/VOC2012"
    table = write_tree(root, train=8, val=5, num_classes=NUM_CLASSES)
    labels = [str(k) for k in range(NUM_CLASSES)]
    size = table["width"] * table["height"]
    table["void_share"] = 1 - table[labels].sum(axis=1) / size
    table = table[[*INDEX_COLUMNS, *labels]]
    table.columns = [*INDEX_COLUMNS, *label_columns(labels)]
    table[:9].to_csv(data / "index.csv", index=False)
    table[9:].to_csv(data / "test.csv", index=False)
    return root


@pytest.fixture
def task(tree, tmp_path, settings):
    given = SimpleNamespace(
        images=None, minutes=1e-6, precision="fp32", scratch=tmp_path, smp_batch=None
    )
    return replace(peers.assign(given, "ours", tree, settings.data, "none"), threads=1)


def targets(task):
    """(H, W) uint8 of each test image, without void, as a prediction has them."""
    found = {}
    for image_id in task.test:
        target = images.read_target(task.target(image_id))
        found[image_id] = np.where(target == VOID, 0, target)
    return found


def check_handed_in(task, *, steps, batch, crop):
    result = Result.read(task)
    assert (result.cost.steps, result.batch, result.crop) == (steps, batch, crop)
    assert result.start.startswith("random")
    assert result.cost.seconds > 0
    assert 1e8 < result.cost.memory < 1e11
    assert {path.stem for path in task.masks.iterdir()} == set(task.test)
    for image_id, target in targets(task).items():
        mask = images.read_target(task.masks / f"{image_id}.png")
        assert mask.shape == target.shape and mask.max() < NUM_CLASSES
    assert 0 <= peer_scores.score(task).miou <= 1


def test_task_has_the_images_of_both_lists_and_the_study_s_classes(task, tree, settings):
    assert task.train == [f"train_{k:03d}" for k in range(8)]
    assert task.test == [f"val_{k:03d}" for k in range(1, 5)]
    assert task.classes[:2] == ["sky", "building"] and task.void == VOID
    given = SimpleNamespace(images=3, minutes=1, precision="bf16", scratch=Path("s"), smp_batch=16)
    few = peers.assign(given, "smp", tree, settings.data, "file.pth")
    assert (few.train, few.test) == (task.train[:3], task.test[:3])
    assert (few.folder, few.weights, few.precision) == ("s/smp", "file.pth", "bf16")
    assert (few.smp_batch, task.smp_batch) == (16, None)
    assert Task.read(task.write()) == task


def test_ours_trains_whole_epochs_and_hands_in_every_mask(task, settings):
    small = {"crop_size": 32, "batch_size": 4}
    recipe = settings.recipe(peer_ours.MODEL).model_copy(update=small)
    peer_ours.run(task, settings, recipe)
    check_handed_in(task, steps=2, batch=4, crop=32)


def test_ours_takes_the_epochs_that_fit_and_keeps_the_share_of_the_warm_up(task, settings):
    recipe = settings.recipe(peer_ours.MODEL)
    whole = replace(task, train=["x"] * 367, minutes=10)
    fitting = peer_ours.fitting(whole, recipe, seconds=1.0)
    assert fitting.epochs == 13  # of 45 s
    assert fitting.warmup_epochs / 13 == pytest.approx(recipe.warmup_epochs / recipe.epochs)
    assert peer_ours.fitting(replace(whole, minutes=0.1), recipe, seconds=1.0).epochs == 1


@pytest.fixture
def tv(monkeypatch):
    """The side of torchvision, small."""
    monkeypatch.setattr(peer_torchvision, "BASE", 48)
    monkeypatch.setattr(peer_torchvision, "CROP", 32)
    monkeypatch.setattr(peer_torchvision, "BATCH", 4)
    return peer_torchvision


def test_torchvision_s_recipe_trains_and_hands_in_every_mask(tv, task):
    tv.run(task)
    check_handed_in(task, steps=1, batch=4, crop=32)


def test_torchvision_s_test_images_are_the_recipe_s(tv, task):
    [(expected, _)] = tv.recipe.Pictures(
        Path(task.tree), task.test[:1], partial(tv.recipe.eval_preset, base=None)
    )
    assert torch.equal(tv.read(task, task.test[0]), expected)


def test_torchvision_computes_in_bf16_where_it_is_asked_for(tv, task):
    losses = []
    for precision in ("fp32", "bf16"):
        peer_common.fix_seeds(0)
        half = replace(task, precision=precision)
        losses += tv.steps(half, tv.build(half), 1)
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.1)


def test_torchvision_s_rate_falls_over_all_steps(task, monkeypatch):
    """train.py: PolynomialLR with power 0.9, an update after each step."""
    rates = []

    def step(model, image, target, optimizer):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        return 0.0

    batch = torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8)
    monkeypatch.setattr(peer_torchvision.recipe, "train_step", step)
    monkeypatch.setattr(peer_torchvision, "loader", lambda task: [batch])
    list(peer_torchvision.steps(task, torch.nn.Conv2d(3, 1, 1), 4))
    assert rates == pytest.approx([0.01 * (1 - k / 4) ** 0.9 for k in range(4)])


def test_steps_are_timed_after_the_warm_up(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(peer_common, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    def steps():
        for seconds in (100, 50, 1, 2, 6):
            clock.now += seconds
            yield 0.0

    assert peer_common.seconds_a_step(steps()) == pytest.approx(3)
    assert peer_common.number_of_steps(minutes=10, seconds=3) == 200
    assert peer_common.number_of_steps(minutes=0.01, seconds=3) == 1


def test_training_begins_anew_after_the_measurement_and_counts_its_own_steps(task, monkeypatch):
    """All take 8 s but the measured ones: 8.5 is near enough; after 14 it is done again."""
    clock = SimpleNamespace(now=0.0)
    times = SimpleNamespace(perf_counter=lambda: clock.now, process_time=lambda: clock.now)
    monkeypatch.setattr(peer_common, "time", times)
    built, asked = [], []

    def build():
        built.append(torch.nn.Linear(2, 2))
        return built[-1]

    def steps(first, model, count):
        asked.append((model, count))
        measured = len(asked) == 1
        for _ in range(count):
            clock.now += first if measured else 8
            yield 0.5

    model, cost = peer_common.train(replace(task, minutes=9), build, partial(steps, 8.5))
    assert [count for _, count in asked] == [5, 64] and cost.steps == 64
    assert model is built[1] is asked[1][0]
    assert torch.equal(built[0].weight, built[1].weight)  # of one seed

    built.clear()
    asked.clear()
    model, cost = peer_common.train(replace(task, minutes=8), build, partial(steps, 14))
    assert [count for _, count in asked] == [5, 34, 60]
    assert (cost.steps, cost.seconds) == (60, 480) and model is built[2]
    assert torch.equal(built[1].weight, built[2].weight)


def test_loss_that_is_not_finite_stops():
    peer_common.check_finite(1, 0.5)
    with pytest.raises(ValueError, match="step 3: the loss is nan"):
        peer_common.check_finite(3, math.nan)


def test_both_programs_score_masks_as_sklearn_does(task):
    rng = np.random.default_rng(0)
    true, predicted = [], []
    for image_id, mask in targets(task).items():
        noisy = np.where(rng.random(mask.shape) < 0.2, rng.integers(0, 4, mask.shape), mask)
        task.hand_in(image_id, noisy.astype(np.uint8))
        true.append(images.read_target(task.target(image_id)).ravel())
        predicted.append(noisy.ravel())
    true, predicted = np.concatenate(true), np.concatenate(predicted)
    counts = true != VOID
    scores = peer_scores.score(task)
    expected = jaccard_score(true[counts], predicted[counts], average="macro")
    assert len(set(true[counts])) < NUM_CLASSES  # classes that are nowhere do not count
    assert scores.miou == pytest.approx(expected, abs=1e-12)
    assert scores.witness == pytest.approx(expected, abs=1e-6)
    assert scores.pixel_acc == pytest.approx(accuracy_score(true[counts], predicted[counts]))
    assert 0 <= scores.low < scores.high <= 1


def test_programs_that_disagree_stop(task, monkeypatch):
    for image_id, mask in targets(task).items():
        task.hand_in(image_id, mask)
    monkeypatch.setattr(peer_scores, "by_torchmetrics", lambda task: 1 - 0.9e-6)
    assert peer_scores.score(task).miou == 1
    monkeypatch.setattr(peer_scores, "by_torchmetrics", lambda task: 1 - 1.2e-6)
    with pytest.raises(ValueError, match=r"1\.00000000 by this project and 0\.99999880 by torch"):
        peer_scores.score(task)


def test_masks_that_are_missing_stop(task):
    with pytest.raises(ValueError, match="4 pictures cannot be scored"):
        peer_scores.score(task)


def test_table_has_a_row_for_each_side():
    scores = Scores(miou=0.62345, low=0.58, high=0.661, pixel_acc=0.9, witness=0.6234501)
    assert peer_scores.table([(RESULT, scores)]).splitlines() == [
        "| program | network | start | steps x batch, crop | minutes | peak memory, GB | mIoU | "
        "95% interval | pixel acc. | mIoU by torchmetrics |",
        "|---|---|---|---|---:|---:|---:|---:|---:|---:|",
        "| program 1.0 | network | random | 45 x 8, 224 | 1.5 | 2.3 | 62.34% | 58.00% to 66.10% | "
        "90.00% | 62.35% |",
    ]


def test_side_that_had_to_share_the_cores_is_named():
    shared = replace(RESULT, program="other", cost=replace(RESULT.cost, others=0.834))
    unknown = replace(RESULT, cost=replace(RESULT.cost, others=None))
    [line] = peer_scores.disturbances([RESULT, shared, unknown])
    assert line.startswith("Other programs had 83% of the cores while other trained")


def test_meter_takes_own_work_from_all(monkeypatch):
    clock = SimpleNamespace(wall=0.0, own=5.0, busy=70.0)
    times = {"perf_counter": lambda: clock.wall, "process_time": lambda: clock.own}
    monkeypatch.setattr(peer_common, "time", SimpleNamespace(**times))
    monkeypatch.setattr(peer_common, "busy_seconds", lambda: clock.busy)
    monkeypatch.setattr(peer_common.os, "cpu_count", lambda: 2)
    meter = peer_common.Meter()
    clock.wall, clock.own, clock.busy = 10.0, 17.0, 87.0  # 12 s of own work in 17 s, on 2 cores
    cost = meter.cost(3)
    assert (cost.steps, cost.seconds) == (3, 10.0) and cost.others == pytest.approx(5 / 20)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux's /proc/stat")
def test_busy_seconds_are_those_of_psutil():
    psutil = pytest.importorskip("psutil", reason="needs psutil")
    before = peer_common.busy_seconds()
    times = psutil.cpu_times()
    after = peer_common.busy_seconds()
    busy = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
    assert before - 0.1 <= busy <= after + 0.1


def test_program_prints_the_table_and_writes_it(tree, tmp_path, monkeypatch, capsys):
    def perfect(side, task, python):
        Path(task.folder).mkdir()
        for image_id, mask in targets(task).items():
            task.hand_in(image_id, mask)
        replace(RESULT, program=side, network=str(python)).write(task)

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(peers, "train", perfect)
    monkeypatch.setattr(peers.encoders, "provide", lambda init: None)
    monkeypatch.setattr(peers.peer_venv, "python", lambda folder: folder / "python")
    out = tmp_path / "table.md"
    words = ["peers", "--voc", str(tree), "--scratch", str(tmp_path), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [*words, "--minutes", "2.5"])
    peers.main()
    printed = capsys.readouterr().out
    assert printed == out.read_text(encoding="utf-8")
    facts, _, *table = printed.splitlines()
    assert "8 training images, 4 test images, 11 classes" in facts
    assert "2.5 minutes of training each, fp32" in facts
    rows = [line.split(" | ") for line in table[2:]]
    assert [row[0] for row in rows] == ["| ours", "| smp", "| torchvision"]
    assert [row[6] for row in rows] == ["100.00%"] * 3
    python = str(tmp_path / "venv/python")
    assert [row[1] for row in rows] == [sys.executable, python, sys.executable]


def test_data_that_are_missing_are_one_line_with_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["peers", "--voc", str(tmp_path / "a/b/c")])
    with pytest.raises(ValueError, match="missing: dvc repro studies/camvid/dvc.yaml:index$"):
        peers.main()


@pytest.mark.parametrize(
    "words", [["--minutes", "0"], ["--minutes", "ten"], ["--images", "7"], ["--smp-batch", "1"]]
)
def test_options_without_sense_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        peers.parser().parse_args(words)
    assert f"{words[1]!r}: expected" in capsys.readouterr().err


def test_side_that_fails_stops(task):
    with pytest.raises(ValueError, match="ours: failed with status 1"):
        peers.train("ours", task, Path("/bin/false"))


def test_environment_names_a_package_that_it_shares_and_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(peer_venv, "SHARED", ("torch", "no-such-package"))
    with pytest.raises(ValueError, match="no-such-package: not installed"):
        peer_venv.python(tmp_path / "venv")
    assert not (tmp_path / "venv").exists()


def test_environment_that_is_there_is_not_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(peer_venv, "install", lambda *_: pytest.fail("installs"))
    (tmp_path / peer_venv.NOTE).write_text(peer_venv.contents(), encoding="utf-8")
    assert peer_venv.python(tmp_path) == tmp_path / "bin/python"


@pytest.fixture
def smp(monkeypatch):
    """The side of segmentation_models.pytorch, small."""
    reason = "needs segmentation-models-pytorch: run it with .scratch/peers/venv/bin/python"
    pytest.importorskip("segmentation_models_pytorch", reason=reason)
    from benchmarks import peer_smp

    monkeypatch.setattr(peer_smp, "CROP", 32)
    monkeypatch.setattr(peer_smp, "BATCHES", (4, 2))
    return peer_smp


@pytest.fixture
def backbone(tmp_path):
    """Ours with random weights, and the file of them."""
    torch.manual_seed(1)
    ours = EfficientNetLite("efficientnet_lite0").eval()
    path = tmp_path / "backbone.pth"
    torch.save(ours.state_dict(), path)
    return ours, path


def test_smp_trains_and_hands_in_every_mask(smp, task):
    smp.run(task)
    check_handed_in(task, steps=1, batch=4, crop=32)


def test_smp_s_batch_is_the_largest_that_memory_allows_or_the_one_asked_for(smp, task, monkeypatch):
    assert smp.batch_size(task) == 4
    monkeypatch.setattr(smp, "free_memory", lambda: -1)
    assert smp.batch_size(task) == 2
    assert smp.batch_size(replace(task, smp_batch=3)) == 3
    assert smp.batch_size(replace(task, smp_batch=100)) == len(task.train)


def test_smp_computes_in_bf16_where_it_is_asked_for(smp, task):
    losses = []
    for precision in ("fp32", "bf16"):
        peer_common.fix_seeds(0)
        half = replace(task, precision=precision)
        losses += smp.steps(half, 4, smp.build(half), 1)
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.1)


def test_smp_s_encoder_gives_the_features_of_ours(smp, task, backbone):
    ours, path = backbone
    model = smp.build(replace(task, weights=str(path))).eval()
    assert smp.tensors(model) == len([k for k in ours.state_dict() if "num_batches" not in k])
    torch.manual_seed(2)
    image = torch.rand(1, 3, 65, 97)
    with torch.inference_mode():
        features = model.get_submodule("network.encoder")(image)[1:]
        expected = ours(image)
    for theirs, name in zip(features, ["stem", "low", "mid", "aux", "out"], strict=True):
        torch.testing.assert_close(theirs, expected[name], rtol=1e-4, atol=1e-4)


def test_smp_refuses_weights_that_do_not_cover_its_encoder(smp, task, backbone):
    _, path = backbone
    state = torch.load(path)
    del state["conv_stem.weight"]
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"1 tensors differ .*conv_stem\.weight"):
        smp.build(replace(task, weights=str(path)))


def test_smp_s_masks_have_void_where_there_is_no_image(smp):
    augment = smp.augmentation(VOID, seed=0)
    image = np.full((24, 28, 3), 200, np.uint8)
    mask = np.full((24, 28), 3, np.uint8)
    values = set()
    for _ in range(20):
        sample = augment(image=image, mask=mask)
        assert sample["image"].shape == (32, 32, 3) and sample["mask"].shape == (32, 32)
        values |= set(np.unique(sample["mask"]).tolist())
    assert values == {3, VOID}


def test_smp_s_loss_does_not_see_void(smp):
    from segmentation_models_pytorch.losses import DiceLoss

    loss = DiceLoss("multiclass", from_logits=True, ignore_index=VOID)
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    target[:, 0] = VOID
    other = logits.clone()
    other[:, :, 0] = 9 * torch.randn(2, 3, 4)
    assert torch.equal(loss(logits, target), loss(other, target))


def test_smp_s_predictions_have_the_size_of_the_image(smp, task):
    model = smp.build(task).eval()
    image = np.random.default_rng(0).integers(0, 256, (48, 70, 3), dtype=np.uint8)
    assert smp.predict(task, model, image).shape == (48, 70)
