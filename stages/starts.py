"""What each model starts from -> data/starts/<model>.json, so that another file trains again.

data/links gets a link to each file: DVC looks at what a link leads to, wherever that lies.
"""

import os
from pathlib import Path

from segmodels.config import params
from segmodels.config.paths import Paths
from segmodels.core import supervise
from segmodels.core.files import sha256, write_json

NAMED = {"none", "imagenet", "coco"}  # starts that are no files
MADE = ("runs", "predictions", "costs", "page", "starts")  # folders of data/ that DVC empties


def main() -> None:
    here = supervise.study()
    settings = params.load(f"{here}params.yaml")
    paths = settings.paths
    files = dict[str, Path]()
    for name in settings.models:
        init = settings.recipe(name).init
        if init not in NAMED:
            if not Path(init).exists():  # or since `check` wrote it somebody has removed it
                from segmodels.models import encoders

                encoders.provide(init)
            files[name] = start_file(name, init, paths)
        content = sha256(files[name]) if name in files else None
        write_json(paths.starts / f"{name}.json", {"init": init, "sha256": content})
    for link in paths.links.iterdir():
        if link.is_symlink():
            link.unlink()
    for name, file in files.items():
        target = os.path.relpath(file, paths.links)
        (paths.links / f"{name}{file.suffix}").symlink_to(target)


def start_file(model: str, init: str, paths: Paths) -> Path:
    """The file that a model starts from, which has to outlive the stages.

    Raises:
        ValueError: there is no such file, or DVC removes it before the training begins.
    """
    file = Path(init)
    key = f"init = {init!r} of models.{model}"
    place = file.resolve()
    if any(place.is_relative_to((paths.data / folder).resolve()) for folder in MADE):
        raise ValueError(
            f"{key}: DVC removes what a stage has made before the stage runs, this file too: make "
            f"{model} one of `variants`, which name the model whose weights they start from, or "
            f"copy the file, as `cp {init} {model}_start{file.suffix}`, and name the copy (if it "
            "is gone: `dvc checkout` brings it back)"
        )
    if not file.is_file():
        raise ValueError(
            f"{key}: no such file in {Path.cwd()}; expected none, imagenet, coco, a model that "
            "comes along, or a file that exists. `dvc exp run --temp` and --queue work in a copy "
            "that has files of Git and DVC only: there an absolute path is needed"
        )
    return file


if __name__ == "__main__":
    supervise.run(main)
