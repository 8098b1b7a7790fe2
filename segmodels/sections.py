"""The sections of params.yaml: their keys, and the values that these may take.

Field meanings and units are the comments of params.yaml.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

VOID = "void"  # in `labels`, what stands for no class
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


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_as_number(cls, value: Any, field: ValidationInfo) -> Any:
        """pydantic would take true for 1."""
        wants = cls.model_fields[str(field.field_name)].annotation
        for member in value if isinstance(value, list) else [value]:
            if isinstance(member, bool) and wants is not bool:
                raise ValueError("expected no true or false")
        return value


class Download(Section):
    """A file with a known checksum at any of several addresses."""

    urls: Annotated[list[str], Field(min_length=1)]
    md5: Annotated[list[Annotated[str, Field(pattern="^[0-9a-f]{32}$")]], Field(min_length=1)]


class Archive(Download):
    """A VOC archive; `only` names a file of image ids to which its splits are restricted."""

    only: str | None = None


class Generate(Section):
    """Size of the generated data set, pictures and pixels."""

    train: Count
    val: Count
    short_side: Annotated[int, Field(ge=32)]
    long_side: Annotated[int, Field(ge=32)]


class Dataset(Section):
    """Where a data set comes from and what its labels mean.

    With `archive` it is downloaded, with `generate` drawn, with neither it is the user's own and
    lies in data/own/<name>. `holdout` pictures of train become a split of their own. `labels` says
    what the values in the masks mean, `masks` whether values or colours count; `allow_absent`
    names classes that no training mask needs to hold.
    """

    classes: Annotated[list[str], Field(min_length=2, max_length=255)]
    groups: dict[str, list[str]] = {}
    palette: list[tuple[int, int, int]] | None = None
    void: Annotated[int, Field(ge=0, le=255)] = 255
    labels: dict[Annotated[int, Field(ge=0, le=65535)], str] | None = None
    masks: Literal["auto", "index", "colour"] = "auto"
    allow_absent: list[str] = []
    allow_void: Annotated[float, Field(gt=0, le=1)] = 0.9
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
            raise ValueError(
                f"void = {self.void} is also the label of class {self.void}; where masks store "
                "other values than 0, 1, 2, ..., leave void at 255 and say what they mean, as "
                f"`labels: {{{self.void}: {VOID}, 1: {self.classes[0]}, 2: {self.classes[1]}}}`"
            )
        if self.palette is not None and len(self.palette) != len(self.classes):
            raise ValueError("palette needs one colour for each class")
        unknown = {c for names in self.groups.values() for c in names} - set(self.classes)
        if unknown:
            raise ValueError(f"groups name {sorted(unknown)}, which are not in classes")
        if strange := set(self.allow_absent) - set(self.classes):
            raise ValueError(f"allow_absent names {sorted(strange)}, which are not in classes")
        meanings = set((self.labels or {}).values())
        if strange := meanings - {*self.classes, VOID}:
            raise ValueError(f"labels name {sorted(strange)}: expected a class or {VOID}")
        if self.archive and self.generate:
            raise ValueError("a data set has an archive or is generated, not both")
        if self.sbd and (self.archive is None or self.archive.only):
            raise ValueError("sbd extends a whole archive: one without `only`")
        return self


class Loss(Section):
    """Weights of the losses of segmodels/training/losses.py; a title is how reports name one."""

    cross_entropy: NotNegative = Field(title="cross-entropy")
    dice: NotNegative = Field(title="Dice")
    focal: NotNegative = Field(default=0.0, title="focal")

    @property
    def learned(self) -> dict[str, float]:
        """The weights above 0, of the losses that a training minimises."""
        return {name: weight for name, weight in self if weight > 0}

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.learned:
            names = ", ".join(type(self).model_fields)
            raise ValueError(f"{names} are all 0: expected one above 0")
        return self


class Train(Section):
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
    compile: bool = False  # results from before this key have none

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale = {list(self.scale)}: expected [smallest, largest]")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs = {self.warmup_epochs}: expected less than epochs")
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate = {self.accumulate}: expected a divisor of batch_size")
        return self


class Normalize(Section):
    """Per-channel mean and standard deviation of RGB in 0..1."""

    mean: Triple
    std: tuple[Positive, Positive, Positive]


class Model(BaseModel):
    """One model: `arch` is a file of segmodels/models, other keys are its builder's arguments.

    `train` has what it trains otherwise than the section of the data set, `seed` is its own.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    arch: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
    train: dict[str, Any] = {}
    seed: Annotated[int, Field(ge=0)] | None = None
    normalize: Normalize | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the builder, num_classes aside."""
        return dict(self.model_extra or {})


class Window(Section):
    """A square window that slides over the picture, pixels."""

    side: Annotated[int, Field(ge=32)]
    stride: Count

    @model_validator(mode="after")
    def _covering(self) -> Self:
        if self.stride > self.side:
            raise ValueError(f"stride = {self.stride}: expected 1..{self.side}, the window's side")
        return self


class CRF(Section):
    """A fully connected CRF on top of the network; keyword arguments of `crf.refine`."""

    iterations: Count
    position_sigma: Positive
    position_weight: NotNegative
    bilateral_sigma_xy: Positive
    bilateral_sigma_rgb: Positive
    bilateral_weight: NotNegative


class Predict(Section):
    """How label maps are made from a trained model, and of which pictures."""

    split: Literal["val", "holdout"]
    weights: Literal["last", "best"]
    long_side: Annotated[int, Field(ge=32)] | None
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
