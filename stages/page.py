"""Pictures, masks and scores -> data/page/index.html, which DVC keeps and Git does not."""

from pathlib import Path

from segmodels import params
from segmodels.data import layout
from segmodels.files import write_text
from segmodels.process import progress, run
from segmodels.reporting import costs, gallery, page, tables

OUT = Path("data/page/index.html")
DIFFERENCES = Path("reports/comparison/differences.csv")


def main() -> None:
    settings = params.load()
    data, root = settings.data, layout.dataset_root(settings.dataset)
    masked = Path("data/predictions") / settings.dataset
    facts = Path("data") / settings.dataset / "statistics.json"
    statistics = page.read_statistics(facts, data.classes)
    results = [tables.read_result(model) for model in settings.models]
    spent = costs.read(results, Path("data/costs") / settings.dataset)
    colours = gallery.mask_colours(data.palette, data.void)

    miou = gallery.mean_miou(results)
    chosen = progress(gallery.sample(miou), min(len(miou), gallery.SAMPLE), "page")
    pictures = gallery.pictures(chosen, results, root, masked)
    truth = gallery.exemplar(root, [entry["id"] for entry in pictures])
    views = gallery.views(**truth, colours=colours) if truth else {}
    text = page.render(
        title=f"Segmentation models on {settings.dataset}",
        **page.report(results, page.read_differences(DIFFERENCES), spent),
        splits=statistics,
        classes=page.class_facts(statistics, data.classes),
        colours=colours.tolist(),
        views={name: gallery.png_uri(view) for name, view in views.items()},
        shown=(len(pictures), len(miou)),
        data={
            **page.drawn(results, settings.studies, spent),
            **{"classes": data.classes, "void": data.void, "colours": colours.tolist()},
            "pictures": pictures,
        },
    )
    write_text(OUT, text)


if __name__ == "__main__":
    run(main)
