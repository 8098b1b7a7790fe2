"""Stands in for a stage: writes the files that files.json names for it, full of the learning rate.

Called as made_up_stage.py STAGE STUDY [MODEL] in the folder of a project.
"""

import json
import sys
from pathlib import Path

from PIL import Image
from ruamel.yaml import YAML

COLUMNS = "model,epoch,train_cross_entropy,val_cross_entropy,val_miou,floor_miou,predicted,true"


def main():
    files = json.loads(Path("files.json").read_text())
    values = YAML(typ="safe", pure=True).load(Path("params.yaml"))
    rate = values["train"][values["dataset"]]["lr"]
    stage, _, *model = sys.argv[1:]
    name = "@".join([stage, *model])
    for file in map(Path, files.get(name) or files[stage]):
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".csv":
            file.write_text(f"{COLUMNS}\nunet,0,2,2,{rate},0,cat,cat\n")
        elif file.suffix == ".jpg":
            Image.new("RGB", (8, 8), "red").save(file)
        elif "comparison" in file.parts:
            file.write_text(json.dumps({"miou": rate, "pixel_acc": rate}))
        elif "headline" in file.parts:
            said = {"model": values["model"], "dataset": values["dataset"]}
            file.write_text(json.dumps(said | {"miou": rate, "pixel_acc": rate}))
        else:
            file.write_text(f"{name} {rate}")


if __name__ == "__main__":
    main()
