"""Images, masks and scores -> data/page/index.html and a sheet of examples for each model.

Both contain photographs, so DVC keeps them and Git does not.
"""

from collections.abc import Sequence

import numpy as np

from segmodels.config import params
from segmodels.core import supervise
from segmodels.core.files import write_bytes, write_text
from segmodels.data import images, layout
from segmodels.reporting import costs, examples, gallery, page
from segmodels.reporting.result import Result, read_result


def main() -> None:
    here = supervise.study()
    settings = params.load(f"{here}params.yaml")
    data, paths = settings.data, settings.paths
    statistics = page.read_statistics(paths.statistics, data.classes)
    results = [read_result(run, paths.report()) for run in settings.runs]
    differences = page.read_differences(paths.comparison / "differences.csv")
    spent = costs.read(results, paths.costs)
    colours = gallery.mask_colours(data.palette, data.void)

    miou = gallery.mean_miou(results)
    chosen = supervise.progress(gallery.sample(miou), min(len(miou), gallery.SAMPLE), "page")
    pictures = gallery.pictures(chosen, results, paths.tree, paths.predictions())
    truth = gallery.exemplar(paths.tree, [entry["id"] for entry in pictures])
    views = gallery.views(**truth, colours=colours) if truth else {}
    text = page.render(
        title=f"Segmentation models on {settings.dataset}",
        **page.report(results, differences, spent, data.val),
        splits=statistics,
        classes=page.class_facts(statistics, data.classes),
        colours=colours.tolist(),
        views={name: gallery.png_uri(view) for name, view in views.items()},
        shown=(len(pictures), len(miou)),
        data={
            **page.drawn(results, settings.comparisons, spent),
            "classes": data.classes,
            "void": data.void,
            "background": gallery.has_background(data.classes),
            "colours": colours.tolist(),
            "pictures": pictures,
        },
    )
    write_text(paths.page, text)
    draw_examples(results, settings, colours)


def draw_examples(results: Sequence[Result], settings: params.Params, colours: np.ndarray) -> None:
    """Write a sheet of examples for each run; all show the same images."""
    paths = settings.paths
    background = gallery.has_background(settings.data.classes)
    chosen = examples.choose(results[0].images["image_id"].tolist())
    for result in results:
        columns = []
        for image_id in chosen:
            image = images.read_image(layout.image_path(paths.tree, image_id))
            target = images.read_target(layout.target_path(paths.tree, image_id))
            mask = paths.predictions(result.model) / f"{image_id}.png"
            prediction = images.read_target(mask)
            panels = examples.column(image, target, prediction, colours, background=background)
            columns.append(panels)
        write_bytes(paths.examples / f"{result.model}.jpg", examples.sheet(columns))


if __name__ == "__main__":
    supervise.run(main)
