"""A model from a file of weights, see core/packed.py."""

from pathlib import Path

from pydantic import ConfigDict, ValidationError, validate_call
from torch import Tensor, nn

from segmodels import models
from segmodels.config.schema import Normalize, Predict
from segmodels.core import packed
from segmodels.data import images
from segmodels.inference import predictor
from segmodels.inference.predictor import Model
from segmodels.models.network import Network


def load(path: Path, device: str = "auto") -> Model:
    """The model of a file of weights.

    Raises:
        ValueError: missing, damaged, or of a model that there is not.
    """
    card = packed.read_card(path)
    try:
        normalization = Normalize.model_validate(card.normalize)
        scored = Predict.model_validate(card.predict)
        builder = validate_call(config=ConfigDict(strict=True))(models.builder(card.arch))
        module = builder(num_classes=len(card.classes), **card.arguments)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise ValueError(f"{path}: its card: {key}: {problem['msg']}") from None
    except (ValueError, TypeError, MemoryError, RuntimeError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: its card: {card.arch}: {reason}") from None
    _fill(module, packed.read_tensors(path), path)
    palette = images.palette([(red, green, blue) for red, green, blue in card.palette])
    found = Network(card.name, module, normalization, card.classes, palette)
    network = predictor.placed(found, scored.precision, device)
    return Model(network, predictor.changed(scored, {"fast": True}), card, scored=scored)


def _fill(module: nn.Module, given: dict[str, Tensor], path: Path) -> None:
    """Load all tensors of a model but batch counters, which decide nothing."""
    own = module.state_dict()
    wanted = [name for name in own if not name.endswith(".num_batches_tracked")]
    for name in sorted({*wanted, *given}):
        if name not in own or name not in given or own[name].shape != given[name].shape:
            raise ValueError(f"{path}: its tensors are not those of its card, as {name}")
    module.load_state_dict(given, strict=False)
