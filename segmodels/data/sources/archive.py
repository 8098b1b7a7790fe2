"""Unpack a VOC archive: only what segmentation needs, and nowhere but into the tree.

Members are chosen by a strict pattern on their whole name and their target paths are composed here,
so whatever a member is called or links to, it cannot leave the folder. What would unpack to many
times the archive's size is refused before it is read.
Source: VOC2012 development kit, section 4.
"""

import lzma
import re
import struct
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segmodels.core.files import check_space
from segmodels.data import layout

LARGEST_MEMBER = 1 << 26  # bytes; the largest that VOC needs has less than 1 MiB
MOST_TIMES = 100  # an archive may unpack to this multiple of its size, or to LARGEST_MEMBER
LISTS = "ImageSets/Segmentation"
REQUIRED = {"JPEGImages": "jpg", "SegmentationClass": "png"}
SUFFIXES = {**REQUIRED, "SegmentationObject": "png", "Annotations": "xml"}
MEMBER = re.compile(
    rf"(?:\./)?VOCdevkit/VOC2012/({LISTS}|{'|'.join(SUFFIXES)})/([A-Za-z0-9_-]+)\.(txt|jpg|png|xml)"
)

DAMAGED = (  # what tarfile raises on a file that is cut off, altered, or something else
    tarfile.TarError,
    lzma.LZMAError,
    struct.error,
    zlib.error,
    EOFError,
    MemoryError,
    OverflowError,
    RecursionError,
)

Members = dict[tuple[str, ...], tarfile.TarInfo]  # by (folder, name, suffix)
Lists = dict[str, list[str]]  # image ids by split


def unpack(archive: Path, root: Path, only: str | Path | None = None) -> None:
    """Write the split lists of a VOC archive and the files of the images that they name.

    Args:
        root: becomes a VOC tree, see segmodels.data.layout.
        only: file of image ids to which all lists are restricted, keeping their order.
    Raises:
        ValueError: the archive is broken, lacks a file that is asked for, or contains one twice;
            or the disk has no space for its files.
    """
    with open_archive(archive) as tar:
        members = select(tar, MEMBER)
        lists = read_lists(tar, members, LISTS)
        if not lists:
            raise tarfile.ReadError(f"no VOCdevkit/VOC2012/{LISTS}/*.txt in it")
        if only is not None:
            lists = _restrict(lists, only, archive)
        image_ids = set[str]().union(*lists.values())
        check_complete(members, image_ids, REQUIRED)
        files: dict[Path, tarfile.TarInfo] = {}
        for (folder, name, suffix), member in members.items():
            if name in image_ids and SUFFIXES.get(folder) == suffix:
                files[root / folder / f"{name}.{suffix}"] = member
        check_space(root, sum(member.size for member in files.values()), "the unpacked archive")
        for split, ids in lists.items():
            layout.write_ids(layout.split_path(root, split), ids)
        for path, member in files.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(read(tar, member))


@contextmanager
def open_archive(archive: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar file, compressed or not, to be read in the body of a `with`.

    Raises:
        ValueError: what the body or tarfile finds wrong with it (a tarfile.TarError), in one line
            that starts with the archive's name.
    """
    try:
        with _open(archive) as tar:
            yield tar
    except DAMAGED as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{archive}: {message}") from None


def _open(archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(archive)
    except ValueError as error:  # of a number in the first header
        raise tarfile.ReadError(str(error)) from None


def select(tar: tarfile.TarFile, pattern: re.Pattern[str]) -> Members:
    """Members whose whole name matches, by the groups of the pattern, in the archive's order.

    Raises:
        tarfile.ReadError: two members have one name; which is meant cannot be known. Or a member
            is larger than an archive of this size can hold.
    """
    members: Members = {}
    for member in _headers(tar):
        match = pattern.fullmatch(member.name)
        if match is None:
            continue
        key = match.groups("")
        if key in members:
            raise tarfile.ReadError(f"{member.name} occurs twice")
        members[key] = member
    return members


def _headers(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """All members, each before its content is skipped."""
    most = max(LARGEST_MEMBER, MOST_TIMES * Path(str(tar.name)).stat().st_size)
    try:
        for member in tar:
            if not 0 <= member.size <= most - member.offset_data:
                limit = f"expected at most {most:,} in all"
                raise tarfile.ReadError(f"{member.name} has {member.size:,} bytes, {limit}")
            yield member
    except (ValueError, OSError) as error:  # e.g. of a wrong number, of gzip's checksum
        raise tarfile.ReadError(str(error)) from None


def read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Content of a regular file of at most LARGEST_MEMBER bytes.

    Raises:
        tarfile.ReadError: a link or a device, or larger.
    """
    if not member.isreg() or member.issparse():
        raise tarfile.ReadError(f"{member.name} is no regular file")
    if member.size > LARGEST_MEMBER:
        limit = f"expected at most {LARGEST_MEMBER:,}"
        raise tarfile.ReadError(f"{member.name} has {member.size:,} bytes, {limit}")
    file = tar.extractfile(member)
    content = file.read() if file else b""
    if len(content) != member.size:
        raise tarfile.ReadError(f"{member.name} is cut off")
    return content


def read_lists(tar: tarfile.TarFile, members: Members, folder: str) -> Lists:
    """Image ids of the split lists of a folder, by the name of the split, in their order."""
    lists = {}
    for (parent, split, suffix), member in members.items():
        if parent == folder and suffix == "txt":
            text = read(tar, member).decode("utf-8-sig", errors="replace")
            lists[split] = text.split()
    return lists


def check_complete(members: Members, image_ids: set[str], required: dict[str, str]) -> None:
    """Refuse an archive in which an image lacks its file in a required folder.

    Args:
        required: suffix of the files by folder.
    Raises:
        tarfile.ReadError: files are missing.
    """
    missing = []
    for folder, suffix in required.items():
        for image_id in sorted(image_ids):
            if (folder, image_id, suffix) not in members:
                missing.append(f"{folder}/{image_id}.{suffix}")
    if missing:
        count = len(required) * len(image_ids)
        number = f"{len(missing)} of {count} files that its lists ask for"
        raise tarfile.ReadError(f"lacks {number}, {missing[0]} first")


def _restrict(lists: Lists, only: str | Path, archive: Path) -> Lists:
    """The lists without the ids that `only` does not name."""
    chosen = layout.read_ids(only)
    if not chosen:
        raise ValueError(f"{only}: names no image")
    missing = set(chosen).difference(*lists.values())
    if missing:
        number = f"{len(missing)} of {len(chosen)} ids, {min(missing)} first"
        raise ValueError(f"{only}: {number}, are in no list of {archive}")
    keep = set(chosen)
    restricted = {}
    for split, image_ids in lists.items():
        restricted[split] = [image_id for image_id in image_ids if image_id in keep]
    return restricted
