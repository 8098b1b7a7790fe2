"""Wrong reports and tables; see fuzz.py."""

import csv
import io
import json
import math
import random
import shutil
from pathlib import Path

import pandas as pd

from segmodels.data.layout import read_index
from segmodels.reporting import markdown, page, result_files, summary, tables
from segmodels.reporting.result import read_result

from .fuzz import Trial
from .fuzz_samples import CLASSES, swapped, write

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "reports/models/fcn8s"


def report(rng: random.Random, home: Path) -> Trial:
    """One file of reports/models/<model>/; csv and json are the witnesses of what it says."""
    folder = home / "reports/models/fcn8s"
    shutil.copytree(REPORT, folder)
    stem = rng.choice(["metrics", "provenance", "history", *result_files.COLUMNS])
    path = folder / f"{stem}.{'json' if stem in ('metrics', 'provenance') else 'csv'}"
    text, what = swapped(rng, path.read_text(encoding="utf-8"))
    write(path, text)

    def attempt() -> tuple:
        result = read_result("fcn8s", folder.parent)
        markdown.remarks([result])
        return result, summary.table([result]), tables.curves([result])

    def complaint(found: tuple) -> str | None:
        result, table, curves = found
        clean = read_result("fcn8s", REPORT.parent)
        for name, score in clean.metrics.items():
            derived = name in (*summary.SCORES, *summary.COUNTS, "images", "best_epoch_miou")
            if derived and not math.isclose(result.metrics[name], score, rel_tol=1e-8):
                return f"{name} is {result.metrics[name]}, was {score}"
        if stem == "metrics" and result.metrics != json.loads(text):
            return "metrics are not those of the file"
        rows = list(csv.DictReader(io.StringIO((folder / "history.csv").read_text())))
        own = curves[curves["model"] == "fcn8s"]
        for name in rows[0]:
            if name and not all(map(math.isclose, (float(r[name]) for r in rows), own[name])):
                return f"{name} is not that of history.csv"
        for name in ("per_class", "confusion"):
            if not getattr(result, name).equals(getattr(clean, name)) and stem not in (name,):
                return f"{name} changed"
        return None if len(table) == 2 else "models"

    return Trial(f"{stem} {what}", attempt, complaint, [path.name, "fcn8s"])


def index_table(rng: random.Random, home: Path) -> Trial:
    """index.csv as every stage reads it; csv is the witness."""
    head = "image_id,split,width,height,void_share," + ",".join(CLASSES)
    rows = [
        f"{k:03d},{'val' if k % 3 else 'train'},10,8,0.125,40,{20 + k},{10 - k}" for k in range(9)
    ]
    text, what = swapped(rng, "\n".join([head, *rows]) + "\n")
    if rng.random() < 0.2:
        what, text = rng.choice(
            [
                ("swapped columns", text.replace("width,height", "height,width")),
                ("path", text.replace("003,", "../003,")),
                ("split", text.replace("train", "trian", 1)),
                ("more fields", text.replace("\n", ",1\n").replace(",1\n", "\n", 1)),
            ]
        )
    write(home / "data/toy/index.csv", text)

    def complaint(index: pd.DataFrame) -> str | None:
        expected = list(csv.DictReader(io.StringIO(text)))
        if len(expected) != len(index):
            return f"{len(index)} rows"
        for row, found in zip(expected, index.to_dict("records"), strict=True):
            if row["image_id"] != found["image_id"] or row["split"] != found["split"]:
                return f"{found}"
            if any(float(row[name]) != found[name] for name in index.columns[2:]):
                return f"numbers of {row['image_id']}"
            if sum(found[name] for name in CLASSES) + found["void_share"] * 80 != 80:
                return f"pixels of {row['image_id']}"
        return None

    def attempt() -> pd.DataFrame:
        return read_index(Path("data/toy/index.csv"), CLASSES)

    return Trial(what, attempt, complaint, ["index.csv"])


def page_table(rng: random.Random, home: Path) -> Trial:
    """statistics.json or differences.csv, of which the page is made."""
    if rng.random() < 0.5:
        text, what = swapped(rng, (ROOT / "reports/comparison/differences.csv").read_text())
        write(home / "differences.csv", text)

        def rows() -> list:
            table = page.read_differences(home / "differences.csv")
            return [page.difference_row(row) for _, row in table.iterrows()]

        def complaint(found: list) -> str | None:
            given = list(csv.DictReader(io.StringIO(text)))
            for row, cells in zip(given, found, strict=True):
                right = [float(row["difference"]), float(row["low"]), int(row["real"] == "True")]
                if not all(map(math.isclose, right, [cell[1] for cell in cells[1:]])):
                    return f"{row} became {cells}"
            return None

        return Trial(f"differences {what}", rows, complaint, ["differences.csv"])
    facts = {
        split: {
            "images": 9,
            "class_images": {name: 3 + k for k, name in enumerate(CLASSES)},
            "class_shares": {name: 0.25 * k for k, name in enumerate(CLASSES)},
        }
        for split in ("train", "val")
    }
    text, what = swapped(rng, json.dumps(facts, indent=1))
    write(home / "statistics.json", text)

    def attempt() -> list:
        return page.class_facts(page.read_statistics(home / "statistics.json", CLASSES), CLASSES)

    def shown(found: list) -> str | None:
        for row in found:
            for (images, share), split in zip(
                zip(row[1::2], row[2::2], strict=True), json.loads(text).values(), strict=True
            ):
                right = split["class_images"][row[0][0]], split["class_shares"][row[0][0]]
                if (images[1], share[1]) != right or isinstance(images[1], bool):
                    return f"{row} is not what the file says"
        return None

    return Trial(f"statistics {what}", attempt, shown, ["statistics.json"])


TARGETS = {"report": (report, 6), "index table": (index_table, 2), "page table": (page_table, 2)}
