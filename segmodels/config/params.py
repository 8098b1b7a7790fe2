"""params.yaml as one frozen, validated object.

params.yaml says what is chosen; schema.py says which keys there are, which values they may take and
what a key that is left out comes to. A problem is one line: key, value, what is allowed.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from segmodels.config import document, encoders
from segmodels.config.document import shown
from segmodels.config.paths import Paths
from segmodels.config.schema import (
    Comparison,
    Dataset,
    Model,
    Normalize,
    Predict,
    Train,
    Variant,
)
from segmodels.config.section import Positive, Section

# Folders of data/ with another meaning.
FORBIDDEN = set(".@$\\:,")  # in the name of a data set
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
MOST = 5  # problems that an error tells; the others follow from them, as a rule
Checked = TypeVar("Checked")


class Params(Section):
    """The whole of a study's params.yaml.

    `root` leads from its folder to the project's, `here` back; see `segmodels.config.paths`.
    """

    root: str
    here: str
    dataset: str
    model: str
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    checkpoint_minutes: Positive
    normalize: Normalize
    datasets: dict[str, Dataset]
    train: dict[str, Train]
    predict: dict[str, Predict]
    models: Annotated[dict[str, Model], Field(min_length=1)]
    variants: dict[str, Variant]
    comparisons: dict[str, Comparison]
    _left_out: tuple[str, ...] = ()
    _project: Path = Path()

    @model_validator(mode="after")
    def _names(self) -> Self:
        for section in ("datasets", "train", "predict"):
            _member("dataset", self.dataset, section, getattr(self, section))
        _member("model", self.model, "models", {**self.models, **self.variants})
        splits: set[Any] = {self.predict[self.dataset].split}
        entries: list[Model | Variant] = [*self.models.values(), *self.variants.values()]
        splits |= {entry.predict.get("split") for entry in entries}
        if "holdout" in splits and not self.data.holdout:
            raise ValueError(
                f"predict.{self.dataset}.split = 'holdout': datasets.{self.dataset}.holdout is 0, "
                "expected a number of pictures"
            )
        if "test" in splits and self.data.test is None:
            raise ValueError(
                f"predict.{self.dataset}.split = 'test': datasets.{self.dataset}.test is null, "
                "expected the name of a list of image ids"
            )
        for name in self.datasets:
            parts = Path(name).parts
            if not parts or set(parts) & {"/", ".."} or set(name) & FORBIDDEN:
                raise ValueError(f"datasets.{name}: expected a relative path without . @ $ : ,")
            if parts[0] in RESERVED_DATASETS:
                raise ValueError(f"datasets.{name}: data/{parts[0]} is taken, rename it")
        for name in (*self.models, *self.variants):
            if not name.replace("_", "").replace("-", "").isalnum():
                raise ValueError(f"models.{name}: a name has letters, digits, _ and - only")
        return self

    @model_validator(mode="after")
    def _variants_and_comparisons(self) -> Self:
        for name, variant in self.variants.items():
            if name in self.models:
                raise ValueError(f"variants.{name}: a model has that name, take another")
            _member(f"variants.{name}.weights_of", variant.weights_of, "models", self.models)
        for name, comparison in self.comparisons.items():
            if unknown := set(comparison.score_classes or []) - set(self.data.classes):
                raise ValueError(
                    f"comparisons.{name}.score_classes names {sorted(unknown)}: expected classes "
                    f"of {self.dataset}"
                )
        return self

    @property
    def runs(self) -> dict[str, Model]:
        """All that is trained and scored: the models, then their variants in a model's form."""
        variants = {name: self._as_model(variant) for name, variant in self.variants.items()}
        return self.models | variants

    @property
    def paths(self) -> Paths:
        """Where the files of this study lie."""
        return Paths(self.here, self.dataset, self._project)

    @property
    def left_out(self) -> tuple[str, ...]:
        """One line for each comparison that `load` cut, since it names runs that nobody defines."""
        return self._left_out

    @property
    def data(self) -> Dataset:
        """The data set in use."""
        return self.datasets[self.dataset]

    def recipe(self, run: str) -> Train:
        """The training section of the data set in use with the overrides of one run.

        `init: imagenet` is the file of the weights where a package has them, see encoders.py.
        """
        common = self.train[self.dataset].model_dump()
        recipe = Train.model_validate({**common, **self.runs[run].train})
        start = encoders.start(recipe.init, self.runs[run].arguments.get("backbone"))
        return recipe.model_copy(update={"init": start})

    def prediction(self, run: str) -> Predict:
        """The prediction section of the data set in use with the overrides of one run."""
        common = self.predict[self.dataset].model_dump()
        return Predict.model_validate({**common, **self.runs[run].predict})

    def shared_weights(self, run: str) -> str | None:
        """The model whose weights a run has as they are; None: it is trained."""
        variant = self.variants.get(run)
        return variant.weights_of if variant and variant.train is None else None

    def model_seed(self, run: str) -> int:
        """The seed of one run: its own, or else the common one."""
        own = self.runs[run].seed
        return self.seed if own is None else own

    def normalization(self, run: str) -> Normalize:
        """The normalisation of one run's input."""
        return self.runs[run].normalize or self.normalize

    def _as_model(self, variant: Variant) -> Model:
        """The model with a variant's overrides; it starts from that model's last weights."""
        model = self.models[variant.weights_of]
        changes: dict[str, Any] = {"predict": model.predict | variant.predict}
        if variant.train is not None:
            start = self.paths.train(variant.weights_of) / "weights.pt"
            changes["train"] = model.train | {"init": start.as_posix()} | variant.train
        if variant.seed is not None:
            changes["seed"] = variant.seed
        return model.model_copy(update=changes)


def load(path: str | Path = "params.yaml") -> Params:
    """Read and validate a params.yaml; a comparison keeps those of its runs that there are.

    Where fewer than two of several are left, there is nothing to compare: no such comparison.

    Raises:
        ValueError: a line for each of up to `MOST` problems: key, value and what is allowed.
    """
    path = Path(path)
    values = document.read(path)
    params = _checked(path, "", lambda: Params.model_validate(values))
    params._project = _project(path, params)
    for name in params.runs:
        kind = "models" if name in params.models else "variants"
        _checked(path, f"{kind}.{name}.train", partial(params.recipe, name))
        _checked(path, f"{kind}.{name}.predict", partial(params.prediction, name))
    return _cut(params)


def _project(path: Path, params: Params) -> Path:
    """The project's folder, from the one in use; `root` and `here` have to agree about it."""
    folder = path.parent
    project = Path(os.path.normpath(folder / params.root))
    ends_well = not params.here or params.here.endswith("/")
    if not ends_well or (project / params.here).resolve() != folder.resolve():
        raise ValueError(
            f"{path}: root = {params.root!r}, here = {params.here!r}: expected the way to the "
            "project's folder, and from there back to this one with a slash at its end, as ../.. "
            "and studies/camvid/; the project's own study has . and an empty text"
        )
    return project


def _cut(params: Params) -> Params:
    """With those comparisons, and those of their runs, that can be drawn."""
    drawn: dict[str, Comparison] = {}
    for name, comparison in params.comparisons.items():
        runs = [run for run in comparison.runs if run in params.runs]
        if len(runs) > 1 or runs == comparison.runs:
            drawn[name] = comparison.model_copy(update={"runs": runs})
    cut = params.model_copy(update={"comparisons": drawn})
    cut._left_out = tuple(_undefined(params, drawn))
    return cut


def _undefined(params: Params, drawn: dict[str, Comparison]) -> Iterator[str]:
    """A line for each comparison with names that neither `models` nor `variants` has."""
    for name, comparison in params.comparisons.items():
        unknown = [run for run in comparison.runs if run not in params.runs]
        if unknown:
            effect = f"drawn with {', '.join(drawn[name].runs)}" if name in drawn else "not drawn"
            yield (
                f"comparisons.{name}: no model is called {', '.join(unknown)} (removed from "
                f"`models`, or misspelt): {effect}"
            )


def _member(key: str, value: str, section: str, allowed: dict[str, Any]) -> None:
    if value not in allowed:
        names = ", ".join(allowed) or "nothing"
        raise ValueError(f"{key} = {value!r}: expected a key of `{section}` (it has {names})")


def _checked(path: str | Path, section: str, make: Callable[[], Checked]) -> Checked:
    """What `make` gives; a problem of it as one line for each, with keys under `section`."""
    try:
        return make()
    except ValidationError as error:
        problems = sorted(error.errors(), key=_rank)
        lines = [" ".join(_line(path, section, problem).split()) for problem in problems]
        if len(lines) > MOST:
            lines[MOST:] = [f"and {len(lines) - MOST} more"]
        raise ValueError("\n".join(lines)) from None
    except RecursionError:
        raise ValueError(f"{path}: values nested without end") from None


def _rank(problem: Any) -> tuple[bool, int]:
    """A missing section first: without its line, its keys are unknown ones of the section above."""
    return problem["type"] != "missing", len(problem["loc"])


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
