"""Defaults of params.yaml: what it comes to, what -S can name, and what another default retrains.

tests/golden/recipes.json has the sections as they were when every key was written out. Whoever
changes a recipe on purpose writes it anew, and sees all that a changed default reaches.
"""

import inspect
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides
from helpers.projects import started
from helpers.warm import dvc

from segmodels.config import params, schema
from tools import golden_recipes

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "params.yaml"
GOLDEN = json.loads(golden_recipes.GOLDEN.read_text(encoding="utf-8"))
ANEW = "tests/golden/recipes.json: if it is meant, write it anew: python -m tools.golden_recipes"
SETTINGS = params.load(COMMITTED)
DOCUMENTS = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
SECTIONS = [
    kind
    for _, kind in inspect.getmembers(schema, inspect.isclass)
    if issubclass(kind, schema.BaseModel) and kind.model_fields
]


def as_json(section):
    """A section as `check` writes it, where 1 and 1.0 differ."""
    return json.dumps(section.model_dump(mode="json"))


@pytest.mark.parametrize("place", GOLDEN)
def test_sections_come_to_what_they_were_when_every_key_was_written_out(place):
    section, dataset = place.split(".")
    assert as_json(getattr(SETTINGS, section)[dataset]) == json.dumps(GOLDEN[place]), ANEW


def test_the_recipes_that_the_tool_writes_are_the_committed_ones():
    assert golden_recipes.text(list(GOLDEN)) == golden_recipes.GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("dataset", SETTINGS.datasets)
def test_recipes_of_all_models_come_to_what_they_were(dataset):
    settings = SETTINGS.model_copy(update={"dataset": dataset})
    for name, model in settings.runs.items():
        written_out = schema.Train.model_validate(GOLDEN[f"train.{dataset}"] | model.train)
        assert as_json(settings.recipe(name)) == as_json(written_out), f"{name}; {ANEW}"


def test_params_yaml_shows_what_a_person_chooses():
    assert len(COMMITTED.read_text(encoding="utf-8").splitlines()) <= 140


@pytest.mark.parametrize("kind", SECTIONS, ids=lambda kind: kind.__name__)
def test_every_key_says_what_it_means(kind):
    for name, field in kind.model_fields.items():
        assert field.description and not field.description.endswith("."), name


def test_a_default_that_its_key_may_not_have_is_refused():
    class Strange(schema.Section):
        lr: schema.Positive = -1

    with pytest.raises(ValueError, match="greater than 0"):
        Strange()


def named_by_overrides():
    """Keys of params.yaml that the documents change with -S, those aside that they add with +."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    found = {key for key in re.findall(r"-S '?([\w.]+)=", text)}
    assert len(found) > 10
    return sorted(found)


@pytest.mark.parametrize("key", named_by_overrides())
def test_a_key_that_documents_change_is_written_in_params_yaml(key):
    """Found: Hydra refuses -S of a key that the file lacks, default or not."""
    section = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))
    for part in key.split("."):
        assert part in section, f"params.yaml: write {key} out, since documents change it with -S"
        section = section[part]


def test_a_key_with_a_default_can_be_changed_for_one_run(tmp_path):
    """Found: of a section and its alias, the alias took the change back."""
    file = tmp_path / "params.yaml"
    shutil.copy(COMMITTED, file)
    apply_overrides(file, ["++train.voc2012.accumulate=4", "++train.voc2012.epochs=3"])
    settings = params.load(file)
    changed = GOLDEN["train.voc2012"] | {"accumulate": 4, "epochs": 3}
    assert as_json(settings.train["voc2012"]) == json.dumps(changed), ANEW
    for dataset in ("miniature", "voc_sample"):
        assert settings.train[dataset] == SETTINGS.train[dataset]
    assert settings.datasets == SETTINGS.datasets


# --- what DVC runs again --------------------------------------------------------------------------

CHECK = """
from pathlib import Path
from segmodels.config import params
from stages.check import write_facts

write_facts(params.load(), Path("data/facts"))
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Check and train of dvc.yaml, whose train trains nothing: after a first `dvc repro`."""
    folder = tmp_path_factory.mktemp("toy")
    for part in ("segmodels", "stages"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    values = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))
    values["models"] = {name: values["models"][name] for name in ("fcn8s", "unet")}
    values["model"] = "unet"
    values["comparisons"] = {}
    write_yaml(folder / "params.yaml", values)
    train = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["train"]
    train["do"] |= {"cmd": "mkdir -p out && touch out/${key}", "outs": ["out/${key}"]}
    (folder / "write_facts.py").write_text(CHECK)
    check = {
        "cmd": "exec sh tools/python -m write_facts",
        "deps": ["params.yaml", "segmodels"],
        "outs": ["data/facts"],
    }
    write_yaml(folder / "dvc.yaml", {"stages": {"check": check, "train": train}})
    for dependency in [path.replace("${here}", "") for path in train["do"]["deps"]]:
        for arch, key in (("fcn_skip", "fcn8s"), ("unet", "unet")):
            path = dependency.replace("${dataset}", "miniature").replace("${key}", key)
            path = folder / path.replace("${item.arch}", arch)
            if not path.is_relative_to(folder / "data/facts"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    Repo.init(str(folder), no_scm=True).close()
    assert ran(folder) == ["check", "train@fcn8s", "train@unet"]
    return folder


def write_yaml(path, values):
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def ran(folder):
    """Stages that `dvc repro` runs."""
    return started(dvc(folder, "repro"))


def test_what_a_key_comes_to_decides_and_not_how_it_is_written(toy):
    file = toy / "params.yaml"
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    values["train"]["miniature"] |= {"poly_power": 0.9, "accumulate": 1}  # the defaults
    values["models"]["fcn8s"]["train"] = {"epochs": values["train"]["miniature"]["epochs"]}
    write_yaml(file, values)
    assert ran(toy) == ["check"]
    values["models"]["fcn8s"]["train"] = {"clip_norm": 1}
    write_yaml(file, values)
    assert ran(toy) == ["check", "train@fcn8s"]


def test_another_default_trains_the_models_that_it_reaches(toy):
    values = yaml.safe_load((toy / "params.yaml").read_text(encoding="utf-8"))
    values["models"]["fcn8s"]["train"] = {"clip_norm": 1}
    write_yaml(toy / "params.yaml", values)
    ran(toy)
    file = toy / "segmodels/config/schema.py"
    default = "clip_norm: Positive | None = Field(None"
    text = file.read_text(encoding="utf-8")
    assert text.count(default) == 1
    file.write_text(text.replace(default, default.replace("(None", "(5")), encoding="utf-8")
    assert ran(toy) == ["check", "train@unet"]
