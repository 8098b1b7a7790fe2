"""The study on the VOC sample: trains, scores and compares, in a clone of its own.

    python -m reports.voc_sample.study             all that is missing, hours on two cores
    python -m reports.voc_sample.study MODEL ...   these models of it
    python -m reports.voc_sample.study --tables    draw again what is here; trains nothing

The clone lies in .scratch/voc_sample and follows this project's HEAD; DVC there knows what is done,
so that a part which was interrupted goes on and a part which is done takes seconds. Results are
copied beside this file. data/weights/lite0.pth and, for the best model, lite2.pth have to be
there: see convert.py.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from matplotlib.figure import Figure

from reports.voc_sample import endpoints, frequent, puzzle
from segmodels import files, params
from segmodels.evaluation.scores import overlap_miou
from segmodels.reporting import tables
from segmodels.reporting.canvas import png
from segmodels.reporting.checks import read_json

HERE, CLONE = Path("reports/voc_sample"), Path(".scratch/voc_sample")
DATASET = "voc_sample"


def main() -> None:
    study = yaml.safe_load((HERE / "study.yaml").read_text(encoding="utf-8"))
    sections = study["sections"]
    known = list(dict.fromkeys(name for each in sections.values() for name in each["models"]))
    wanted = sys.argv[1:] or known
    redraw = wanted == ["--tables"]
    wanted = [] if redraw else wanted
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
        done = all((HERE / "models" / name).is_dir() for name in content["models"])
        if done and (names or redraw) and "variants" not in content:
            compare(study, section)
        for pair in content.get("probes", []):
            if set(pair) & set(names) and all(map(Path.is_file, map(weights, pair))):
                probe(*pair)
        if redraw and "probes" in content:
            probes()
        for file in (HERE / section).glob("variants_*.csv"):
            frequent.variants(file, file.with_suffix(".md"))
    for file in drawn_files(study):
        files.write_bytes(file, png(drawn(study, file)))


def evaluate(name: str) -> None:
    """Train, predict and score a model, whatever of it is missing, and copy its results."""
    dvc("repro", f"evaluate@{name}")
    collect(CLONE / "reports/models" / name, HERE / "models" / name)
    cost = CLONE / "data/runs" / DATASET / name / "cost.json"
    shutil.copyfile(cost, HERE / "models" / name / "cost.json")


def compare(study: dict[str, Any], section: str) -> None:
    """Draw and print a section whose models are all done, here or wherever the results are from."""
    content = study["sections"][section]
    names, folder = list(content["models"]), HERE / "models"
    write_params(study, section)
    dvc("repro", "index")
    for name in names:
        collect(folder / name, CLONE / "reports/models" / name, "cost.json")
    shutil.rmtree(CLONE / "reports/comparison", ignore_errors=True)
    python("stages.plot")
    collect(CLONE / "reports/comparison", HERE / section)
    seconds = {name: read_json(folder / name / "cost.json")["train_seconds"] for name in names}
    minutes = {name: each / 60 for name, each in seconds.items()}
    results = [tables.read_result(name, folder) for name in names]
    untrained = params.load().datasets[DATASET].allow_absent
    frequent.write(results, minutes, studies(content, section), untrained, HERE / section)


def drawn_files(study: dict[str, Any]) -> list[Path]:
    """The figures beside the tables of README.md whose scores are all there."""
    return [
        HERE / section / content.get("file", "scores.png")
        for section, content in study["figures"].items()
        if all((HERE / name / "frequent.csv").is_file() for name in content["tables"])
    ]


def drawn(study: dict[str, Any], file: Path) -> Figure:
    """A figure beside a table, from the table's own frame."""
    content = study["figures"][file.parent.name]
    table, title = scores_of(content["tables"]), content["title"]
    if file.name == "puzzle.png":
        pairs = pd.read_csv(file.parent / "frequent_differences.csv")
        return puzzle.figure(HERE / "models", table, pairs, title)
    metrics = read_json(HERE / "models" / table["model"].iloc[0] / "metrics.json")
    return endpoints.figure(table, title, metrics)


def scores_of(sections: Sequence[str]) -> pd.DataFrame:
    """The scores of sections of one protocol in one table; a model that two of them have once."""
    parts = [pd.read_csv(HERE / section / "frequent.csv") for section in sections]
    return pd.concat(parts).drop_duplicates("model", ignore_index=True)


def probe(first: str, last: str) -> None:
    """Each of two models with the other's BatchNorm statistics."""
    file = HERE.absolute() / f"probes/{first}_{last}.csv"
    python("segmodels.cli", "bn-probe", first, last, "--csv", str(file))
    probes()


def probes() -> None:
    """All exchanges in one table."""
    folder = HERE / "probes"
    frequent.probes(sorted(folder.glob("*.csv")), folder / "probes.md")


def weights(name: str) -> Path:
    """Where the clone keeps a model's last weights."""
    return CLONE / "data/runs" / DATASET / name / "train/weights.pt"


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
        rows.append({**said, "miou": overlap_miou(frequent.overlap(result).sum(0))})
    if rows:
        files.write_csv(HERE / section / f"variants_{name}.csv", pd.DataFrame(rows))


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
    subprocess.run([sys.executable, ".dvc/repair.py"], cwd=CLONE, check=True)  # after a kill
    if Path("data/weights").is_dir():  # tables need none
        shutil.copytree("data/weights", CLONE / "data/weights", dirs_exist_ok=True)


def write_params(
    study: dict[str, Any], section: str, predict: dict[str, Any] | None = None
) -> None:
    """Write the clone's params.yaml: this project's with the values of the study and a section."""
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    content = study["sections"][section]
    models = content["models"]
    values |= {"dataset": DATASET, "models": models, "model": next(iter(models))}
    values |= {"more_models": {}, "studies": studies(content, section)}
    for overlay in (study["every"], content, {"predict": predict or {}}):
        for key in ("datasets", "train", "predict"):
            values[key][DATASET] |= overlay.get(key, {})
    files.write_text(
        CLONE / "params.yaml", yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    )


def studies(content: dict[str, Any], section: str) -> dict[str, list[str]]:
    """What is drawn and compared together: the section, unless it names parts of itself."""
    return content.get("studies", {section: list(content["models"])})


def bring_start(study: dict[str, Any], section: str, name: str) -> None:
    """Put the weights that a model starts from where its `init` names them."""
    model = study["sections"][section]["models"][name]
    init = model.get("train", {}).get("init", study["every"]["train"]["init"])
    if init in study["starts"]:
        origin = study["starts"][init]
        if not weights(origin).is_file():
            raise ValueError(f"{init}: the weights of {origin}, which has to be trained before")
        shutil.copyfile(weights(origin), CLONE / init)
    elif init != "none" and not (CLONE / init).is_file():
        raise ValueError(f"{init}: missing, see {HERE / 'convert.py'}")


def collect(source: Path, target: Path, *without: str) -> None:
    """Replace a folder of results by another one, some of its files left out."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*without))


def dvc(*arguments: str) -> None:
    python("dvc", *arguments)


def python(*arguments: str) -> None:
    """Run a module in the clone; DVC's stages start `python`, which has to be this one."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", *arguments]
    if subprocess.run(command, cwd=CLONE, env={**os.environ, "PATH": path}).returncode:
        raise ValueError(f"{' '.join(arguments)} failed, see above; start again to go on")


def git(folder: str | Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)
    return done.stdout.decode()


if __name__ == "__main__":
    try:  # not process.run, which dies with its parent: hours go on after `nohup ... &` and logout
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit(130)
