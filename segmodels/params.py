"""params.yaml as frozen, validated objects.

Every number that can change a result stands in params.yaml and nowhere else; this module only says
which keys there are and which values they may take. A problem is one line: key, value, what is
allowed. Field meanings and units are the comments of params.yaml.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

RESERVED_DATASETS = {
    "own",
    "runs",
    "predictions",
    "page",
    "splits",
}  # folders of data/ with another meaning
INDEX_COLUMNS = {"image_id", "split", "width", "height", "void_share"}  # of index.csv

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Triple = tuple[float, float, float]
Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["poly", "cosine", "onecycle"]
BatchNorm = Literal["train", "frozen", "recalibrate"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


def _thread_count(value: int | str) -> int | str:
    if value != "auto" and (isinstance(value, str) or value < 1):
        raise ValueError("expected auto or a number from 1")
    return value


Threads = Annotated[int | str, AfterValidator(_thread_count)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Download(_Section):
    """A file with a known checksum at any of several addresses."""

    urls: Annotated[list[str], Field(min_length=1)]
    md5: Annotated[list[Annotated[str, Field(pattern="^[0-9a-f]{32}$")]], Field(min_length=1)]


class Archive(Download):
    """A VOC archive; `only` names a file of image ids to which its splits are restricted."""

    only: str | None = None


class Generate(_Section):
    """Size of the generated data set, pictures and pixels."""

    train: Count
    val: Count
    short_side: Annotated[int, Field(ge=32)]
    long_side: Annotated[int, Field(ge=32)]


class Dataset(_Section):
    """Where a data set comes from and what its labels mean.

    With `archive` it is downloaded, with `generate` drawn, with neither it is the user's own and
    lies in data/own/<name>. `holdout` pictures of train become a split of their own.
    """

    classes: Annotated[list[str], Field(min_length=2, max_length=255)]
    groups: dict[str, list[str]] = {}
    palette: list[tuple[int, int, int]] | None = None
    void: Annotated[int, Field(ge=0, le=255)] = 255
    train: str = "train"
    val: str = "val"
    holdout: Annotated[int, Field(ge=0)] = 0
    archive: Archive | None = None
    sbd: Download | None = None
    generate: Generate | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.classes)) < len(self.classes) or INDEX_COLUMNS & set(self.classes):
            others = ", ".join(sorted(INDEX_COLUMNS))
            raise ValueError(f"class names must differ from each other and from {others}")
        if self.void < len(self.classes):
            raise ValueError(f"void = {self.void} is also the label of class {self.void}")
        if self.palette is not None and len(self.palette) != len(self.classes):
            raise ValueError("palette needs one colour for each class")
        unknown = {c for names in self.groups.values() for c in names} - set(self.classes)
        if unknown:
            raise ValueError(f"groups name {sorted(unknown)}, which are not in classes")
        if self.archive and self.generate:
            raise ValueError("a data set has an archive or is generated, not both")
        if self.sbd and (self.archive is None or self.archive.only):
            raise ValueError("sbd extends a whole archive: one without `only`")
        return self


class Loss(_Section):
    """Weights of the parts of the loss."""

    cross_entropy: NotNegative
    dice: NotNegative

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.cross_entropy == self.dice == 0:
            raise ValueError("cross_entropy and dice are both 0: expected one above 0")
        return self


class Train(_Section):
    """How every model of a data set is trained."""

    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    crop_size: Annotated[int, Field(ge=32)]
    base_size: Annotated[int, Field(ge=32)] | None
    scale: tuple[Positive, Positive]
    flip: bool
    init: str
    loss: Loss
    class_weights: Literal["none", "median_frequency"]
    optimizer: Optimizer
    lr: Positive
    head_lr: Positive
    aux_lr: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: NotNegative
    schedule: Schedule
    poly_power: Positive
    warmup_epochs: NotNegative
    accumulate: Count
    clip_norm: Positive | None
    bn: BatchNorm
    aux_weight: NotNegative
    val_size: Annotated[int, Field(ge=32)] | None
    precision: Precision
    deterministic: bool
    threads: Threads

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale = {list(self.scale)}: expected [smallest, largest]")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs = {self.warmup_epochs}: expected less than epochs")
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate = {self.accumulate}: expected a divisor of batch_size")
        return self


class TrainOverrides(_Section):
    """What one model may train differently; epochs, batch, crop and start stay common."""

    loss: Loss | None = None
    class_weights: Literal["none", "median_frequency"] | None = None
    optimizer: Optimizer | None = None
    lr: Positive | None = None
    head_lr: Positive | None = None
    aux_lr: Positive | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    weight_decay: NotNegative | None = None
    schedule: Schedule | None = None
    poly_power: Positive | None = None
    warmup_epochs: NotNegative | None = None
    clip_norm: Positive | None = None
    bn: BatchNorm | None = None
    aux_weight: NotNegative | None = None


class Normalize(_Section):
    """Per-channel mean and standard deviation of RGB in 0..1."""

    mean: Triple
    std: tuple[Positive, Positive, Positive]


class Model(BaseModel):
    """One model: `arch` is a file of segmodels/models, other keys are its builder's arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)

    arch: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
    train: TrainOverrides = TrainOverrides()
    normalize: Normalize | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the builder, num_classes aside."""
        return dict(self.model_extra or {})


class Window(_Section):
    """A square window that slides over the picture, pixels."""

    side: Annotated[int, Field(ge=32)]
    stride: Count

    @model_validator(mode="after")
    def _covering(self) -> Self:
        if self.stride > self.side:
            raise ValueError(f"stride = {self.stride}: expected 1..{self.side}, the window's side")
        return self


class CRF(_Section):
    """A fully connected CRF on top of the network; keyword arguments of `crf.refine`."""

    iterations: Count
    position_sigma: Positive
    position_weight: NotNegative
    bilateral_sigma_xy: Positive
    bilateral_sigma_rgb: Positive
    bilateral_weight: NotNegative


class Predict(_Section):
    """How label maps are made from a trained model."""

    weights: Literal["last", "best"]
    size: Annotated[int, Field(ge=32)] | None
    scales: Annotated[list[Positive], Field(min_length=1)]
    flip: bool
    window: Window | None
    tile: Count | None
    crf: CRF | None
    batch_size: Count
    precision: Precision
    threads: Threads

    @property
    def weights_file(self) -> str:
        """Name of the file that the train stage has written them to."""
        return {"last": "weights.pt", "best": "best.pt"}[self.weights]

    @property
    def test_time(self) -> str:
        """What is done beyond a pass at one scale; overlap-tile gives that very pass."""
        parts = []
        if self.scales != [1]:
            parts.append("scales " + ", ".join(f"{scale:g}" for scale in self.scales))
        if self.flip:
            parts.append("flip")
        if self.window:
            parts.append(f"sliding window {self.window.side}, stride {self.window.stride}")
        if self.crf:
            numbers = self.crf.model_dump().items()
            described = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in numbers)
            parts.append(f"CRF with {described}")
        return "; ".join(parts) or "single scale"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.window and self.tile:
            raise ValueError("window and tile are both given: expected null for one of them")
        return self


class Params(_Section):
    """The whole of params.yaml."""

    dataset: str
    model: str
    seed: Annotated[int, Field(ge=0)]
    checkpoint_minutes: Positive
    normalize: Normalize
    datasets: dict[str, Dataset]
    train: dict[str, Train]
    predict: dict[str, Predict]
    models: Annotated[dict[str, Model], Field(min_length=1)]
    more_models: dict[str, Annotated[dict[str, Model], Field(min_length=1)]]
    studies: dict[str, Annotated[list[str], Field(min_length=1)]]

    @model_validator(mode="after")
    def _names(self) -> Self:
        for section in ("datasets", "train", "predict"):
            _member("dataset", self.dataset, section, getattr(self, section))
        _member("model", self.model, "models", self.models)
        known = dict(self.every_model)
        # Where a section of more_models is in models' place, the usual models are not known.
        replaced = any(set(section) <= set(self.models) for section in self.more_models.values())
        for study, members in self.studies.items():
            for member in [] if replaced else members:
                section = "models` or of a section of `more_models"
                _member(f"studies.{study}", member, section, known)
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
    def data(self) -> Dataset:
        """The data set in use."""
        return self.datasets[self.dataset]

    def recipe(self, model: str) -> Train:
        """The training section of the data set in use with the overrides of one model."""
        return self.adapted(self.models[model])

    def adapted(self, model: Model) -> Train:
        """The training section of the data set in use with a model's overrides."""
        overrides = model.train.model_dump(exclude_none=True)
        return Train(**{**self.train[self.dataset].model_dump(), **overrides})

    def normalization(self, model: str) -> Normalize:
        """The normalisation of one model's input."""
        return self.models[model].normalize or self.normalize


def load(path: str | Path = "params.yaml") -> Params:
    """Read and validate params.yaml; a study with a model that `models` lacks is left out.

    Raises:
        ValueError: one line for each problem, with key, value and what is allowed.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected keys and values, found {type(values).__name__}")
    try:
        params = Params.model_validate(values)
        for _, model in params.every_model:
            params.adapted(model)
    except ValidationError as error:
        raise ValueError("\n".join(_line(path, problem) for problem in error.errors())) from None
    trained = set(params.models)
    studies = {study: names for study, names in params.studies.items() if trained.issuperset(names)}
    return params.model_copy(update={"studies": studies})


def _member(key: str, value: str, section: str, allowed: dict[str, Any]) -> None:
    if value not in allowed:
        names = ", ".join(allowed) or "nothing"
        raise ValueError(f"{key} = {value!r}: expected a key of `{section}` (it has {names})")


def _line(path: str | Path, problem: Any) -> str:
    """One pydantic problem as one line: key, value, what is allowed."""
    message = problem["msg"].removeprefix("Value error, ")
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{path}: {key}: unknown key, check its spelling"
    if problem["type"] == "missing":
        return f"{path}: {key}: this key is missing"
    if problem["type"] == "value_error" and isinstance(problem["input"], dict):
        return f"{path}: {key + ': ' if key else ''}{message}"
    shown = repr(problem["input"])
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"{path}: {key} = {shown}: {message[0].lower() + message[1:]}"
