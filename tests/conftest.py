"""Shared by all tests: small VOC trees, and the real archive where there is one."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from segmodels.data import images, layout
from segmodels.models.network import Network
from segmodels.reporting.result import Result, read_result

VOID = 255
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
# These take longest and begin first, the longest of all before the others.
LONGEST = ["test_pipeline.py", "test_study_pipeline.py", "test_dvc_views.py", "test_export.py"]
LONGEST += ["test_startup.py", "test_docs.py", "test_backbones.py", "test_checkpoint.py"]


@pytest.hookimpl(trylast=True)  # after the selection by -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each process of pytest-xdist begin with files that take long.

    With worksteal each gets an equal part of the list, to be done in order; one that has nothing
    left takes over the end of another's part. So a file that begins a part stays in one process,
    which makes the file's fixtures once.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    begins: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for k, name in enumerate(LONGEST):
        begins[k % processes] += [item for item in items if item.path.name == name]
    first = {item for begin in begins for item in begin}
    others = [item for item in items if item not in first]
    ordered: list[pytest.Item] = []
    for k, begin in enumerate(begins):
        part = (len(items) - len(ordered)) // (processes - k)  # as worksteal divides
        room = max(0, part - len(begin))
        ordered += begin + others[:room]
        others = others[room:]
    items[:] = ordered + others


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Iterator[None]:
    """Undo what a stage that runs within a test sets for its own process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    if torch.are_deterministic_algorithms_enabled():  # the call imports torch's compiler
        torch.use_deterministic_algorithms(False)


def missing(what: str) -> NoReturn:
    """Skip a test whose program is not there; in CI, where it must be, the test fails."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; with CI set this is a failure")
    pytest.skip(what)


@pytest.fixture(scope="session")
def chromium():
    """The system's Chromium or Chrome, else the one that `playwright install chromium` fetched."""
    from playwright.sync_api import sync_playwright  # slow to import, and few tests need it

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        if program is None and not Path(playwright.chromium.executable_path).exists():
            missing("needs a browser: apt-get install chromium, or playwright install chromium")
        with playwright.chromium.launch(executable_path=program) as browser:
            yield browser


@pytest.fixture(scope="session")
def voc_archive() -> Path:
    """A VOC archive of real photographs, where there is one."""
    if "SEGMODELS_VOC_ARCHIVE" not in os.environ:
        pytest.skip("needs real photographs: set SEGMODELS_VOC_ARCHIVE=/path/to/VOCtrainval.tar")
    return Path(os.environ["SEGMODELS_VOC_ARCHIVE"]).resolve()


@pytest.fixture(scope="session")
def made_up_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pipeline with its page; nothing may write into it but the page stage."""
    from helpers import made_up_page  # it imports this file

    home = tmp_path_factory.mktemp("project")
    made_up_page.write_project(home)
    made_up_page.make_page(home)
    return home


@pytest.fixture(scope="session")
def made_up_results(made_up_project: Path) -> list[Result]:
    from helpers import made_up_page  # it imports this file

    reports = made_up_project / "reports/models"
    return [read_result(model, reports) for model in made_up_page.MODELS]


def write_picture(root: Path, image_id: str, image: np.ndarray, target: np.ndarray) -> None:
    """One pair of a VOC tree."""
    layout.image_path(root, image_id).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(layout.image_path(root, image_id), quality=95)
    images.write_target(layout.target_path(root, image_id), target, images.palette())


def write_split(root: Path, split: str, image_ids: list[str]) -> None:
    path = layout.split_path(root, split)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{image_id}\n" for image_id in image_ids), encoding="utf-8")


def as_network(module, normalization, **changes):
    """A module as the network that predicts, on the CPU in float32 unless changed."""
    return Network("m", module, normalization, [], images.palette(), **changes)


def write_tree(root: Path, *, train: int, val: int, num_classes: int) -> pd.DataFrame:
    """A VOC tree of coloured rectangles, easy to learn, in two sizes.

    Returns:
        its index, the classes called "0", "1", ...
    """
    rng = np.random.default_rng(1)
    rows = []
    for split, count in (("train", train), ("val", val)):
        ids = [f"{split}_{k:03d}" for k in range(count)]
        for k, image_id in enumerate(ids):
            height, width = (48, 64) if k % 3 else (64, 48)
            target = np.zeros((height, width), np.uint8)
            label = 1 + k % (num_classes - 1)
            top, left = rng.integers(4, 20, 2)
            target[top - 1 : top + 21, left - 1 : left + 21] = VOID
            target[top : top + 20, left : left + 20] = label
            colours = images.palette()[np.where(target == VOID, 0, target)].astype(int)
            image = np.clip(colours + rng.integers(-20, 21, colours.shape), 0, 255)
            write_picture(root, image_id, image.astype(np.uint8), target)
            pixels = np.bincount(target.ravel(), minlength=256)[:num_classes]
            rows.append((image_id, split, width, height, *pixels))
        write_split(root, split, ids)
    names = map(str, range(num_classes))
    return pd.DataFrame(rows, columns=["image_id", "split", "width", "height", *names])
