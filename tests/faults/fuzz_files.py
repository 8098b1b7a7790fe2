"""Wrong archives, pictures, masks, lists and folders; see fuzz.py."""

import bz2
import gzip
import io
import lzma
import os
import random
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image, ImageOps

from segmodels.data import archive, index, own, voc
from segmodels.evaluation import folder
from segmodels.prediction import photos

from .fuzz import Trial

torch.set_num_threads(1)  # a process that forks may have no others
CLASSES, VOID = ["background", "cat", "dog"], 255
HEIGHT, WIDTH = 24, 32
IDS = ["a", "b", "c"]
STRANGE_IDS = ["../c", "/etc/hostname", "c/../c", "c\\d", ".", "..", "c\0", "nobody", "c" * 300]


def picture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize((WIDTH, HEIGHT)))


def labels(seed: int) -> np.ndarray:
    small = np.random.default_rng(seed).choice([0, 0, 1, 2, VOID], (HEIGHT // 4, WIDTH // 4))
    return np.kron(small, np.ones((4, 4))).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def mask_bytes(values: np.ndarray, mode: str = "P") -> bytes:
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette(voc.palette().tobytes())
    return encoded(image, "PNG")


JPEGS = [encoded(Image.fromarray(picture(k)), "JPEG", quality=90) for k in range(3)]
MASKS = [mask_bytes(labels(k)) for k in range(3)]


def tree(root: Path) -> Path:
    """A good VOC tree of three pictures, two to train."""
    for k, image_id in enumerate(IDS):
        for path, content in (
            (voc.image_path(root, image_id), JPEGS[k]),
            (voc.target_path(root, image_id), MASKS[k]),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for split, ids in (("train", "a\nb\n"), ("val", "c\n")):
        voc.split_path(root, split).parent.mkdir(parents=True, exist_ok=True)
        voc.split_path(root, split).write_text(ids)
    return root


def damaged(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A few bits, bytes or ranges of a file changed."""
    data, at = bytearray(content), rng.randrange(max(1, len(content)))
    length = rng.choice([1, 4, 16, 200])
    what = rng.choice(
        ["bits", "bits", "bytes", "cut", "zeros", "insert", "delete", "again", "tail"]
    )
    if what == "bits":
        for _ in range(rng.choice([1, 1, 3])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif what == "bytes":
        data[at : at + length] = rng.randbytes(len(data[at : at + length]))
    elif what == "cut":
        del data[at:]
    elif what == "zeros":
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif what == "insert":
        data[at:at] = rng.randbytes(length)
    elif what == "delete":
        del data[at : at + length]
    elif what == "again":
        data[at:at] = data[at : at + length]
    else:
        data += rng.randbytes(length)
    return bytes(data), f"{what} at {at}"


# Archives


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


def _strange_member(rng: random.Random, members: list[tuple]) -> tuple[str, bytes]:
    """Add a member that should do no harm, or a block that no tar would write."""
    top, inside = "VOCdevkit/VOC2012", rng.choice(members)[0].name
    kind = rng.choice(
        ["traversal", "link", "device", "twice", "sparse", "negative", "huge", "headers", "pax"]
    )
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
    elif kind == "twice":
        members.append(_info(rng.choice(["", "./"]) + inside, size=3))
    elif kind == "sparse":
        k = rng.randrange(len(members))
        info = _info(members[k][0].name, tarfile.GNUTYPE_SPARSE)[0]
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        header[386:410] = b"%011o\0%011o\0" % (0, 0)
        header[483:495] = b"%011o\0" % (1 << 30)
        return kind, _summed(header)
    elif kind in ("negative", "huge"):
        sizes = {"negative": [-512, -1024, -(1 << 40)], "huge": [1 << 34, 1 << 62, 1 << 27]}
        name = rng.choice([inside, "skipped", f"{top}/JPEGImages/z.jpg"])
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
        for split in ("train", "val"):
            for image_id in voc.split_path(root, split).read_text().split():
                if not voc.image_path(root, image_id).is_file():
                    return f"{image_id} is listed and not there"
        return None

    return Trial(what, lambda: archive.unpack(path, root), complaint, ["voc.tar"])


def _stored(file: tarfile.TarFile, name: str) -> bytes | None:
    found = [m for m in file.getmembers() if m.name.removeprefix("./") == name]
    member = file.extractfile(found[0]) if len(found) == 1 and found[0].isreg() else None
    return member.read() if member else None


# Pictures


def jpeg(rng: random.Random, home: Path) -> Trial:
    """A damaged photograph of a data set; torchvision's own decoder is the witness."""
    content, what = damaged(rng, rng.choice(JPEGS))
    others = ["PNG", "GIF", "BMP", "TIFF", "WEBP", "EPS"]
    if rng.random() < 0.25:
        what = rng.choice(others)
        content = encoded(Image.fromarray(picture(0)), what)
    elif rng.random() < 0.1:
        sizes = struct.pack(">HH", *rng.choice([(65535, 65535), (0, 0), (1, 60000), (60000, 0)]))
        at = rng.choice(JPEGS).index(b"\xff\xc0") + 5
        what, content = "size", JPEGS[0][:at] + sizes + JPEGS[0][at + 4 :]
    path = home / "a.jpg"
    path.write_bytes(content)

    def complaint(image: np.ndarray) -> str | None:
        data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        try:
            decode = torchvision.io.decode_jpeg
            expected = decode(data, mode=torchvision.io.ImageReadMode.RGB)
        except RuntimeError:  # stricter, e.g. with unknown markers: then Pillow's own decoder
            expected = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)
        if tuple(expected.shape[1:]) != image.shape[:2]:
            return f"{image.shape}, expected {tuple(expected.shape)}"
        apart = np.abs(expected.permute(1, 2, 0).numpy().astype(int) - image).max()
        return f"{apart} apart from the witness" if apart > 4 else None

    return Trial(what, lambda: voc.read_image(path), complaint, ["a.jpg"])


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """With the checksums that belong to the chunks."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in chunks:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        parts.append(struct.pack(">I", len(data)) + kind + data + checksum)
    return b"".join(parts)


def _wrong_mask(rng: random.Random, values: np.ndarray) -> tuple[bytes, str, np.ndarray | None]:
    """Content of a file, how it was made, and the labels that it holds (None: none that count)."""
    what = rng.choice(
        ["damage", "damage", "damage", "mode", "size", "labels", "chunk", "header", "grey", "void"]
    )
    if what == "damage":
        content, how = damaged(rng, mask_bytes(values))
        return content, how, values  # used only if nothing of it was hit
    if what == "mode":
        mode = rng.choice(["RGB", "RGBA", "1", "LA", "I;16", "I", "L4"])
        image = Image.fromarray(values)
        kind = rng.choice(["PNG", "TIFF", "BMP", "GIF"])
        if mode == "L4" or kind != "PNG":
            small = Image.fromarray(values % 4)
            return encoded(small, kind, **({"bits": 4} if kind == "PNG" else {})), kind, None
        return encoded(image.convert(mode), "PNG"), mode, None
    if what == "size":
        height, width = rng.choice([(WIDTH, HEIGHT), (HEIGHT, WIDTH + 1), (1, 1), (HEIGHT * 2, 9)])
        return mask_bytes(np.resize(values, (height, width))), what, None
    if what == "labels":
        bad = values.copy()
        bad[values == 0] = rng.choice([3, 21, 100, 254, 255])
        return mask_bytes(bad), what, None
    if what == "chunk":
        chunks = _chunks(mask_bytes(values))
        kind = rng.choice([b"gAMA", b"zTXt", b"iCCP", b"tEXt", b"tRNS", b"acTL", b"fcTL", b"eXIf"])
        data = rng.randbytes(rng.choice([0, 1, 3, 30]))
        chunks.insert(rng.randrange(1, len(chunks)), (kind, data))
        return _png(chunks), f"{kind.decode()} {len(data)}", values
    if what == "header":
        chunks = _chunks(mask_bytes(values))
        sizes = rng.choice([(1 << 31, 1), (30_000, 30_000), (0, 0), (9_000, 9_900), (1 << 20, 2)])
        chunks[0] = (b"IHDR", struct.pack(">II", *sizes) + chunks[0][1][8:])
        return _png(chunks), f"says {sizes}", None
    if what == "grey":
        return mask_bytes(values, "L"), what, values
    return mask_bytes(np.full_like(values, 1)), what, np.full_like(values, 1)


def mask(rng: random.Random, home: Path) -> Trial:
    """A prediction that `segmodels evaluate` is given; the witness counts pixel by pixel."""
    root, masks = tree(home / "voc"), home / "masks"
    masks.mkdir()
    given = {i: np.where(labels(k) == VOID, 0, labels(k)) for k, i in enumerate(IDS)}
    for image_id, values in given.items():
        (masks / f"{image_id}.png").write_bytes(mask_bytes(values))
    content, what, values = _wrong_mask(rng, given["b"])
    path = masks / "b.png"
    path.write_bytes(content)
    if rng.random() < 0.1:
        path.unlink()
        what, values = rng.choice(["pipe", "folder", "link", "device"]), None
        {"pipe": os.mkfifo, "folder": os.mkdir}.get(
            what, lambda p: os.symlink({"link": p, "device": "/dev/zero"}[what], p)
        )(path)

    def complaint(counts: folder.Counts) -> str | None:
        scored = [i for i in IDS if i in counts.image_ids]
        if "b" not in scored and (len(counts.problems) != 1 or "b.png" not in counts.problems[0]):
            return f"problems {counts.problems}"
        if "b" in scored and values is None:
            return "scored what is no mask of this picture"
        if set(scored) - {"b"} != {"a", "c"}:
            return f"only {scored} of the good ones"
        expected = np.zeros((3, 3), np.int64)
        for k, i in enumerate(IDS):
            if i in scored:
                answer = values if i == "b" else given[i]
                counted = labels(k) != VOID
                np.add.at(expected, (labels(k)[counted], answer[counted]), 1)
        same = np.array_equal(expected, counts.confusion)
        return None if same else f"counts {counts.confusion.tolist()}"

    def attempt() -> folder.Counts:
        return folder.per_image(masks, root, IDS, num_classes=3, ignore_index=VOID)

    return Trial(what, attempt, complaint, ["b.png"])


def photo(rng: random.Random, home: Path) -> Trial:
    """A photograph that `segmodels predict` is given; Pillow without our conversions is a witness
    for what is plain RGB."""
    kind = rng.choice(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "EPS", "PPM", "ICO"])
    mode = rng.choice(["RGB", "RGB", "L", "P"]) if kind in ("PNG", "TIFF") else "RGB"
    image = Image.fromarray(picture(rng.randrange(9))).convert(mode)
    options = {"compression": rng.choice(["raw", "tiff_lzw", "jpeg"])} if kind == "TIFF" else {}
    if kind == "JPEG":
        exif = Image.Exif()
        exif[274] = rng.randrange(0, 12)
        options = {"exif": exif}
    if mode == "P" or options.get("compression") == "jpeg" and mode != "RGB":
        options = {}
    content, what = damaged(rng, encoded(image, kind, **options))
    path = home / "photo.jpg"
    path.write_bytes(content)

    def complaint(array: np.ndarray) -> str | None:
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            return f"{array.dtype} {array.shape}"
        with Image.open(io.BytesIO(content)) as again:
            if again.mode != "RGB" or again.has_transparency_data:
                return None
            expected = np.asarray(ImageOps.exif_transpose(again))
        return None if np.array_equal(array, expected) else "other pixels"

    return Trial(f"{kind} {what}", lambda: photos.read(path), complaint, ["photo.jpg"])


# Lists and folders


def split_list(rng: random.Random, home: Path) -> Trial:
    """The list that `segmodels evaluate` reads."""
    ids = rng.sample([f"2007_{k:06d}" for k in range(99)], 5)
    text, what = (
        "\n".join(ids) + "\n",
        rng.choice(["bom", "crlf", "blank", "twice", "strange", "bytes", "empty"]),
    )
    content: bytes = text.encode()
    if what == "bom":
        content = rng.choice([b"\xef\xbb\xbf", b"\xff\xfe"]) + content
    elif what == "crlf":
        content = content.replace(b"\n", rng.choice([b"\r\n", b"\r", b"\n\n", b" \n"]))
    elif what == "blank":
        content = b"\n\n  " + content + b"\t\n"
    elif what == "twice":
        content += ids[rng.randrange(5)].encode() + b"\n"
    elif what == "strange":
        content += rng.choice(STRANGE_IDS[:7]).encode() + b"\n"
    elif what == "bytes":
        content, _ = damaged(rng, content)
    else:
        content = b""
    path = voc.split_path(home, "val")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    def complaint(found: list[str]) -> str | None:
        witness = content.decode("utf-8-sig").replace("\r", "\n").splitlines()
        expected = [line.strip() for line in witness if line.strip()]
        if found != expected or len(set(found)) < len(found):
            return f"{found}, expected {expected}"
        outside = [i for i in found if os.path.basename(i) != i or i in (".", "..")]
        return f"{outside} lie elsewhere" if outside else None

    return Trial(what, lambda: voc.read_split(home, "val"), complaint, ["val.txt"])


def data_set(rng: random.Random, home: Path) -> Trial:
    """A whole tree with one thing wrong, through the index stage's work."""
    root, i = tree(home / "voc"), rng.choice(IDS)
    what = rng.choice(["image", "mask", "ids", "both", "swap"])
    if what == "image":
        path = voc.image_path(root, i)
        path.write_bytes(damaged(rng, path.read_bytes())[0])
    elif what == "mask":
        content, how, _ = _wrong_mask(rng, labels(IDS.index(i)))
        voc.target_path(root, i).write_bytes(content)
        what = f"mask {how}"
    elif what == "ids":
        with open(voc.split_path(root, rng.choice(["train", "val"])), "ab") as file:
            file.write(rng.choice([*STRANGE_IDS, "a", "c", "\xff"]).encode("latin-1") + b"\n")
    elif what == "both":
        os.remove(rng.choice([voc.image_path, voc.target_path])(root, i))
    else:
        Image.fromarray(picture(0)).rotate(90, expand=True).save(voc.image_path(root, i))

    def attempt() -> object:
        splits = {"train": "train", "val": "val"}
        return index.build(root, splits=splits, classes=CLASSES, void=VOID, groups={})[0]

    def complaint(table: object) -> str | None:
        for row in table.to_dict("records"):
            with Image.open(voc.target_path(root, row["image_id"])) as image:
                pixels = image.histogram()
                size = image.size
            with Image.open(voc.image_path(root, row["image_id"])) as image:
                if not image.size == size == (row["width"], row["height"]):
                    return f"size of {row['image_id']}"
            if [row[name] for name in CLASSES] != pixels[:3] or sum(pixels[3:255]):
                return f"pixels of {row['image_id']}"
        return None if table["image_id"].tolist() == IDS else "other pictures"

    return Trial(what, attempt, complaint, ["voc", "ImageSets"], lines=True)


def own_folder(rng: random.Random, home: Path) -> Trial:
    """The user's own data set with something in it that is no picture."""
    source = tree(home / "mine")
    part = rng.choice(["JPEGImages", "SegmentationClass", "ImageSets/Segmentation"])
    what = rng.choice(["pipe", "device", "broken link", "folder", "loop", "hidden", "link"])
    path = source / part / (".hidden" if what == "hidden" else "z.jpg")
    if what in ("pipe", "hidden"):
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        links = {"device": "/dev/zero", "broken link": "/nowhere", "loop": "."}
        path.symlink_to(links.get(what, source / "JPEGImages/a.jpg"))

    def complaint(_: None) -> str | None:
        if what not in ("hidden", "link"):
            return "was copied"
        copied = [p for p in (home / "root").rglob("*") if not p.is_dir()]
        return None if all(p.is_file() and not p.is_symlink() for p in copied) else "no plain files"

    return Trial(what, lambda: own.copy(source, home / "root"), complaint, ["z.jpg"])


Maker = Callable[[random.Random, Path], Trial]
TARGETS: dict[str, tuple[Maker, int]] = {
    "archive": (tar, 5),
    "jpeg": (jpeg, 3),
    "mask": (mask, 5),
    "photo": (photo, 3),
    "split list": (split_list, 2),
    "data set": (data_set, 3),
    "own folder": (own_folder, 1),
}
