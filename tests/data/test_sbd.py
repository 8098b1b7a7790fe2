"""SBD's masks beside torchvision's reader of the same archive, made here with scipy."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import SBDataset

from segmodels.data import images, layout
from segmodels.data.sources import sbd

TRAIN, VAL = ["b", "v"], ["a", "c", "t"]  # SBD's lists; v is of VOC's val, t of VOC's train
LABELS = {
    i: np.random.default_rng(k).integers(0, 21, (30 + k, 40)).astype(np.uint8)
    for k, i in enumerate(sorted(TRAIN + VAL))
}


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def mat(labels):
    """A file as SBD has them: a struct with the mask, the classes in it, and boundaries."""
    buffer = io.BytesIO()
    classes = {"Boundaries": np.zeros(3), "CategoriesPresent": np.unique(labels)}
    savemat(buffer, {"GTcls": {**classes, "Segmentation": labels}})
    return buffer.getvalue()


@pytest.fixture
def archive(tmp_path):
    members = {"train.txt": "\n".join(TRAIN).encode(), "val.txt": "\n".join(VAL).encode()}
    for image_id, labels in LABELS.items():
        members[f"cls/{image_id}.mat"] = mat(labels)
        members[f"img/{image_id}.jpg"] = encoded(np.stack([labels * 10] * 3, -1), "JPEG")
        members[f"inst/{image_id}.mat"] = b"not needed"
    return write_archive(tmp_path / "benchmark.tgz", members)


def write_archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"benchmark_RELEASE/dataset/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def root(tmp_path):
    """VOC's own part: train t, u; val v."""
    root = tmp_path / "VOC2012"
    for split, ids in {"train": "t\nu\n", "val": "v\n"}.items():
        layout.split_path(root, split).parent.mkdir(parents=True, exist_ok=True)
        layout.split_path(root, split).write_text(ids)
    layout.image_path(root, "t").parent.mkdir()
    for image_id in "tuv":
        layout.image_path(root, image_id).write_bytes(b"VOC's own")
        images.write_target(
            layout.target_path(root, image_id), np.full((2, 3), 7, "u1"), images.palette()
        )
    return root


def test_trainaug_is_voc_train_and_sbd_without_voc_val(archive, root):
    sbd.extend(archive, root)
    assert layout.read_ids(layout.split_path(root, "trainaug")) == ["a", "b", "c", "t", "u"]
    assert layout.read_ids(layout.split_path(root, "train")) == ["t", "u"]
    assert sorted(p.stem for p in (root / "SegmentationClass").iterdir()) == list("abctuv")


def test_masks_and_pictures_equal_torchvisions_reader(archive, root, tmp_path):
    sbd.extend(archive, root)
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path)
    found = 0
    for image_set in ("train", "val"):
        reference = SBDataset(
            str(tmp_path / "benchmark_RELEASE" / "dataset"), image_set, mode="segmentation"
        )
        for k, path in enumerate(reference.images):
            image_id = path.rsplit("/")[-1].removesuffix(".jpg")
            if image_id in {"t", "v"}:
                continue
            image, target = reference[k]
            assert (images.read_image(layout.image_path(root, image_id)) == np.asarray(image)).all()
            assert (
                images.read_target(layout.target_path(root, image_id)) == np.asarray(target)
            ).all()
            assert (np.asarray(target) == LABELS[image_id]).all()
            found += 1
    assert found == 3


def test_vocs_own_pictures_and_masks_are_kept(archive, root):
    sbd.extend(archive, root)
    for image_id in "tuv":
        assert layout.image_path(root, image_id).read_bytes() == b"VOC's own"
        assert (images.read_target(layout.target_path(root, image_id)) == 7).all()


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"train.txt": b"x\n", "val.txt": b"", "img/x.jpg": b""}, "cls/x.mat first"),
        ({"train.txt": b"x\n", "img/x.jpg": b""}, r"no benchmark_RELEASE/.*\{train,val\}.txt"),
    ],
)
def test_incomplete_archive_is_one_line(tmp_path, root, members, reason):
    path = write_archive(tmp_path / "broken.tgz", members)
    pytest.raises(ValueError, sbd.extend, path, root).match(f"^{path}: .*{reason}")
