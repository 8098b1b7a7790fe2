"""Wrong archives; see fuzz.py."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
from pathlib import Path

from segmodels.data import layout
from segmodels.data.sources import archive

from .fuzz import Trial
from .fuzz_samples import (
    damaged,
    tree,
)


def _members(root: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    found = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        info = tarfile.TarInfo(f"VOCdevkit/VOC2012/{path.relative_to(root).as_posix()}")
        info.size = path.stat().st_size
        found.append((info, path.read_bytes()))
    return found


def _info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tuple:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info, b"?" * size


def _add_member(rng: random.Random, members: list[tuple], kind: str, inside: str) -> None:
    """Add a member with a name or of a type that the tree must not take."""
    top = "VOCdevkit/VOC2012"
    if kind == "traversal":
        names = [
            "../../beside",
            f"{top}/JPEGImages/../../../../../beside",
            "/tmp/beside",
            "..",
            "/",
        ]
        members.insert(rng.randrange(len(members)), _info(rng.choice(names), size=9))
    elif kind in ("link", "device"):
        types = [tarfile.SYMTYPE, tarfile.LNKTYPE]
        if kind == "device":
            types = [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
        name = rng.choice([inside, f"{top}/JPEGImages", top, f"{top}/JPEGImages/z.jpg"])
        target = rng.choice(["../../../beside", "/etc/passwd", inside, "/dev/zero"])
        members.insert(rng.randrange(len(members)), _info(name, rng.choice(types), target))
    else:  # twice
        members.append(_info(rng.choice(["", "./"]) + inside, size=3))


def _strange_member(rng: random.Random, members: list[tuple]) -> tuple[str, bytes]:
    """Add a member that should do no harm, or a block that no tar would write."""
    inside = rng.choice(members)[0].name
    kind = rng.choice(
        ["traversal", "link", "device", "twice", "sparse", "negative", "huge", "headers", "pax"]
    )
    if kind in ("traversal", "link", "device", "twice"):
        _add_member(rng, members, kind, inside)
    elif kind == "sparse":
        k = rng.randrange(len(members))
        info = _info(members[k][0].name, tarfile.GNUTYPE_SPARSE)[0]
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        header[386:410] = b"%011o\0%011o\0" % (0, 0)
        header[483:495] = b"%011o\0" % (1 << 30)
        return kind, _summed(header)
    elif kind in ("negative", "huge"):
        sizes = {"negative": [-512, -1024, -(1 << 40)], "huge": [1 << 34, 1 << 62, 1 << 27]}
        name = rng.choice([inside, "skipped", "VOCdevkit/VOC2012/JPEGImages/z.jpg"])
        info = _info(name, rng.choice([tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME]))
        header = bytearray(info[0].tobuf(tarfile.GNU_FORMAT))
        header[124:136] = tarfile.itn(rng.choice(sizes[kind]), 12, tarfile.GNU_FORMAT)
        return kind, _summed(header)
    elif kind == "headers":
        one = _info("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=9)
        return kind, (one[0].tobuf(tarfile.GNU_FORMAT) + one[1].ljust(512, b"\0")) * 3000
    else:
        records = rng.choice([b"99 path=../beside\n", b"30 size=-1000000\n", b"5 a\n", b"0 a=b\n"])
        one = _info("pax", tarfile.XHDTYPE)[0]
        one.size = len(records)
        return kind, one.tobuf(tarfile.PAX_FORMAT) + records.ljust(512, b"\0")
    return kind, b""


def _summed(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def tar(rng: random.Random, home: Path) -> Trial:
    """An archive with a strange member, or damaged after it was packed, or a bomb."""
    members, what, raw = _members(tree(home / "source")), "damage", b""
    if strange := rng.random() < 0.6:
        what, raw = _strange_member(rng, members)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as file:
        for info, content in members:
            file.addfile(info, io.BytesIO(content))
        end = file.offset
    content = packed.getvalue()
    place = rng.choice([0, end])
    content = content[:place] + raw + content[place:]
    if not strange and rng.random() < 0.15:
        what, (info, _) = "bomb", _info("zeros", size=0)
        info.size = 4 << 30
        head = content[:end] + info.tobuf(tarfile.GNU_FORMAT)
        content = gzip.compress(head, 1) + gzip.compress(bytes(1 << 24), 9) * 256
    elif not strange:
        pack = rng.choice([bytes, bytes, gzip.compress, bz2.compress, lzma.compress])
        content, how = damaged(rng, pack(content))
        what = f"{pack.__name__} {how}"
    path = home / "voc.tar"
    path.write_bytes(content)
    root = home / "root"

    def complaint(_: None) -> str | None:
        """Every file that is there is what tarfile finds under its name, and belongs there."""
        with tarfile.open(path) as file:
            for found in (p for p in root.rglob("*") if not p.is_dir()):
                name = f"VOCdevkit/VOC2012/{found.relative_to(root).as_posix()}"
                if found.is_symlink() or not found.is_file():
                    return f"{name} is no regular file"
                if found.suffix != ".txt" and found.read_bytes() != _stored(file, name):
                    return f"{name} has other bytes"
        for split in (root / archive.LISTS).iterdir():
            for image_id in split.read_text().split():
                if not layout.image_path(root, image_id).is_file():
                    return f"{image_id} is listed and not there"
        return None

    return Trial(what, lambda: archive.unpack(path, root), complaint, ["voc.tar"])


def _stored(file: tarfile.TarFile, name: str) -> bytes | None:
    found = [m for m in file.getmembers() if m.name.removeprefix("./") == name]
    member = file.extractfile(found[0]) if len(found) == 1 and found[0].isreg() else None
    return member.read() if member else None


TARGETS = {"archive": (tar, 5)}
