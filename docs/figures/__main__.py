"""`python -m docs.figures`: all figures and numbers of docs/background.md -> docs/background/."""

import importlib.util
from pathlib import Path

from segmodels.process import run

PAGE = Path("docs/background.md")
SHOWN = 25  # of the validation pictures: the one in the figures


def main() -> None:
    if importlib.util.find_spec("skimage") is None:
        raise ValueError("no scikit-image: pip install -e '.[docs]'")
    from docs.figures import blocks, classical, diagrams, learning, metrics, pieces, tasks
    from docs.figures.quotes import quotes
    from docs.figures.results import FILE, FOLDER, read, write
    from segmodels import params
    from segmodels.data import images
    from segmodels.files import write_bytes
    from segmodels.reporting.canvas import png

    settings = params.load()
    scenes = classical.pictures(settings)
    scene, classes = scenes[SHOWN], settings.datasets["miniature"].classes
    cut, shifted, weights = (
        classical.rows(scenes, len(classes)),
        metrics.shift_rows(),
        blocks.block_rows(),
    )
    write(
        [
            *cut,
            *metrics.example_rows(),
            *shifted,
            *learning.loss_rows(),
            *weights,
            *learning.tap_rows(),
            *learning.overlap_rows(),
        ]
    )
    for name, figure in {
        "classical": pieces.examples(scene, images.palette()),
        "oracle": pieces.oracle_figure(cut),
        "tasks": tasks.figure(scene, classes),
        "example": metrics.example_figure(),
        "boundary": metrics.boundary_figure(shifted),
        "losses": learning.loss_figure(),
        "residual": blocks.residual_figure(weights),
        "atrous": learning.atrous_figure(),
        "upsampling": learning.upsampling_figure(scene),
        "models": diagrams.models_figure(),
    }.items():
        write_bytes(FOLDER / f"{name}.png", png(figure))
    text = PAGE.read_text(encoding="utf-8")
    for quote in quotes(read(FILE)):
        if quote not in text:
            print(f"{PAGE} says otherwise, expected:\n{quote}\n")


if __name__ == "__main__":
    run(main)
