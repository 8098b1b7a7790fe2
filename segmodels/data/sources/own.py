"""The user's own data set: a folder in VOC layout, under `dvc add`."""

import shutil
from pathlib import Path

from segmodels.core.files import check_space

REQUIRED = ["ImageSets/Segmentation", "JPEGImages", "SegmentationClass"]
OPTIONAL = ["SegmentationObject", "Annotations"]


def copy(source: Path, root: Path) -> None:
    """Copy a data set to where the pipeline expects it.

    Args:
        source: folder that holds the three required parts of the VOC layout.
        root: becomes a VOC tree, see segmodels.data.layout.
    Raises:
        ValueError: a required part is missing, or the disk has no space for a copy.
    """
    missing = [part for part in REQUIRED if not (source / part).is_dir()]
    if missing:
        expected = f"expected {', '.join(REQUIRED)} in it; missing: {', '.join(missing)}"
        raise ValueError(f"{source}: {expected}. Put them there, then: dvc add '{source}'")
    parts = [part for part in [*REQUIRED, *OPTIONAL] if (source / part).is_dir()]
    check_space(root, sum(_size(source / part) for part in parts), "the copy")
    for part in parts:
        (root / part).mkdir(parents=True)
        for file in sorted((source / part).iterdir()):
            if file.name.startswith("."):  # of file managers
                continue
            if not file.is_file():  # a folder, a pipe, a device, a link to nothing
                raise ValueError(f"{file}: expected a file")
            shutil.copyfile(file, root / part / file.name)  # no modes: links are read-only


def _size(folder: Path) -> int:
    """Bytes of its files."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
