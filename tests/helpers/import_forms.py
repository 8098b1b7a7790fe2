"""Twelve labelled images, written in every form that `segmodels import` reads.

Objects are upright boxes of whole pixels, which every form can say exactly. Larger ones come first,
so that those that draw in order and those that put the smaller object on top give one label map.
"""

import argparse
import base64
import json
import unicodedata
from io import BytesIO
from itertools import groupby
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

import numpy as np
from PIL import Image

from segmodels import importing
from segmodels.data import images

CLASSES = ["background", "road", "car", "sign"]
NAMES = [
    "straße 01",
    "日本 2",
    "a b c",
    "Ünï",
    "plain",
    "x-1",
    "x_2",
    "x.3",
    "ça",
    "11",
    "012",
    "Z",
]
ENDINGS = [".jpg", ".JPG", ".png", ".PNG", ".jpeg", ".JPEG"]
VAL = 4  # of the twelve, where a form has a split of its own
SPARSE = {0: 0, 1: 60, 2: 128, 3: 255}  # value that stands for a label


class Box(NamedTuple):
    """An object: pixels left <= x < right, top <= y < bottom."""

    label: int
    left: int
    top: int
    right: int
    bottom: int


class Picture(NamedTuple):
    """An image, its objects and the label map that they make."""

    name: str
    split: str
    ending: str
    pixels: np.ndarray
    boxes: list
    labels: np.ndarray

    @property
    def id(self):
        return unicodedata.normalize("NFC", self.name)

    @property
    def size(self):
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]


def pictures():
    """The twelve."""
    rng = np.random.default_rng(7)
    made = []
    for k, name in enumerate(NAMES):
        height, width = (40, 56) if k % 3 else (51, 37)
        boxes = [
            Box(1, 2 + k, 5, width - 2, height - 3),
            Box(2, 6 + k % 4, 9, 20 + k, 24 + k),
            Box(3, 0, 0, 6 + k % 5, 8),
        ]
        labels = np.zeros((height, width), np.uint8)
        for box in boxes:
            labels[box.top : box.bottom, box.left : box.right] = box.label
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        split = "val" if k >= len(NAMES) - VAL else "train"
        spelt = unicodedata.normalize("NFD", name) if k % 2 else name
        made.append(Picture(spelt, split, ENDINGS[k % 6], pixels, boxes, labels))
    return made


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF"}.get(path.suffix.lower())
    Image.fromarray(pixels).save(path, kind, **options)


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def pairs(root, endings=None, suffix="_Mask", store=lambda labels: labels, mask=".png"):
    """Folders images/ and masks/."""
    for k, one in enumerate(pictures()):
        ending = endings[k % len(endings)] if endings else one.ending
        save(root / "images" / f"{one.name}{ending}", one.pixels)
        save(root / "masks" / f"{one.name}{suffix}{mask}", store(one.labels))
    return ["--classes", ",".join(CLASSES)]


def pairs_of_other_endings(root):
    return pairs(root, endings=[".tif", ".BMP", ".webp", ".TIFF", ".bmp", ".gif"], mask=".TIF")


def pairs_with_splits(root):
    """images/train, images/val and masks/train, masks/val, masks called like their images."""
    for one in pictures():
        save(root / "images" / one.split / f"{one.name}{one.ending}", one.pixels)
        save(root / "masks" / one.split / f"{one.name}.bmp", one.labels)
    return ["--classes", ",".join(CLASSES)]


def pairs_in_one_folder(root):
    for one in pictures():
        save(root / f"{one.name}{one.ending}", one.pixels)
        save(root / f"{one.name}_mask.png", one.labels)
    return ["--classes", ",".join(CLASSES)]


def pairs_of_values(root):
    """Sparse values, named on the command line."""
    table = np.array([SPARSE[label] for label in range(4)], np.uint8)
    pairs(root, suffix="", store=lambda labels: table[labels])
    named = zip(SPARSE.values(), CLASSES, strict=True)
    return [word for value, name in named for word in ("--map", f"{value}={name}")]


def pairs_of_16_bits(root):
    pairs(root, suffix="", store=lambda labels: labels.astype(np.uint16) * 1000)
    named = enumerate(CLASSES)
    return [word for label, name in named for word in ("--map", f"{1000 * label}={name}")]


def pairs_of_colours(root):
    """RGB masks and a table file, with a BOM and CRLF."""
    colours = images.palette()[:4]
    pairs(root, suffix="_L", store=lambda labels: colours[labels])
    rows = [f"{name},{r},{g},{b}" for name, (r, g, b) in zip(CLASSES, colours, strict=True)]
    write(root / "class_dict.csv", "\r\n".join(["name,r,g,b", *rows, ""]), "utf-8-sig")
    return []


def voc_tree(root):
    tree = root / "VOCdevkit/VOC2012"
    lists = {"train": [], "val": []}
    for one in pictures():
        save(tree / "JPEGImages" / f"{one.name}{one.ending}", one.pixels)
        images.write_target(
            tree / f"SegmentationClass/{one.name}.png", one.labels, images.palette()
        )
        lists[one.split].append(one.name)
    for split, names in lists.items():
        text = "\r\n".join([*names, ""])
        write(tree / f"ImageSets/Segmentation/{split}.txt", text, "utf-8-sig")
    return ["--classes", ",".join(CLASSES)]


def cityscapes(root):
    ids = np.array([0, 7, 26, 20], np.uint8)  # unlabeled, road, car, traffic sign
    for one in pictures():
        place = f"{one.split}/town"
        save(root / f"leftImg8bit/{place}/{one.name}_leftImg8bit{one.ending}", one.pixels)
        mask = root / f"gtFine/{place}/{one.name}_gtFine_labelIds.png"
        save(mask, ids[one.labels])
        save(mask.with_name(f"{one.name}_gtFine_color.png"), one.pixels)  # not to be read
    named = ["--map", "traffic sign=sign", "--map", "unlabeled=background"]
    return ["--classes", ",".join(CLASSES), *named]


def camvid(root):
    for one in pictures():
        save(root / one.split / f"{one.name}{one.ending}", one.pixels)
        save(root / f"{one.split}annot" / f"{one.name}.png", one.labels)
    return ["--classes", ",".join(CLASSES)]


def mask_of(one, box):
    mask = np.zeros(one.labels.shape, np.uint8)
    mask[box.top : box.bottom, box.left : box.right] = 1
    return mask


def corners(box, last=0):
    """x0, y0, x1, y1, ... of a box; `last` is 1 where the far edges lie within it."""
    left, top, right, bottom = box.left, box.top, box.right - last, box.bottom - last
    return [left, top, right, top, right, bottom, left, bottom]


def polygon(one, box):
    return [corners(box)]


def counts(mask, order):
    """Run lengths, the first of zeros."""
    found = [(value, len(list(run))) for value, run in groupby(mask.ravel(order).tolist())]
    return [0] * found[0][0] + [length for _, length in found]


def uncompressed(one, box):
    mask = mask_of(one, box)
    return {"size": list(mask.shape), "counts": counts(mask, "F")}


def compressed(one, box):
    from pycocotools import mask as tool

    encoded = tool.encode(np.asfortranarray(mask_of(one, box)))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


def coco_content(chosen, segmentation=polygon):
    """One JSON; ids are neither ordered nor without gaps."""
    annotations, images = [], []
    for k, one in enumerate(chosen):
        width, height = one.size
        entry = {"id": 90 - k, "file_name": f"{one.name}{one.ending}"}
        images.append({**entry, "width": width, "height": height})
        for box in reversed(one.boxes):
            annotation = {"id": len(annotations) + 5, "image_id": 90 - k, "iscrowd": 0}
            annotation["category_id"] = 10 * box.label
            annotation["segmentation"] = segmentation(one, box)
            annotations.append(annotation)
    categories = [{"id": 10 * k, "name": CLASSES[k]} for k in (1, 2, 3)]
    return {"images": images, "annotations": annotations, "categories": categories}


def coco(root, segmentation=polygon):
    """One JSON and all images in a folder."""
    for one in pictures():
        save(root / "images" / f"{one.name}{one.ending}", one.pixels)
    write(root / "annotations.json", json.dumps(coco_content(pictures(), segmentation)))
    return []


def coco_uncompressed(root):
    return coco(root, uncompressed)


def coco_compressed(root):
    return coco(root, compressed)


def coco_with_splits(root):
    """annotations/instances_train2017.json and train2017/, with a BOM."""
    for split in ("train", "val"):
        chosen = [one for one in pictures() if one.split == split]
        for one in chosen:
            save(root / f"{split}2017" / f"{one.name}{one.ending}", one.pixels)
        text = json.dumps(coco_content(chosen), ensure_ascii=False)
        write(root / f"annotations/instances_{split}2017.json", text, "utf-8-sig")
    return []


def labelme(root, kind="polygon"):
    """A JSON beside each folder of images, the path as Windows writes it."""
    for one in pictures():
        width, height = one.size
        save(root / "photos" / f"{one.name}{one.ending}", one.pixels)
        content = {"version": "5.4.1", "flags": {}, "imageHeight": height, "imageWidth": width}
        content["imagePath"] = f"..\\photos\\{one.name}{one.ending}"
        content["shapes"] = [labelme_shape(one, box, kind) for box in one.boxes]
        write(root / f"json/{one.name}.json", json.dumps(content))
    return ["--classes", ",".join(CLASSES)]


def labelme_shape(one, box, kind):
    flat = corners(box, last=1)
    points = [flat[k : k + 2] for k in range(0, 8, 2)]
    shape = {"label": CLASSES[box.label], "shape_type": kind, "group_id": None}
    shape["points"] = points if kind == "polygon" else [points[0], points[2]]
    if kind == "mask":
        content = BytesIO()
        inside = mask_of(one, box)[box.top : box.bottom, box.left : box.right]
        Image.fromarray(inside * 255).save(content, "PNG")
        shape["mask"] = base64.b64encode(content.getvalue()).decode()
    return shape


def labelme_rectangles(root):
    return labelme(root, "rectangle")


def labelme_masks(root):
    return labelme(root, "mask")


def cvat(root, kind="polygon"):
    """annotations.xml and images/; the order of the file is not that of z_order."""
    lines = []
    for k, one in enumerate(pictures()):
        width, height = one.size
        save(root / "images" / f"{one.name}{one.ending}", one.pixels)
        name = quoteattr(f"{one.name}{one.ending}")
        lines.append(f'<image id="{k}" name={name} width="{width}" height="{height}">')
        for box in reversed(one.boxes):
            lines.append(cvat_shape(one, box, kind))
        lines.append("</image>")
    labels = "".join(f"<label><name>{name}</name></label>" for name in CLASSES[1:])
    meta = f"<meta><task><labels>{labels}</labels></task></meta>"
    text = "\n".join(['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", meta, *lines])
    write(root / "annotations.xml", text + "\n</annotations>\n")
    return []


def cvat_shape(one, box, kind):
    begin = f'<{kind} label="{CLASSES[box.label]}" z_order="{box.label}"'
    if kind == "box":
        edges = zip(("xtl", "ytl", "xbr", "ybr"), box[1:], strict=True)
        return begin + "".join(f' {key}="{edge:.2f}"' for key, edge in edges) + "/>"
    if kind == "mask":
        inside = mask_of(one, box)[box.top : box.bottom, box.left : box.right]
        rle = ", ".join(map(str, counts(inside, "C")))
        place = f'left="{box.left}" top="{box.top}"'
        height, width = inside.shape
        return f'{begin} rle="{rle}" {place} width="{width}" height="{height}"/>'
    flat = corners(box)
    points = ";".join(f"{flat[k]:.2f},{flat[k + 1]:.2f}" for k in range(0, 8, 2))
    return f'{begin} points="{points}"/>'


def cvat_boxes(root):
    return cvat(root, "box")


def cvat_masks(root):
    return cvat(root, "mask")


def yolo(root):
    """images/train, labels/train, ...; the digits as programs print them."""
    for one in pictures():
        save(root / "images" / one.split / f"{one.name}{one.ending}", one.pixels)
        lines = []
        for box in reversed(one.boxes):
            width, height = one.size
            flat = corners(box, last=1)
            shares = [x / (height if k % 2 else width) for k, x in enumerate(flat)]
            lines.append(" ".join([str(box.label - 1), *(f"{share:.6f}" for share in shares)]))
        write(root / "labels" / one.split / f"{one.name}.txt", "\r\n".join([*lines, ""]))
    write(root / "data.yaml", "names:\n  0: road\n  1: car\n  2: sign\n")
    return []


FORMS = {
    "pairs": pairs,
    "pairs of other endings": pairs_of_other_endings,
    "pairs with splits": pairs_with_splits,
    "pairs in one folder": pairs_in_one_folder,
    "pairs of values": pairs_of_values,
    "pairs of 16 bits": pairs_of_16_bits,
    "pairs of colours": pairs_of_colours,
    "voc": voc_tree,
    "cityscapes": cityscapes,
    "camvid": camvid,
    "coco": coco,
    "coco uncompressed": coco_uncompressed,
    "coco compressed": coco_compressed,
    "coco with splits": coco_with_splits,
    "labelme": labelme,
    "labelme rectangles": labelme_rectangles,
    "labelme masks": labelme_masks,
    "cvat": cvat,
    "cvat boxes": cvat_boxes,
    "cvat masks": cvat_masks,
    "yolo": yolo,
}
OWN_SPLIT = ["pairs with splits", "voc", "cityscapes", "camvid", "coco with splits", "yolo"]


def bring(source, root, *words):
    """`segmodels import`."""
    parser = argparse.ArgumentParser(prog="segmodels import")
    importing.add(parser)
    importing.run(parser.parse_args([str(source), "--to", str(root), *words]))
