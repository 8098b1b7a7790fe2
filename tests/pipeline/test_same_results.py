"""What of two runs has to be equal, so that they count as the same results."""

import pytest

from tools.same_results import outputs

LOCK = """schema: '2.0'
stages:
  check:
    cmd: check
    outs: [{path: data/code, md5: a.dir}, {path: data/facts, md5: b.dir}]
  train@unet:
    cmd: train
    deps: [{path: data/code/train.txt, md5: c}]
    outs:
    - {path: data/runs/miniature/unet/cost.json, md5: d}
    - {path: data/runs/miniature/unet/train, md5: e.dir}
  compare:
    cmd: compare
    outs: [{path: reports/comparison, md5: f.dir}]
"""


@pytest.mark.parametrize("same", ["md5: a.dir", "md5: c}", "md5: d}", "md5: f.dir"])
def test_digests_times_and_what_git_keeps_do_not_count(same):
    assert outputs(LOCK) == outputs(LOCK.replace(same, same.replace("md5: ", "md5: 0")))


def test_weights_count():
    assert outputs(LOCK)["train@unet"] == {"data/runs/miniature/unet/train": "e.dir"}
    assert outputs(LOCK) != outputs(LOCK.replace("e.dir", "0.dir"))
