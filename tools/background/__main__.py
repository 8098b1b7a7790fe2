"""`python -m tools.background`: figures and numbers of docs/learn/background.md."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from segmodels.core.supervise import run

PAGE = Path("docs/learn/background.md")
SHOWN = 34  # the validation image that the figures show, counted from 0


def main() -> None:
    if importlib.util.find_spec("skimage") is None:
        raise ValueError("no scikit-image: pip install -e '.[docs]'")
    from segmodels.config import params
    from segmodels.core.files import write_bytes
    from segmodels.reporting.style import png
    from tools.background import blocks, classical, diagrams, learning, metrics, pieces, tasks
    from tools.background.quotes import quotes
    from tools.background.results import FILE, FOLDER, read, write

    settings = params.load()
    scenes = classical.pictures(settings)
    scene = scenes[SHOWN]
    classes = settings.datasets["miniature"].classes
    classical_rows = classical.rows(scenes, len(classes))
    shift_rows = metrics.shift_rows()
    block_rows = blocks.block_rows()
    rows = [*classical_rows, *metrics.example_rows(), *shift_rows, *learning.loss_rows()]
    rows += [*block_rows, *learning.tap_rows(), *learning.overlap_rows()]
    write(rows)
    figures = {
        "classical": pieces.examples(scene, classes),
        "oracle": pieces.oracle_figure(classical_rows),
        "tasks": tasks.figure(scene, classes),
        "example": metrics.example_figure(),
        "boundary": metrics.boundary_figure(shift_rows),
        "losses": learning.loss_figure(),
        "residual": blocks.residual_figure(block_rows),
        "atrous": learning.atrous_figure(),
        "upsampling": learning.upsampling_figure(scene),
        "models": diagrams.models_figure(),
    }
    for name, figure in figures.items():
        write_bytes(FOLDER / f"{name}.png", png(figure))
    compare_page(quotes(read(FILE)))


def compare_page(quotes: Sequence[str]) -> None:
    """Print what the page should say and does not."""
    text = PAGE.read_text(encoding="utf-8")
    for quote in quotes:
        if quote not in text:
            print(f"{PAGE} says otherwise, expected:\n{quote}\n")


if __name__ == "__main__":
    run(main)
