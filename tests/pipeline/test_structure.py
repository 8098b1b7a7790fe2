"""dvc.yaml against the imports, and the imports against the layering."""

import ast
from pathlib import Path

import pytest
import yaml

from segmodels.config.code import archs, imports, reached

ROOT = Path(__file__).parents[2]
STAGES = sorted(p.stem for p in (ROOT / "stages").glob("*.py") if p.stem != "__init__")
ARCHS = archs()
PARAMS = {  # their values are in data/facts
    "segmodels/config/document.py",
    "segmodels/config/encoders.py",
    "segmodels/config/merging.py",
    "segmodels/config/paths.py",
    "segmodels/config/params.py",
    "segmodels/config/origin.py",
    "segmodels/config/schema.py",
    "segmodels/config/section.py",
    "segmodels/config/template.py",
}
# A wing imports wings of lower floors: training and inference do not import each other. Every wing
# may import BASE and the parameters.
BASE = {"segmodels/__init__.py", "segmodels/core/files.py", "segmodels/core/supervise.py"}
FLOORS = {
    "reporting": 5,
    "training": 4,
    "inference": 4,
    "evaluation": 3,
    "models": 2,
    "data": 1,
    "core": 0,
}
# The command line joins the wings, as the stages do.
ABOVE = {
    "cli.py": [],  # commands by name
    "commands": ["api.py", *FLOORS],
    "api.py": [*FLOORS],
    "new_study.py": ["commands", *FLOORS],
    "importing.py": ["commands", "data"],
}


def stage_deps(stage):
    entry = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]
    return entry.get("do", entry)["deps"]


@pytest.mark.parametrize("stage", [s for s in STAGES if s != "check"])
def test_a_stage_depends_on_the_digest_of_its_code(stage):
    deps = stage_deps(stage)
    assert f"${{here}}data/code/{stage}.txt" in deps
    assert not [dep for dep in deps if dep.endswith(".py")]


@pytest.mark.parametrize("stage", [s for s in STAGES if s != "check"])
def test_what_builds_a_model_depends_on_its_architecture(stage):
    """Beside `train`, through the folder that it writes: its provenance.json has the digest.

    `starts` builds a backbone for the names of its tensors; what it writes has the file's hash.
    """
    builds = "segmodels/models/__init__.py" in reached(f"stages/{stage}.py")  # finds them by name
    deps = stage_deps(stage)
    trained = "${here}data/runs/${dataset}/${key}/train" in deps
    assert "${here}data/code/models/${item.arch}.txt" in stage_deps("train")
    assert not builds or stage in ("train", "starts") or trained


@pytest.mark.parametrize(
    "file", sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "segmodels").rglob("*.py"))
)
def test_imports_point_down(file):
    wing = file.split("/")[1]
    below = ABOVE.get(wing, [])
    if wing in FLOORS:
        below = [other for other in FLOORS if FLOORS[other] < FLOORS[wing]]
    allowed = {*BASE, *PARAMS}
    for imported in imports(file) - allowed:
        assert imported.split("/")[1] in [wing, *below], f"{file} imports {imported}"


@pytest.mark.parametrize("stage", STAGES)
def test_stage_imports_no_other_stage(stage):
    file = f"stages/{stage}.py"
    assert not [f for f in imports(file) if f.startswith("stages/")]


@pytest.mark.parametrize("stage", ["download", "index", "evaluate", "compare", "page", "headline"])
def test_stages_that_compute_no_logits_need_no_torch(stage):
    for file in reached(f"stages/{stage}.py"):
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not {n for n in names if n.split(".")[0] in ("torch", "torchvision")}, file


def test_training_knows_no_concrete_model():
    for wing in ("training", "inference"):
        for path in (ROOT / "segmodels" / wing).glob("*.py"):
            reached = imports(path.relative_to(ROOT).as_posix())
            assert not reached & {f"segmodels/models/{arch}.py" for arch in ARCHS}


@pytest.mark.parametrize("arch", ARCHS)
def test_an_arch_does_not_reach_what_runs_it(arch):
    """Or an edit of a loader would change the digest of every arch."""
    runs = {"encoders", "flops", "matching", "network", "pretrained", "safe_load"}
    found = reached(f"segmodels/models/{arch}.py")
    assert not found & {f"segmodels/models/{name}.py" for name in runs}


def test_training_and_inference_do_not_reach_each_other():
    for wing, other in (("training", "inference"), ("inference", "training")):
        for path in (ROOT / "segmodels" / wing).glob("*.py"):
            found = reached(path.relative_to(ROOT).as_posix())
            assert not [file for file in found if file.startswith(f"segmodels/{other}/")], path


def test_every_model_of_params_has_its_stage_files():
    models = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["models"]
    assert {entry["arch"] for entry in models.values()} <= set(ARCHS)
