"""The sections of params.yaml: keys, allowed values, defaults, and what each key means.

A key that params.yaml leaves out has the default that stands here. `check` writes what both come
to into data/facts, which the stages depend on: another default runs what it concerns again.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from segmodels.config import merging
from segmodels.config.origin import Archive, Download, Generate, Sequence, Source
from segmodels.config.section import (
    RGB,
    Count,
    Factor,
    Label,
    NotNegative,
    Positive,
    Precision,
    Section,
    Share,
    Side,
    Threads,
    Triple,
    Value,
    Whole,
)

VOID = "void"  # in `labels`, what stands for no class
BACKGROUND = "background"  # a class of this name, if there is one, has no objects
INDEX_COLUMNS = {"image_id", "split", "width", "height", "void_share"}  # of index.csv

Masks = Literal["auto", "index", "colour"]
ClassWeights = Literal["none", "sqrt_median_frequency", "median_frequency"]
Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["poly", "cosine", "onecycle"]
BatchNorm = Literal["train", "frozen", "recalibrate"]


class Dataset(Section):
    """Where a data set comes from and what its labels mean.

    With `archive` it is downloaded, with `generate` drawn, with `source` imported; with none it is
    the user's own and lies in data/own/<name>.
    """

    classes: list[str] = Field(min_length=2, max_length=255, description="names of labels 0, 1, 2")
    groups: dict[str, list[str]] = Field({}, description="classes that are also scored together")
    palette: list[RGB] | None = Field(None, description="colour of each class; null: VOC's")
    void: Label = Field(255, description="label of pixels that count nowhere")
    labels: dict[Value, str] | None = Field(
        None, description="class of each mask value, or void; groups: these are the classes"
    )
    masks: Masks = Field("auto", description="what counts in masks; auto: as they look")
    allow_absent: list[str] = Field([], description="classes that training masks may lack")
    allow_void: Share = Field(0.9, description="from which share of void pixels masks are refused")
    train: str = Field("train", description="list of image ids, ImageSets/Segmentation/<train>.txt")
    val: str = Field("val", description="the same of the images that are scored")
    test: str | None = Field(
        None, description="the same of images scored by `predict.split: test` alone"
    )
    holdout: Whole = Field(0, description="training images set apart, to make choices on")
    sequence: Sequence | None = Field(None, description="where images are frames of videos")
    archive: Archive | None = Field(None, description="archive to download")
    sbd: Download | None = Field(None, description="SBD archive that extends the training images")
    generate: Generate | None = Field(None, description="draw the images, of this size")
    source: Source | None = Field(None, description="what to import, as `segmodels import` does")

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, entry: Any) -> Any:
        return merging.expanded(entry)

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
        if len([one for one in (self.archive, self.generate, self.source) if one]) > 1:
            raise ValueError("archive, generate and source: expected one of them")
        if self.source and (self.labels or self.masks != "auto"):
            raise ValueError("labels and masks go without source: its `map` says what masks mean")
        archive = self.archive
        if self.sbd and (archive is None or archive.only or archive.layout != "voc"):
            raise ValueError("sbd extends a whole VOC archive: one without `only`")
        return self

    @property
    def lists(self) -> dict[str, str]:
        """The list of image ids of each split; train's includes those of the holdout."""
        lists = {"train": self.train, "val": self.val}
        if self.test is not None:
            lists["test"] = self.test
        return lists

    @property
    def scored(self) -> dict[str, str]:
        """The lists of the splits that nothing is learnt from, val and test."""
        return {split: name for split, name in self.lists.items() if split != "train"}


class Loss(Section):
    """Weights of the losses of segmodels/training/losses.py; a title is how reports name one.

    Nothing but weights: constants of a loss, such as the focal loss's gamma, stand in that file.
    The first two have no default, so that `{dice: 1}` adds nothing unsaid.
    """

    cross_entropy: NotNegative = Field(
        title="cross-entropy", description="of cross-entropy, nats per pixel"
    )
    dice: NotNegative = Field(title="Dice", description="of soft Dice loss, 0..1")
    focal: NotNegative = Field(
        default=0.0, title="focal", description="of focal loss with gamma 2, nats per pixel"
    )

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
    """How every model of a data set is trained.

    Defaults are those of torchvision's recipe for VOC (references/segmentation/train.py), but for
    aux_lr, there 10, and base_size, there 520. What depends on the data and the machine has none.
    """

    epochs: Count = Field(description="passes over the training images")
    batch_size: Annotated[int, Field(ge=2)] = Field(description="images of a step")
    crop_size: Side = Field(description="side of the square training crops, pixels")
    base_size: Side | None = Field(None, description="resize to this long side first, pixels")
    scale: tuple[Positive, Positive] = Field((0.5, 2), description="range of random scaling")
    flip: bool = Field(True, description="mirror every second image, at random")
    color_jitter: Annotated[float, Field(ge=0, lt=1)] = Field(
        0, description="range of random brightness, contrast, saturation"
    )
    init: str = Field(
        "imagenet",
        description="none, imagenet (backbone), coco, a model that comes along, or a file",
    )
    loss: Loss = Field(Loss(cross_entropy=1, dice=0), description="weights of its parts")
    class_weights: ClassWeights = Field(
        "none", description="of the cross-entropy; arXiv 1411.4734, or its weights' square roots"
    )
    optimizer: Optimizer = Field("sgd", description="SGD with momentum, or AdamW")
    lr: Positive = Field(description="largest learning rate, of the backbone")
    head_lr: Positive = Field(1, description="factor on lr for what stands on the backbone")
    aux_lr: Positive = Field(1, description="factor on lr for the auxiliary head")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="of SGD; AdamW's beta1")
    weight_decay: NotNegative = Field(0.0001, description="of the optimizer")
    schedule: Schedule = Field("poly", description="how lr falls to 0 after the warm-up")
    poly_power: Positive = Field(0.9, description="exponent of poly; DeepLab v2, section 4.1")
    warmup_epochs: NotNegative = Field(0, description="linear from 0; onecycle: from lr / 25")
    accumulate: Count = Field(1, description="parts of a batch, to save memory; same loss")
    clip_norm: Positive | None = Field(None, description="largest norm of all gradients together")
    bn: BatchNorm = Field(
        "train", description="batch statistics; or frozen, or measured before each validation"
    )
    aux_weight: NotNegative = Field(0.5, description="of the auxiliary head's loss")
    val_size: Side | None = Field(None, description="long side in each epoch's validation, pixels")
    precision: Precision = "auto"
    deterministic: bool = Field(True, description="same bits every time, on a GPU too; slower")
    threads: Threads = "auto"
    compile: bool = Field(False, description="torch.compile, for GPUs; changes the last bits")

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

    mean: Triple = Field(description="R, G, B")
    std: tuple[Positive, Positive, Positive] = Field(description="R, G, B")


class Model(BaseModel):
    """One model; keys that are not listed are arguments of its builder."""

    model_config = ConfigDict(extra="allow", frozen=True)

    arch: str = Field(pattern="^[a-z][a-z0-9_]*$", description="file of segmodels/models")
    train: dict[str, Any] = Field({}, description="what differs from train.<dataset>")
    predict: dict[str, Any] = Field({}, description="what differs from predict.<dataset>")
    seed: Whole | None = Field(None, description="null: the common one")
    normalize: Normalize | None = Field(None, description="null: the common one")

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the builder, num_classes aside."""
        return dict(self.model_extra or {})


class Variant(Section):
    """Another run of a model: it begins with the last weights of `weights_of`.

    With `train` it is trained on, by that model's recipe with these changes; without, it has those
    very weights. `predict` has what is predicted otherwise than for that model.
    """

    weights_of: str = Field(description="a key of `models`")
    train: dict[str, Any] | None = Field(None, description="what differs from that model's recipe")
    predict: dict[str, Any] = Field({}, description="what differs from that model's prediction")
    seed: Whole | None = Field(None, description="null: the common one")


class Comparison(Section):
    """Runs that share their figures; a list alone stands for `runs`.

    `score_classes` names the classes over which a table and a figure of their own take the mean;
    `title` is that figure's, or that of scores.png if it has all runs, and says what was found.
    """

    runs: list[str] = Field(min_length=1, description="keys of `models` and `variants`")
    score_classes: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="over which a table and a figure of their own take the mean"
    )
    title: str | None = Field(None, description="of its figure; with all runs of scores.png too")

    @model_validator(mode="before")
    @classmethod
    def _list_alone(cls, value: Any) -> Any:
        return {"runs": value} if isinstance(value, list) else value


class Window(Section):
    """A square window that slides over the image."""

    side: Side = Field(description="pixels")
    stride: Count = Field(description="from one window to the next, pixels; 1..side")

    @model_validator(mode="after")
    def _covering(self) -> Self:
        if self.stride > self.side:
            raise ValueError(f"stride = {self.stride}: expected 1..{self.side}, the window's side")
        return self


class CRF(Section):
    """A fully connected CRF on top of the network; keyword arguments of `crf.refine`."""

    iterations: Count = Field(description="of mean field")
    position_sigma: Positive = Field(description="of the Gaussian of position, pixels")
    position_weight: NotNegative = Field(description="of that Gaussian")
    bilateral_sigma_xy: Positive = Field(description="of position and colour: pixels")
    bilateral_sigma_rgb: Positive = Field(description="of position and colour: grey levels, 0..255")
    bilateral_weight: NotNegative = Field(description="of that Gaussian")


class Predict(Section):
    """How label maps are made from a trained model, and of which images.

    Defaults see each image once, at its own size: the protocol of VOC without test-time variants.
    """

    split: Literal["val", "holdout", "test"] = Field(
        "val", description="images to predict and score"
    )
    weights: Literal["last", "best"] = Field("last", description="epoch; best: on holdout or val")
    long_side: Side | None = Field(None, description="resize to it, pixels; masks keep their size")
    scales: list[Factor] = Field(
        [1], min_length=1, description="factors on long_side; probabilities are averaged over them"
    )
    flip: bool = Field(False, description="average with the mirrored image too")
    window: Window | None = Field(None, description="sliding window; null: the whole image")
    tile: Count | None = Field(None, description="overlap-tile of unet_valid, pixels of logits")
    crf: CRF | None = Field(None, description="fully connected CRF on the probabilities")
    batch_size: Count = Field(1, description="images of equal size at a time")
    precision: Precision = "auto"
    threads: Threads = "auto"

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
