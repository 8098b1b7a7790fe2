"""One model's label maps against the targets -> reports/models/<model>/; needs no torch."""

import json
import shutil
from pathlib import Path

import pandas as pd

from segmodels import params, process
from segmodels.data import voc
from segmodels.evaluation import folder
from segmodels.files import sha256, write_csv, write_json


def main() -> None:
    settings = params.load()
    name = process.argument(settings.models)
    dataset, data, choices = settings.dataset, settings.data, settings.predict[settings.dataset]
    run, report = Path("data/runs") / dataset / name / "train", Path("reports/models") / name
    masks, root = Path("data/predictions") / dataset / name, voc.dataset_root(dataset)
    index = voc.read_index(dataset, data.classes)
    image_ids = index.loc[index["split"] == choices.split, "image_id"].tolist()
    split = data.val if choices.split == "val" else f"holdout of {data.train}"
    counts = folder.per_image(
        masks,
        root,
        process.progress(image_ids, len(image_ids), f"evaluate {name}"),
        num_classes=len(data.classes),
        ignore_index=data.void,
    )
    counts.check_complete()
    trained = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    cost = json.loads((run.parent / "gflops.json").read_text(encoding="utf-8"))
    history = pd.read_csv(run / "history.csv")
    chosen_on = "holdout" if "holdout_miou" in history else "val"
    best = history.iloc[int(history[f"{chosen_on}_miou"].argmax())]
    metrics = {
        **{"model": name, "dataset": dataset, "split": split},
        **(folder.metrics(counts) | {"gflops": cost["gflops"]}),
        **{"best_epoch": int(best["epoch"]), "best_epoch_miou": float(best["val_miou"])},
        "protocol": {
            **{"ground_truth": "original size", "input_long_side": choices.long_side or "original"},
            **{"test_time": choices.test_time, "weights": f"{choices.weights} epoch"},
            **{k: trained["recipe"][k] for k in ("epochs", "batch_size", "crop_size", "init")},
            **{k: trained[k] for k in ("seed", "precision", "device")},
            "gflops_picture": cost["picture"],
            **folder.protocol(masks, root, counts),
            "weights_sha256": sha256(run / choices.weights_file),
        },
    }
    write_json(report / "metrics.json", metrics)
    for file, table in folder.tables(counts, data.classes, data.groups).items():
        write_csv(report / f"{file}.csv", table)
    for copied in ("history.csv", "provenance.json"):
        shutil.copyfile(run / copied, report / copied)
    per_class = pd.read_csv(run / "per_class_history.csv")
    epochs = len(per_class) // len(data.classes)
    write_csv(
        report / "per_class_history.csv", per_class.assign(**{"class": data.classes * epochs})
    )


if __name__ == "__main__":
    process.run(main)
