"""The Semantic Boundaries Dataset as more training images for VOC 2012 ("trainaug").

SBD gives class masks to 11,355 images of VOC 2011, 0 = background to 20, without void. Its own
"train" and "val" are not VOC's: both are taken here, without VOC's val. Where VOC has a mask too,
VOC's is kept. With the whole archives trainaug has 10,582 images.
Source: Hariharan et al., "Semantic Contours from Inverse Detectors", ICCV 2011; benchmark.tgz.
"""

import re
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np

from segmodels.data import images, layout
from segmodels.data.sources.archive import check_complete, open_archive, read, read_lists, select

REQUIRED = {"img": "jpg", "cls": "mat"}
MEMBER = re.compile(
    r"(?:\./)?benchmark_RELEASE/dataset/(?:(img|cls)/)?([A-Za-z0-9_]+)\.(txt|jpg|mat)"
)


def extend(archive: Path, root: Path) -> None:
    """Add SBD's images and masks to a VOC tree and write its split list trainaug.

    Args:
        archive: SBD's benchmark.tgz.
        root: tree with VOC's lists train and val, whose images are left as they are.
    Raises:
        ValueError: the archive is broken or lacks a file of its lists.
    """
    train = set(layout.read_ids(layout.split_path(root, "train")))
    val = set(layout.read_ids(layout.split_path(root, "val")))
    with open_archive(archive) as tar:
        members = select(tar, MEMBER)
        lists = read_lists(tar, members, "")
        if not {"train", "val"} <= lists.keys():
            raise tarfile.ReadError("no benchmark_RELEASE/dataset/{train,val}.txt in it")
        added = {*lists["train"], *lists["val"]} - train - val
        check_complete(members, added, REQUIRED)
        for (folder, image_id, suffix), member in members.items():  # in order: gzip rewinds slowly
            if image_id not in added or REQUIRED.get(folder) != suffix:
                continue
            if folder == "img":
                layout.image_path(root, image_id).write_bytes(read(tar, member))
            else:
                labels = _labels(read(tar, member))
                images.write_target(layout.target_path(root, image_id), labels, images.palette())
    layout.write_ids(layout.split_path(root, "trainaug"), sorted((added | train) - val))


def _labels(content: bytes) -> np.ndarray:
    """The class mask in a .mat file, (H, W) uint8."""
    from scipy.io import loadmat  # slow to import, and nothing else needs it

    classes = loadmat(BytesIO(content), variable_names=["GTcls"])["GTcls"]
    return np.ascontiguousarray(classes["Segmentation"][0, 0], dtype=np.uint8)
