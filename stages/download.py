"""The data set in use -> data/<dataset>/VOCdevkit/VOC2012: drawn, downloaded, imported, or own."""

import hashlib
import os
import shutil
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from segmodels import importing
from segmodels.config import params
from segmodels.config.origin import Archive, Download
from segmodels.core import supervise
from segmodels.data.sources import archive, camvid, download, own, sbd, sourced, tidy
from segmodels.data.sources.miniature import generate

SEED = 2012  # of miniature; not params.seed: that makes another training, not another data set
SCRATCH = Path(os.environ.get("DVC_ROOT", ".")) / ".scratch"  # DVC empties outs before a stage runs


def main() -> None:
    here = supervise.study()
    settings = params.load(f"{here}params.yaml")
    data, root = settings.data, settings.paths.tree
    tree = root.with_name(f".{root.name}.part")  # renamed once it is whole
    with download.alone(SCRATCH / place(data.archive)) as scratch:
        shutil.rmtree(tree, ignore_errors=True)
        if data.generate:
            generate.generate(tree, **dict(data.generate), classes=data.classes, seed=SEED)
        elif data.archive:
            unpack(data.archive, tree, scratch)
            if data.sbd:
                sbd.extend(obtain(data.sbd, "SEGMODELS_SBD_ARCHIVE", scratch / "sbd"), tree)
        elif data.source:
            imported = sourced.bring(data, settings.paths, tree)
            print(*importing.summary(imported, root), sep="\n", file=sys.stderr)
        else:
            own.copy(settings.paths.own, tree)
        if not data.generate:
            report(tidy.tidy(tree, data, partial(tqdm, unit=" images", disable=None)))
        shutil.rmtree(root, ignore_errors=True)
        tree.rename(root)


def report(done: dict[str, int]) -> None:
    """Say what was brought into another form."""
    if done["masks"]:
        print(f"{done['masks']} masks converted to label maps", file=sys.stderr)
    if done["images"]:
        print(
            f"{done['images']} images fit their masks only without their EXIF: stored so",
            file=sys.stderr,
        )


def place(source: Archive | None) -> str:
    """The folder in which an archive is downloaded, the same for all studies that want it."""
    if source is None:
        return "download"
    if source.md5:
        return source.md5[0]
    return hashlib.sha256(source.urls[0].encode()).hexdigest()[:32]


def unpack(source: Archive, tree: Path, scratch: Path) -> None:
    """Make a tree of an archive."""
    if source.layout == "camvid":
        camvid_tar = obtain(source, "SEGMODELS_CAMVID_ARCHIVE", scratch)
        camvid.unpack(camvid_tar, tree, Path(str(source.splits)))
    else:
        voc_tar = obtain(source, "SEGMODELS_VOC_ARCHIVE", scratch)
        archive.unpack(voc_tar, tree, source.only)


def obtain(source: Download, variable: str, folder: Path) -> Path:
    """The archive that an environment variable names, or a download; verified either way."""
    if os.environ.get(variable):
        return download.verify(os.environ[variable], source.md5)
    return download.fetch(source.urls, source.md5, folder, variable)


if __name__ == "__main__":
    supervise.run(main)
