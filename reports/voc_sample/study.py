"""The study on the VOC sample: trains, scores and compares, in a clone of its own.

    python -m reports.voc_sample.study             all that is missing, hours on two cores
    python -m reports.voc_sample.study MODEL ...   these models of it

The clone lies in .scratch/voc_sample and follows this project's HEAD; DVC there knows what is done,
so that a part which was interrupted goes on and a part which is done takes seconds. Results are
copied beside this file. data/weights/lite0.pth has to be there: see convert.py.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from segmodels import process
from segmodels.evaluation.scores import overlap_miou
from segmodels.evaluation.statistics import differences, intervals
from segmodels.files import write_csv, write_text
from segmodels.reporting import printed, tables

HERE, CLONE = Path("reports/voc_sample"), Path(".scratch/voc_sample")
DATASET = "voc_sample"
FREQUENT = ["background", "cat", "cow", "dog", "horse", "person", "sheep"]


def main() -> None:
    study = yaml.safe_load((HERE / "study.yaml").read_text(encoding="utf-8"))
    sections = study["sections"]
    known = list(dict.fromkeys(name for each in sections.values() for name in each["models"]))
    wanted = sys.argv[1:] or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: expected models of {HERE / 'study.yaml'}: {known}")
    follow()
    for section, content in sections.items():
        names = [name for name in content["models"] if name in wanted]
        for name in names:
            write_params(study, section)
            bring_start(study, section, name)
            evaluate(name)
            choose(study, section, name)
        if names == list(content["models"]):
            write_params(study, section)
            dvc("repro", "plot")
            collect(CLONE / "reports/comparison", HERE / section)
            compare_frequent(names, HERE / section)
        for first, last in content.get("probes", []):
            if not {first, last} <= set(names):
                continue
            file = HERE.absolute() / f"probes/{first}_{last}.csv"
            command = [sys.executable, "-m", "segmodels.cli", "bn-probe", first, last]
            subprocess.run([*command, "--csv", file], cwd=CLONE, check=True)


def evaluate(name: str) -> None:
    """Train, predict and score a model, whatever of it is missing, and copy its results."""
    dvc("repro", f"evaluate@{name}")
    collect(CLONE / "reports/models" / name, HERE / "models" / name)


def compare_frequent(names: list[str], folder: Path) -> None:
    """Scores over the classes of which val has enough pictures, and their paired differences."""
    overlaps = {name: frequent(tables.read_result(name, HERE / "models")) for name in names}
    rows = [
        (name, overlap_miou(overlap.sum(0)), *intervals(overlap[None], np.array([[1]]))[0])
        for name, overlap in overlaps.items()
    ]
    scores = pd.DataFrame(rows, columns=["model", "miou", "low", "high"])
    pairs = differences(overlaps)
    write_csv(folder / "frequent.csv", scores)
    write_csv(folder / "frequent_differences.csv", pairs)
    text = printed.table(
        ["model", f"mIoU of {len(FREQUENT)} classes", "95% interval"],
        [[name, f"{miou:.1%}", f"{low:.1%} to {high:.1%}"] for name, miou, low, high in rows],
    )
    parts = filter(None, [text, printed.differences_markdown(pairs, {folder.name: names})])
    write_text(folder / "frequent.md", "\n".join(parts))


def frequent(result: tables.Result) -> np.ndarray:
    """The pictures' overlaps of these classes alone."""
    classes = result.per_class["class"].tolist()
    return result.overlap[..., [classes.index(name) for name in FREQUENT]]


def choose(study: dict[str, Any], section: str, name: str) -> None:
    """Score a model in each of the section's ways to predict."""
    rows = []
    for variant in study["sections"][section].get("variants", []):
        write_params(study, section, variant)
        dvc("repro", f"evaluate@{name}")
        result = tables.read_result(name, CLONE / "reports/models")
        metrics, protocol = result.metrics, result.metrics["protocol"]
        said = {key: metrics[key] for key in ("dataset", "split", "images")}
        said |= {key: protocol[key] for key in ("input_long_side", "test_time")}
        rows.append({**said, "miou": overlap_miou(frequent(result).sum(0))})
    if rows:
        write_csv(HERE / section / f"variants_{name}.csv", pd.DataFrame(rows))


def follow() -> None:
    """Bring the clone to the commit of this project, its data and results as they were."""
    if git(".", "status", "--porcelain", "--", "segmodels", "stages", "params.yaml", "dvc.yaml"):
        raise ValueError(
            "segmodels, stages, params.yaml or dvc.yaml differ from HEAD: commit first"
        )
    if not CLONE.exists():
        subprocess.run(["git", "clone", "--quiet", ".", str(CLONE)], check=True)
        cache = Path(".dvc/cache").absolute()
        dvc("config", "--local", "cache.dir", str(cache))
    lock = CLONE / "dvc.lock"
    done = lock.read_bytes()
    git(CLONE, "fetch", "--quiet", "origin", "HEAD")
    git(CLONE, "reset", "--quiet", "--hard", "FETCH_HEAD")
    lock.write_bytes(done)
    shutil.copytree("data/weights", CLONE / "data/weights", dirs_exist_ok=True)


def write_params(
    study: dict[str, Any], section: str, predict: dict[str, Any] | None = None
) -> None:
    """Write the clone's params.yaml: this project's with the values of the study and a section."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    content = study["sections"][section]
    models = content["models"]
    params |= {"dataset": DATASET, "models": models, "model": next(iter(models))}
    params |= {"more_models": {}, "studies": {section: list(models)}}
    for overlay in (study["every"], content, {"predict": predict or {}}):
        for key in ("datasets", "train", "predict"):
            params[key][DATASET] |= overlay.get(key, {})
    write_text(CLONE / "params.yaml", yaml.safe_dump(params, sort_keys=False, allow_unicode=True))


def bring_start(study: dict[str, Any], section: str, name: str) -> None:
    """Put the weights that a model starts from where its `init` names them."""
    model = study["sections"][section]["models"][name]
    init = model.get("train", {}).get("init", study["every"]["train"]["init"])
    if init in study["starts"]:
        origin = study["starts"][init]
        weights = CLONE / "data/runs" / DATASET / origin / "train/weights.pt"
        if not weights.is_file():
            raise ValueError(f"{init}: the weights of {origin}, which has to be trained before")
        shutil.copyfile(weights, CLONE / init)
    elif init != "none" and not (CLONE / init).is_file():
        raise ValueError(f"{init}: missing, see {HERE / 'convert.py'}")


def collect(source: Path, target: Path) -> None:
    """Replace a folder of results by those of the clone."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def dvc(*arguments: str) -> None:
    """Run DVC in the clone; its stages start `python`, which has to be this one."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "dvc", *arguments]
    if subprocess.run(command, cwd=CLONE, env={**os.environ, "PATH": path}).returncode:
        raise ValueError(f"dvc {' '.join(arguments)} failed, see above; start again to go on")


def git(folder: str | Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)
    return done.stdout.decode()


if __name__ == "__main__":
    process.run(main)
