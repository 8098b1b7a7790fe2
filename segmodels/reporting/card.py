"""A model card in the form of Hugging Face's hub: metadata as YAML, then text for people.

Source: huggingface.co/docs/hub/model-cards, "Model card metadata".
"""

from typing import Any

import yaml

from segmodels.core.packed import Card


def markdown(card: Card) -> str:
    """The whole card, in Markdown."""
    front = yaml.safe_dump(_metadata(card), allow_unicode=True, sort_keys=False)
    parts = [f"---\n{front}---\n", f"# {card.name}\n\n{card.summary}\n", _usage(card)]
    parts += [_scores(card), _training(card), _limits(card), _licences(card)]
    return "\n".join(parts)


def _metadata(card: Card) -> dict[str, Any]:
    metric = {
        "type": "mean_iou",
        "name": f"mean IoU over {len(card.scored)} classes",
        "value": round(card.scores["miou"], 4),
    }
    result = {
        "task": {"type": "image-segmentation"},
        "dataset": {"name": card.training["dataset"], "type": card.training["dataset"]},
        "metrics": [metric],
    }
    return {
        "license": card.licences["licence"],
        "library_name": "segmodels",
        "pipeline_tag": "image-segmentation",
        "tags": ["semantic-segmentation", "pytorch", card.arch],
        "model-index": [{"name": card.name, "results": [result]}],
    }


def _usage(card: Card) -> str:
    return (
        "## Use\n\n"
        f"    segmodels predict photo.jpg --model {card.name}\n\n"
        "```python\n"
        "import segmodels\n\n"
        f'model = segmodels.load("{card.name}")\n'
        'result = model.predict("photo.jpg")\n'
        "```\n"
    )


def _scores(card: Card) -> str:
    scores = card.scores
    lines = [
        "## Scores\n",
        f"On the {scores['images']} images of {scores['split']} of {card.training['dataset']}, "
        f"seen {_seen_size(card)}, {scores['test_time']}: mean IoU over "
        f"{len(card.scored)} classes **{_percent(scores['miou'])}** "
        f"({_percent(scores['low'])} to {_percent(scores['high'])}, 95% bootstrap over images).\n",
        "| class | IoU |",
        "|---|--:|",
    ]
    for name in card.scored:
        lines.append(f"| {name} | {_percent(scores['iou'][name])} |")
    lines.append(
        f"\nOver all {scores['classes_counted']} classes that the images show: "
        f"{_percent(scores['miou_all'])}."
    )
    return "\n".join(lines) + "\n"


def _seen_size(card: Card) -> str:
    side = card.predict["long_side"]
    return "at their own size" if side is None else f"with long side {side}"


def _training(card: Card) -> str:
    recipe = ", ".join(f"{key} {value}" for key, value in card.training["recipe"].items())
    return (
        "## Training\n\n"
        f"{card.arch} with {_arguments(card)}; {card.training['parameters']:,} parameters. "
        f"{card.training['images']} images of {card.training['dataset']}; {recipe}. "
        f"It started from {card.training['start']}. Run `{card.source['run']}` of "
        f"`{card.source['study']}`; SHA-256 of its weights: `{card.source['weights_sha256']}`.\n"
    )


def _arguments(card: Card) -> str:
    return ", ".join(f"{key} {value}" for key, value in card.arguments.items()) or "its defaults"


def _limits(card: Card) -> str:
    others = [name for name in card.classes if name not in card.scored]
    lines = "## Limits\n\nIt labels every pixel with one of its classes, also where it sees none.\n"
    if others:
        lines += (
            f"It has labels for {', '.join(others)} too, of which its images show few or none: do "
            "not rely on them.\n"
        )
    return lines


def _licences(card: Card) -> str:
    rows = [f"- {what}: {terms}" for what, terms in card.licences.items() if what != "licence"]
    return "## Licences\n\n" + "\n".join([f"- weights: {card.licences['licence']}", *rows]) + "\n"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"
