"""Statistics of one model in another, set by hand and by way of the command."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import write_tree
from test_cli import ROOT, TINY, network, status, train_folder
from test_cli import project as project  # a fixture
from test_loop import TinyNet, make_job, make_model
from test_loop import tree as tree  # a fixture
from torch import nn

from segmodels.cli import main
from segmodels.config import params
from segmodels.config.schema import Dataset
from segmodels.data.index import build
from segmodels.training import loop, probe
from segmodels.training.checkpoint import save_weights

VOC_CLASSES = params.load(ROOT / "params.yaml").data.classes
NAMES = ["stem.1.running_mean", "stem.1.running_var"]


@pytest.fixture
def models(tree):
    """A model, and what it became by training with other statistics than it started from."""
    first = make_model()
    list(loop.epochs(first, make_job(tree, epochs=2)))
    last = copy.deepcopy(first)
    list(loop.epochs(last, make_job(tree, epochs=1, warmup_epochs=0, lr=0.05, seed=3)))
    return first, last


def test_each_row_is_the_validation_of_that_mixture(tree, models):
    job = make_job(tree, epochs=1, warmup_epochs=0)
    states = dict(
        zip(("first", "last"), [copy.deepcopy(m.state_dict()) for m in models], strict=True)
    )
    rows = list(probe.exchange(*models, job=job))
    assert [row[:2] for row in rows] == [
        *(("first", "first"), ("first", "last"), ("last", "first"), ("last", "last")),
        ("last", probe.MEASURED),
    ]
    for weights, origin, losses, confusion in rows[:4]:
        mixed = TinyNet()
        mixed.load_state_dict(states[weights] | {name: states[origin][name] for name in NAMES})
        expected, counts = loop.validate(mixed, job)
        assert losses == expected and np.array_equal(confusion, counts)
    assert len({row[2]["cross_entropy"] for row in rows}) == 5  # the statistics do matter


def test_measured_statistics_are_those_of_numpy_and_the_models_stay_as_they_were(tree, models):
    job = make_job(tree, epochs=1, warmup_epochs=0)
    first, last = models
    before = [copy.deepcopy(model.state_dict()) for model in models]
    *_, (_, _, losses, _) = probe.exchange(first, last, job)
    for model, state in zip(models, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())

    seen = []
    hook = last.stem[0].register_forward_hook(lambda *call: seen.append(call[-1].double()))
    with torch.no_grad():
        for image, _ in loop._batches(job, 1):
            job.see(last, image)
    hook.remove()
    pixels = np.concatenate([x.permute(0, 2, 3, 1).reshape(-1, 12).numpy() for x in seen])
    last.stem[1].running_mean.copy_(torch.from_numpy(pixels.mean(0)))
    last.stem[1].running_var.copy_(torch.from_numpy(pixels.var(0, ddof=1)))
    assert losses == pytest.approx(loop.validate(last, job)[0], 1e-5)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)),
        (nn.BatchNorm2d(3), nn.BatchNorm2d(4)),
        (nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3))),
    ],
)
def test_models_without_or_with_other_statistics_are_refused(tree, first, last):
    with pytest.raises(ValueError, match="expected two models of one shape with BatchNorm"):
        next(probe.exchange(first, last, make_job(tree)))


def test_bn_probe_prints_and_writes_what_the_statistics_are_worth(project, capsys):
    root = project / "data/miniature/VOCdevkit/VOC2012"
    write_tree(root, train=9, val=4, num_classes=21)
    index, _ = build(root, Dataset(classes=VOC_CLASSES))
    index.to_csv(project / "data/miniature/index.csv", index=False)
    other = network("tiny")
    for name, values in other.state_dict().items():
        if name.endswith("running_mean"):
            values += 0.5
    save_weights(other.state_dict(), train_folder(project, "moved") / "weights.pt")
    record = (train_folder(project, "tiny") / "provenance.json").read_text()
    (train_folder(project, "moved") / "provenance.json").write_text(record)
    content = yaml.safe_load((project / "params.yaml").read_text())
    content["models"]["moved"] = TINY["tiny"]
    (project / "params.yaml").write_text(yaml.safe_dump(content))

    main(["bn-probe", "tiny", "moved", "--csv", "probe.csv"])
    table = pd.read_csv("probe.csv")
    assert table[["weights of", "statistics"]].to_numpy().tolist() == [
        *(["tiny", "tiny"], ["tiny", "moved"], ["moved", "tiny"], ["moved", "moved"]),
        ["moved", "measured over train"],
    ]
    scores = table.drop(columns=["weights of", "statistics"]).to_numpy()
    assert np.array_equal(scores[0], scores[2]) and np.array_equal(scores[1], scores[3])
    assert not np.array_equal(scores[0], scores[1])
    shown = capsys.readouterr().out
    assert all(f"{value:.4f}" in shown for value in scores.ravel())

    assert status(["bn-probe", "tiny", "tinier"]) == 1
    assert "expected two models of one shape with BatchNorm" in capsys.readouterr().err
