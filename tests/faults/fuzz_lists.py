"""Wrong split lists, data sets and folders; see fuzz.py."""

import os
import random
from pathlib import Path

from PIL import Image

from segmodels.config.schema import Dataset
from segmodels.data import index, layout
from segmodels.data.sources import own

from .fuzz import Trial
from .fuzz_pictures import wrong_mask
from .fuzz_samples import CLASSES, IDS, STRANGE_IDS, VOID, damaged, labels, picture, tree


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
    path = layout.split_path(home, "val")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    def complaint(found: list[str]) -> str | None:
        witness = content.decode("utf-8-sig").replace("\r", "\n").splitlines()
        expected = [line.strip() for line in witness if line.strip()]
        if found != expected or len(set(found)) < len(found):
            return f"{found}, expected {expected}"
        outside = [i for i in found if os.path.basename(i) != i or i in (".", "..")]
        return f"{outside} lie elsewhere" if outside else None

    return Trial(what, lambda: layout.read_split(home, "val"), complaint, ["val.txt"])


def data_set(rng: random.Random, home: Path) -> Trial:
    """A whole tree with one thing wrong, through the index stage's work."""
    root, i = tree(home / "voc"), rng.choice(IDS)
    what = rng.choice(["image", "mask", "ids", "both", "swap"])
    if what == "image":
        path = layout.image_path(root, i)
        path.write_bytes(damaged(rng, path.read_bytes())[0])
    elif what == "mask":
        content, how, _ = wrong_mask(rng, labels(IDS.index(i)))
        layout.target_path(root, i).write_bytes(content)
        what = f"mask {how}"
    elif what == "ids":
        with open(layout.split_path(root, rng.choice(["train", "val"])), "ab") as file:
            file.write(rng.choice([*STRANGE_IDS, "a", "c", "\xff"]).encode("latin-1") + b"\n")
    elif what == "both":
        os.remove(rng.choice([layout.image_path, layout.target_path])(root, i))
    else:
        Image.fromarray(picture(0)).rotate(90, expand=True).save(layout.image_path(root, i))

    def attempt() -> object:
        return index.build(root, Dataset(classes=CLASSES, void=VOID))[0]

    def complaint(table: object) -> str | None:
        for row in table.to_dict("records"):
            with Image.open(layout.target_path(root, row["image_id"])) as image:
                pixels = image.histogram()
                size = image.size
            with Image.open(layout.image_path(root, row["image_id"])) as image:
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


TARGETS = {"split list": (split_list, 2), "data set": (data_set, 3), "own folder": (own_folder, 1)}
