"""The history of the training that runs, for `dvc plots show` and TensorBoard."""

import importlib.util
import random
import sys
import types

import numpy as np
import pandas as pd
import pytest
import torch

from segmodels.config.paths import Paths
from segmodels.training import logger

PATHS = Paths(dataset="toy")

HISTORY = pd.DataFrame(
    {"epoch": [0, 1, 2], "train_loss": [3.0, 2.0, 1.5], "val_miou": [0.01, 0.2, 0.3]}
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGMODELS_LIVE", raising=False)
    return tmp_path


class Board:
    """Keeps what a writer of TensorBoard is given."""

    def __init__(self, folder):
        self.folder = folder
        self.scalars = []
        self.flushed = 0

    def add_scalar(self, name, value, step):
        self.scalars.append((name, value, step))

    def flush(self):
        self.flushed = len(self.scalars)


def asked(monkeypatch):
    """SEGMODELS_LIVE=tensorboard, with a TensorBoard that keeps what it is given."""
    monkeypatch.setenv("SEGMODELS_LIVE", "tensorboard")
    module = types.SimpleNamespace(SummaryWriter=Board)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)


def test_history_grows_with_each_epoch_and_begins_again_with_another_model():
    for epochs in (1, 2, 3):
        logger.write(PATHS, "unet", HISTORY[:epochs], logger.board(PATHS, "unet"))
        read = pd.read_csv("data/live/history.csv")
        pd.testing.assert_frame_equal(read.drop(columns="model"), HISTORY[:epochs])
    logger.write(PATHS, "fcn", HISTORY[:1], None)
    assert pd.read_csv("data/live/history.csv")["model"].tolist() == ["fcn"]


def test_board_has_every_value_of_every_epoch_once(monkeypatch):
    asked(monkeypatch)
    board = logger.board(PATHS, "unet")
    for epochs in (1, 2, 3):
        logger.write(PATHS, "unet", HISTORY[:epochs], board)
        assert board.flushed == 2 * epochs
    assert board.folder == "data/live/toy/unet"
    assert board.scalars[-2:] == [("train_loss", 1.5, 2), ("val_miou", 0.3, 2)]


def test_a_training_that_begins_again_removes_the_curves_of_the_one_before(monkeypatch):
    asked(monkeypatch)
    old = [PATHS.live / place for place in ("toy/unet/events.out.1", "toy/fcn/events.out.1")]
    for path in old:
        path.parent.mkdir(parents=True)
        path.touch()
    logger.board(PATHS, "unet")
    assert [path.exists() for path in old] == [False, True]


def test_tensorboard_that_is_missing_is_one_line_that_says_how_to_install_it(monkeypatch):
    monkeypatch.setenv("SEGMODELS_LIVE", "tensorboard")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"not installed: `pip install -e '\.\[live\]'`") as caught:
        logger.board(PATHS, "unet")
    assert len(str(caught.value).splitlines()) == 1


def test_another_tool_is_refused(monkeypatch):
    monkeypatch.setenv("SEGMODELS_LIVE", "nosuch")
    with pytest.raises(ValueError, match="SEGMODELS_LIVE = 'nosuch': expected tensorboard"):
        logger.board(PATHS, "unet")


def test_tensorboard_itself_reads_the_history_back(monkeypatch):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setenv("SEGMODELS_LIVE", "tensorboard")
    board = logger.board(PATHS, "unet")
    for epochs in (1, 2, 3):
        logger.write(PATHS, "unet", HISTORY[:epochs], board)
    events = accumulator.EventAccumulator("data/live/toy/unet").Reload()
    read = [(event.step, event.value) for event in events.Scalars("val_miou")]
    assert [step for step, _ in read] == [0, 1, 2]
    assert [value for _, value in read] == pytest.approx([0.01, 0.2, 0.3])


def test_no_random_number_is_drawn(monkeypatch):
    """Else the training after it would have other bits."""
    monkeypatch.setenv("SEGMODELS_LIVE", "tensorboard")
    if importlib.util.find_spec("tensorboard") is None:
        asked(monkeypatch)

    def state():
        python, array = random.getstate(), np.random.get_state()
        return python, array[1].tolist(), array[2], torch.get_rng_state().tolist()

    before = state()
    logger.write(PATHS, "unet", HISTORY, logger.board(PATHS, "unet"))
    assert state() == before
