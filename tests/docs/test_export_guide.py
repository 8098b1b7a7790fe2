"""The script of the ONNX guide, run where there is neither this project nor PyTorch."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from helpers.packing import CARD, CLASSES, pack
from PIL import Image

import segmodels
from segmodels.cli import main
from segmodels.core import packed

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/guides/export.md").read_text(encoding="utf-8")
ALONE = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("segmodels", "torch", "torchvision"):
            raise ImportError(f"{name} is not to be imported")

sys.meta_path.insert(0, Refused())
try:
    import segmodels
except ImportError:
    pass
else:
    sys.exit("segmodels can be imported")
"""

pytest.importorskip("onnxruntime", reason="needs the extra: pip install -e '.[onnx]'")
pytest.importorskip("onnxscript", reason="needs the extra: pip install -e '.[onnx]'")


def test_script_gives_the_labels_of_predict_by_numpy_onnxruntime_and_pillow(tmp_path, monkeypatch):
    [script] = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packed, "FOLDER", tmp_path / "weights")
    predict = CARD.predict | {"long_side": 512}  # more than the photograph has
    pack(tmp_path / "weights/animals.safetensors", replace(CARD, name="animals", predict=predict))
    photo = skimage.data.chelsea()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    Image.fromarray(np.rot90(photo)).save("photo.jpg", "PNG", exif=exif)  # lossless
    [command] = re.findall(r"^segmodels (export .*animals\.onnx)$", TEXT, re.MULTILINE)
    main(command.split())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", ALONE + script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    labels = np.asarray(Image.open("labels.png"))
    expected = segmodels.load("animals", device="cpu").predict(photo).labels
    assert (labels == expected).mean() > 0.999
    printed = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert list(printed) == CLASSES
    shares = [(labels == label).mean() for label in range(len(CLASSES))]
    assert [float(share) for share in printed.values()] == pytest.approx(shares)
