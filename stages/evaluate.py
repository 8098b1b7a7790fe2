"""One model's label maps against the targets -> reports/models/<model>/; needs no torch."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd

from segmodels import params, process
from segmodels.data import voc
from segmodels.evaluation import folder, scores
from segmodels.files import write_csv, write_json


def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    data, size = settings.data, settings.predict[settings.dataset].size
    run = Path("data/runs") / settings.dataset / name
    report = Path("reports/models") / name
    index = voc.read_index(settings.dataset)
    val = index.loc[index["split"] == "val", "image_id"]
    confusion = folder.count(
        Path("data/predictions") / settings.dataset / name,
        voc.dataset_root(settings.dataset),
        process.progress(val, len(val), f"evaluate {name}"),
        num_classes=len(data.classes),
        ignore_index=data.void,
    )
    history = pd.read_csv(run / "train/history.csv")
    best = history.iloc[int(history["val_miou"].argmax())]
    trained = json.loads((run / "train/provenance.json").read_text(encoding="utf-8"))
    metrics = {
        **{"model": name, "dataset": settings.dataset, "split": data.val, "images": len(val)},
        **scores.summarize(confusion),
        **{"best_epoch": int(best["epoch"]), "best_epoch_miou": float(best["val_miou"])},
        "protocol": {
            **{"ground_truth": "original size", "input_long_side": size or "original"},
            **{"test_time": "single scale", "weights": "last epoch"},
            **{k: trained["recipe"][k] for k in ("epochs", "batch_size", "crop_size", "init")},
            **{k: trained[k] for k in ("seed", "precision", "device")},
        },
    }
    write_json(report / "metrics.json", metrics)
    write_csv(report / "per_class.csv", scores.per_class_table(confusion, data.classes))
    write_csv(report / "confusion.csv", scores.confusion_table(confusion, data.classes))
    for file in ("history.csv", "per_class_history.csv", "provenance.json"):
        shutil.copyfile(run / "train" / file, report / file)


if __name__ == "__main__":
    process.run(main)
