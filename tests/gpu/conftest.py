"""Marks every test of this folder `gpu`; without a GPU all are skipped, for one reason."""

from pathlib import Path

import pytest
import torch

from segmodels.core import machine

FOLDER = Path(__file__).parent
SKIP = pytest.mark.skip(reason="no CUDA device")


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark, and tell cuBLAS what it reads when it starts."""
    config.addinivalue_line("markers", "gpu: needs a CUDA device")
    if torch.cuda.is_available():
        machine.start("fp32", "auto", deterministic=True, seed=0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker("gpu")
            if not torch.cuda.is_available():
                item.add_marker(SKIP)
