"""Loggers: the training that runs -> data/live/history.csv, which `dvc plots show` draws meanwhile.

No stage depends on it or makes it. SEGMODELS_LIVE=tensorboard also writes the event files of
`tensorboard --logdir data/live`; nothing here changes a bit of the results.
"""

import os
import shutil
from typing import Protocol, cast

import pandas as pd

from segmodels.config.paths import Paths
from segmodels.core.files import write_csv


class Board(Protocol):
    """What curves are shown on: torch's SummaryWriter, or what wraps another tool."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...

    def flush(self) -> None: ...


def board(paths: Paths, run: str) -> Board | None:
    """TensorBoard's writer for a training that begins, if SEGMODELS_LIVE asks for it; else None.

    What a tool writes belongs into `paths.live`, which Git ignores.

    Raises:
        ValueError: another tool is asked for, or TensorBoard is not installed.
    """
    tool = os.environ.get("SEGMODELS_LIVE")
    if not tool:
        return None
    if tool != "tensorboard":
        raise ValueError(f"SEGMODELS_LIVE = {tool!r}: expected tensorboard")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError(
            "SEGMODELS_LIVE = 'tensorboard': it is not installed: `pip install -e '.[live]'`"
        ) from None
    folder = paths.live / paths.dataset / run
    shutil.rmtree(folder, ignore_errors=True)  # curves of an earlier training would mix with these
    return cast(Board, SummaryWriter(str(folder)))


def write(paths: Paths, run: str, history: pd.DataFrame, board: Board | None) -> None:
    """Write the epochs so far, rows of `history.table`, and show the last one on the board."""
    write_csv(paths.live / "history.csv", history.assign(model=run))
    if board:
        epoch = history.iloc[-1]
        for name in history.columns.drop("epoch"):
            board.add_scalar(name, epoch[name], int(epoch["epoch"]))
        board.flush()
