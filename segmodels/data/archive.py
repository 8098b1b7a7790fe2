"""Unpack a VOC archive: only what segmentation needs, and nowhere but into the tree.

Members are found by a strict pattern on their whole name and their target paths are composed here,
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

from segmodels.data import layout
from segmodels.data.download import check_space
from segmodels.files import write_text

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


def unpack(archive: Path, root: Path, only: str | Path | None = None) -> None:
    """Write the split lists of a VOC archive and the files of the pictures that they name.

    Args:
        root: becomes a VOC tree, see segmodels.data.layout.
        only: file of image ids to which all lists are restricted, keeping their order.
    Raises:
        ValueError: the archive is broken, lacks a file that is asked for, or has one twice; or the
            disk has no space for its files.
    """
    with opened(archive) as tar:
        members = select(tar, MEMBER)
        lists = read_lists(tar, members, LISTS)
        if not lists:
            raise tarfile.ReadError(f"no VOCdevkit/VOC2012/{LISTS}/*.txt in it")
        if only is not None:
            lists = _restrict(lists, only, archive)
        ids = {image_id for listed in lists.values() for image_id in listed}
        check_complete(members, ids, REQUIRED)
        wanted = [
            (folder, f"{name}.{suffix}", member)
            for (folder, name, suffix), member in members.items()
            if name in ids and SUFFIXES.get(folder) == suffix
        ]
        check_space(root, sum(member.size for *_, member in wanted), "the unpacked archive")
        for split, listed in lists.items():
            write_text(
                layout.split_path(root, split), "".join(f"{image_id}\n" for image_id in listed)
            )
        for folder, name, member in wanted:
            (root / folder).mkdir(exist_ok=True)
            (root / folder / name).write_bytes(read(tar, member))


@contextmanager
def opened(archive: Path) -> Iterator[tarfile.TarFile]:
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
        if match.groups("") in members:
            raise tarfile.ReadError(f"{member.name} occurs twice")
        members[match.groups("")] = member
    return members


def _headers(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """All members, each before its content is passed over."""
    most = max(LARGEST_MEMBER, MOST_TIMES * Path(str(tar.name)).stat().st_size)
    try:
        for member in tar:
            if not 0 <= member.size <= most - member.offset_data:
                limit = f"expected at most {most:,} in all"
                raise tarfile.ReadError(f"{member.name} has {member.size:,} bytes, {limit}")
            yield member
    except (ValueError, OSError) as error:  # e.g. of a number that is none, of gzip's checksum
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


def read_lists(tar: tarfile.TarFile, members: Members, folder: str) -> dict[str, list[str]]:
    """Image ids of the split lists of a folder, by the name of the split, in their order."""
    return {
        name: read(tar, member).decode("utf-8-sig", errors="replace").split()
        for (place, name, suffix), member in members.items()
        if (place, suffix) == (folder, "txt")
    }


def check_complete(members: Members, ids: set[str], required: dict[str, str]) -> None:
    """Each picture must have its file in each required folder.

    Args:
        required: suffix of the files by folder.
    Raises:
        tarfile.ReadError: files are lacking.
    """
    wanted = [(folder, i, suffix) for folder, suffix in required.items() for i in sorted(ids)]
    lacking = ["{}/{}.{}".format(*key) for key in wanted if key not in members]
    if lacking:
        number = f"{len(lacking)} of {len(wanted)} files that its lists ask for"
        raise tarfile.ReadError(f"lacks {number}, {lacking[0]} first")


def _restrict(lists: dict[str, list[str]], only: str | Path, archive: Path) -> dict[str, list[str]]:
    """The lists without the ids that `only` does not name."""
    wanted = layout.read_ids(only)
    if not wanted:
        raise ValueError(f"{only}: names no image")
    lacking = set(wanted).difference(*lists.values())
    if lacking:
        number = f"{len(lacking)} of {len(wanted)} ids, {min(lacking)} first"
        raise ValueError(f"{only}: {number}, are in no list of {archive}")
    keep = set(wanted)
    return {split: [i for i in listed if i in keep] for split, listed in lists.items()}
