"""`segmodels demo` in a process of its own, with two tiny models of different classes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from helpers.packing import CARD, pack

STREET = ["sky", "road", "tree", "car", "building"]  # no background: all of an image is tinted
MODELS = {"animals": CARD.classes, "street": STREET}
PROGRAM = (  # what is started in the background of a shell ignores Ctrl-C
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from pathlib import Path; from segmodels.core import packed; packed.FOLDER = Path('weights');"
    "from segmodels.cli import main; import sys; main(['demo', *sys.argv[1:]])"
)
LARGE = (5000, 4000)  # pixels, width and height
TURNED = 6  # EXIF: the right side of what is stored is shown at the bottom


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Where the demo listens; at the end it goes quietly and has kept nothing."""
    process = start(folder, "--port", "0")
    yield url(process)
    status, _, err = stop(process)
    assert (status, err) == (0, "")
    assert list((folder / "tmp").glob("segmodels-demo-*")) == []


def write(folder: Path) -> Path:
    """Models, and photographs of all kinds; returns the folder."""
    for name, classes in MODELS.items():
        card = replace(CARD, name=name, classes=classes, arguments={"width": 3})
        pack(folder / f"weights/{name}.safetensors", card)
    cat = Image.fromarray(skimage.data.chelsea())
    cat.save(folder / "chelsea.png")
    exif = Image.Exif()
    exif[0x0112] = TURNED
    cat.save(folder / "turned.jpg", exif=exif, quality=95)
    clear = np.dstack([skimage.data.astronaut(), np.full((512, 512), 255, np.uint8)])
    clear[:256, :256, 3] = 0
    Image.fromarray(clear).save(folder / "<b>clear<b>.png")
    cat.resize(LARGE).save(folder / "large.jpg")
    (folder / "notes.jpg").write_text("no picture")
    return folder


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """The command, started in `folder`; its temporary files are in tmp/ there."""
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def url(process: subprocess.Popen) -> str:
    """Where it listens."""
    line = process.stdout.readline()
    return line.split()[0] if line else process.communicate()[1]


def stop(process: subprocess.Popen) -> tuple[int, str, str]:
    """Press Ctrl-C; exit status, and what else it has printed."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err
