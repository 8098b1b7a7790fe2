"""params.yaml as one frozen, validated object.

Every number that can change a result stands in params.yaml and nowhere else; sections.py says
which keys there are and which values they may take. A problem is one line: key, value, what is
allowed.
"""

import re
import reprlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML, YAMLError

from segmodels.sections import Dataset, Model, Normalize, Positive, Predict, Section, Train

# Folders of data/ with another meaning.
RESERVED_DATASETS = {
    "code",
    "costs",
    "examples",
    "facts",
    "links",
    "live",
    "own",
    "page",
    "predictions",
    "runs",
    "splits",
    "starts",
    "weights",
}
UNSEEN = {"size", "nfiles"}  # what DVC's run cache leaves out of what tells two runs apart
SHORT = reprlib.Repr()  # never writes out what a few anchors of YAML can make of a value
SHORT.maxlevel, SHORT.maxstring = 2, 60
CONFLICT = re.compile(r"(<{7}|\|{7}|>{7})( |$)")  # Git's, at the beginning of a line


Checked = TypeVar("Checked")


class Params(Section):
    """The whole of params.yaml."""

    dataset: str
    model: str
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    checkpoint_minutes: Positive
    normalize: Normalize
    datasets: dict[str, Dataset]
    train: dict[str, Train]
    predict: dict[str, Predict]
    models: Annotated[dict[str, Model], Field(min_length=1)]
    more_models: dict[str, Annotated[dict[str, Model], Field(min_length=1)]]
    studies: dict[str, Annotated[list[str], Field(min_length=1)]]
    _left_out: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names(self) -> Self:
        for section in ("datasets", "train", "predict"):
            _member("dataset", self.dataset, section, getattr(self, section))
        _member("model", self.model, "models", self.models)
        known = dict(self.every_model)
        if self.predict[self.dataset].split == "holdout" and not self.data.holdout:
            raise ValueError(
                f"predict.{self.dataset}.split = 'holdout': datasets.{self.dataset}.holdout is 0, "
                "expected a number of pictures"
            )
        for name in self.datasets:
            parts = Path(name).parts
            if not parts or set(parts) & {"/", ".."} or set(name) & set(".@$\\:,"):
                raise ValueError(f"datasets.{name}: expected a relative path without . @ $ : ,")
            if parts[0] in RESERVED_DATASETS:
                raise ValueError(f"datasets.{name}: data/{parts[0]} is taken, rename it")
        for name in known:
            if not name.replace("_", "").replace("-", "").isalnum():
                raise ValueError(f"models.{name}: a name has letters, digits, _ and - only")
        return self

    @property
    def every_model(self) -> list[tuple[str, Model]]:
        """Name and model: those of `models`, and all that could take their place."""
        sections = [self.models, *self.more_models.values()]
        return [entry for section in sections for entry in section.items()]

    @property
    def left_out(self) -> tuple[str, ...]:
        """One line for each study that `load` cut because it names a model that nobody defines."""
        return self._left_out

    @property
    def data(self) -> Dataset:
        """The data set in use."""
        return self.datasets[self.dataset]

    def recipe(self, model: str) -> Train:
        """The training section of the data set in use with the overrides of one model."""
        return self.adapted(self.models[model])

    def adapted(self, model: Model) -> Train:
        """The training section of the data set in use with a model's overrides."""
        return Train.model_validate({**self.train[self.dataset].model_dump(), **model.train})

    def model_seed(self, model: str) -> int:
        """The seed of one model: its own, or else the common one."""
        own = self.models[model].seed
        return self.seed if own is None else own

    def normalization(self, model: str) -> Normalize:
        """The normalisation of one model's input."""
        return self.models[model].normalize or self.normalize


def load(path: str | Path = "params.yaml") -> Params:
    """Read and validate params.yaml; a study keeps those of its models that `models` has.

    Where fewer than two of several are left, there is nothing to compare: no such study.

    Raises:
        ValueError: one line for each problem, with key, value and what is allowed.
    """
    text = _text(Path(path))
    try:
        # As DVC reads it: YAML 1.2, a key once; PyYAML would take 010 for 8, of two keys the last.
        values = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        said = " ".join(str(error).split()).partition(" To suppress this check")[0]
        raise ValueError(f"{path}: not valid YAML: {said}") from None
    except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: a value cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected keys and values, found {type(values).__name__}")
    _refuse_unseen(path, values)
    params = _checked(path, "", lambda: Params.model_validate(values))
    sections = {f"more_models.{name}": members for name, members in params.more_models.items()}
    for section, members in {"models": params.models, **sections}.items():
        for name, model in members.items():
            _checked(path, f"{section}.{name}.train", partial(params.adapted, model))
    kept = {
        study: [name for name in names if name in params.models]
        for study, names in params.studies.items()
    }
    drawn = {
        study: names
        for study, names in kept.items()
        if len(names) > 1 or names == params.studies[study]
    }
    cut = params.model_copy(update={"studies": drawn})
    cut._left_out = tuple(_undefined(params, drawn))
    return cut


def _undefined(params: Params, drawn: dict[str, list[str]]) -> Iterator[str]:
    """A line for each study with names that neither `models` nor `more_models` has.

    Where a section of more_models is in models' place, the usual models are missing on purpose.
    """
    if any(set(section) <= set(params.models) for section in params.more_models.values()):
        return
    known = dict(params.every_model)
    for study, names in params.studies.items():
        if unknown := [name for name in names if name not in known]:
            effect = f"drawn with {', '.join(drawn[study])}" if study in drawn else "not drawn"
            yield (
                f"studies.{study}: no model is called {', '.join(unknown)} (removed from `models`, "
                f"or misspelt): {effect}"
            )


def _text(path: Path) -> str:
    """The content; within a list in brackets Git's markers would pass for values."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(_not_here(path)) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from None
    for number, line in enumerate(text.split("\n"), 1):
        if CONFLICT.match(line):
            raise ValueError(
                f"{path}: line {number} is {shown(line)}, a conflict of a merge in Git: keep one "
                "side of each and remove the lines <<<<<<<, |||||||, ======= and >>>>>>>"
            )
    return text


def _not_here(path: Path) -> str:
    """Where a command has to be run that does not find params.yaml."""
    folder = path.absolute().parent
    lack = f"{path.name}: not found in {folder}"
    if (folder / "dvc.yaml").exists():
        return f"{lack}: `git restore {path.name}` brings back the one that Git has"
    for parent in folder.parents:
        if (parent / path.name).exists() and (parent / "dvc.yaml").exists():
            return f"{lack}: run it in {parent}"
    return f"{lack}: run it in the project's folder, where {path.name} and dvc.yaml are"


def _refuse_unseen(path: str | Path, values: dict[Any, Any]) -> None:
    """Refuse keys that DVC passes over where it looks for an earlier run of a stage.

    Source: dvc.stage.cache leaves out every key of these names, which its files have too; it would
    take another value's results for this one's.
    """
    todo, met = [("", values)], set()
    while todo:
        place, section = todo.pop()
        for key, value in section.items():
            name = f"{place}{key}"
            if key in UNSEEN:
                raise ValueError(
                    f"{path}: {name}: DVC does not see keys of this name: take another"
                )
            if isinstance(value, dict) and id(value) not in met:  # of anchors there is no end
                met.add(id(value))
                todo.append((f"{name}.", value))


def _member(key: str, value: str, section: str, allowed: dict[str, Any]) -> None:
    if value not in allowed:
        names = ", ".join(allowed) or "nothing"
        raise ValueError(f"{key} = {value!r}: expected a key of `{section}` (it has {names})")


def _checked(path: str | Path, section: str, make: Callable[[], Checked]) -> Checked:
    """What `make` gives; a problem of it as one line for each, with keys under `section`."""
    try:
        return make()
    except ValidationError as error:
        lines = [" ".join(_line(path, section, problem).split()) for problem in error.errors()]
        raise ValueError("\n".join(lines)) from None
    except RecursionError:
        raise ValueError(f"{path}: values nested without end") from None


def _line(path: str | Path, section: str, problem: Any) -> str:
    """One pydantic problem as one line: key, value, what is allowed."""
    message = problem["msg"].removeprefix("Value error, ")
    key = ".".join(str(part) for part in (section, *problem["loc"]) if part != "")
    if problem["type"] == "extra_forbidden":
        return f"{path}: {key}: unknown key, check its spelling"
    if problem["type"] == "missing":
        return f"{path}: {key}: this key is missing"
    if problem["type"] == "value_error" and isinstance(problem["input"], dict):
        return f"{path}: {key + ': ' if key else ''}{message}"
    return f"{path}: {key} = {shown(problem['input'])}: {message[0].lower() + message[1:]}"


def shown(value: Any) -> str:
    """A value as an error quotes it."""
    text = SHORT.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
