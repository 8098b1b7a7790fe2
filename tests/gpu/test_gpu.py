"""The checks of `python -m benchmarks.gpu`, a test each."""

from itertools import chain

import pytest
import torch

from benchmarks import gpu_checks, gpu_runs
from benchmarks.gpu_common import Place

PLACE = Place(torch.device("cuda"), small=False)
CHECKS = dict(chain(gpu_checks.cases(PLACE), gpu_runs.cases(PLACE)))


@pytest.mark.parametrize("name", CHECKS)
def test_gpu(name):
    CHECKS[name]()
