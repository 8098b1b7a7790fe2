"""Every code block of the Python guide runs, and so do the docstrings' examples."""

import doctest
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.packing import CARD, pack
from PIL import Image

from segmodels import api
from segmodels.core import packed
from segmodels.inference import predictor

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where there is a photograph, and a small model called animals."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packed, "FOLDER", tmp_path / "weights")
    pack(tmp_path / "weights/animals.safetensors", replace(CARD, name="animals"))
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(noise).resize((96, 72)).save("photo.jpg")
    return tmp_path


def test_every_block_of_the_guide_runs(folder):
    text = (ROOT / "docs/guides/python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 10
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    for file in ("mask.png", "overlay.jpg", "cat.png", "confidence.png", "cut_out.png"):
        assert (folder / file).stat().st_size > 0


@pytest.mark.parametrize("module", [api, predictor])
def test_examples_of_docstrings_hold(module):
    outcome = doctest.testmod(module, extraglobs={"np": np})
    assert outcome.attempted and not outcome.failed
