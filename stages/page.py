"""Pictures, masks and scores -> data/page/index.html, which DVC keeps and Git does not."""

from segmodels import params, process
from segmodels.files import write_text
from segmodels.reporting import costs, gallery, page, tables


def main() -> None:
    here = process.study()
    settings = params.load(f"{here}params.yaml")
    data, paths = settings.data, settings.paths
    statistics = page.read_statistics(paths.statistics, data.classes)
    results = [tables.read_result(run, paths.report()) for run in settings.runs]
    differences = page.read_differences(paths.comparison / "differences.csv")
    spent = costs.read(results, paths.costs)
    colours = gallery.mask_colours(data.palette, data.void)

    miou = gallery.mean_miou(results)
    chosen = process.progress(gallery.sample(miou), min(len(miou), gallery.SAMPLE), "page")
    pictures = gallery.pictures(chosen, results, paths.tree, paths.predictions())
    truth = gallery.exemplar(paths.tree, [entry["id"] for entry in pictures])
    views = gallery.views(**truth, colours=colours) if truth else {}
    text = page.render(
        title=f"Segmentation models on {settings.dataset}",
        **page.report(results, differences, spent),
        splits=statistics,
        classes=page.class_facts(statistics, data.classes),
        colours=colours.tolist(),
        views={name: gallery.png_uri(view) for name, view in views.items()},
        shown=(len(pictures), len(miou)),
        data={
            **page.drawn(results, settings.comparisons, spent),
            **{"classes": data.classes, "void": data.void, "colours": colours.tolist()},
            "pictures": pictures,
        },
    )
    write_text(paths.page, text)


if __name__ == "__main__":
    process.run(main)
