"""The page of `segmodels check`: what is drawn over an image."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from segmodels.config.schema import Dataset
from segmodels.data import images, layout
from segmodels.reporting import contact_sheet


@pytest.mark.parametrize(("first", "tinted"), [("background", False), ("sky", True)])
def test_label_0_is_drawn_unless_it_is_background(tmp_path, first, tinted):
    """Found: the sky of CamVid, its label 0, was never drawn."""
    grey = np.full((40, 60, 3), 200, np.uint8)
    layout.image_path(tmp_path, "a").parent.mkdir(parents=True)
    Image.fromarray(grey).save(layout.image_path(tmp_path, "a"))
    mask = layout.target_path(tmp_path, "a")
    images.write_target(mask, np.zeros((40, 60), np.uint8), images.palette())
    sheet = contact_sheet._Sheet(tmp_path, Dataset(classes=[first, "car"]), None)
    encoded = sheet.overlay("a").uri.partition(",")[2]
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(encoded))))
    expected = 0.4 * 200 if tinted else 200  # VOC's colour of label 0 is black
    assert np.abs(pixels.astype(float) - expected).max() <= 2
