"""Pictures, masks and scores -> data/page/, which DVC keeps and Git does not."""

from pathlib import Path

from segmodels import params
from segmodels.data import voc
from segmodels.files import write_bytes, write_text
from segmodels.process import run
from segmodels.reporting import page, tables
from segmodels.reporting.canvas import png

OUT = Path("data/page")
OVERVIEW = Path("reports/comparison/overview.png")


def main() -> None:
    settings = params.load()
    data, root = settings.data, voc.dataset_root(settings.dataset)
    masked = Path("data/predictions") / settings.dataset
    index = voc.read_index(settings.dataset).query("split == 'val'").set_index("image_id")
    image_ids = page.choose(index[data.classes])
    colours = page.mask_colours(data.palette, data.void)
    files = {}
    for study, models in settings.studies.items():
        rows = []
        for image_id in image_ids:
            masks = [masked / model / f"{image_id}.png" for model in models]
            labels = [voc.read_target(path) for path in [voc.target_path(root, image_id), *masks]]
            rows.append(page.Row(image_id, voc.read_image(voc.image_path(root, image_id)), labels))
        figure = page.grid(rows, models, classes=data.classes, colours=colours)
        files[study] = f"masks_{study}.png"
        write_bytes(OUT / files[study], png(figure))
    results = [tables.read_result(model) for model in settings.models]
    write_bytes(OUT / OVERVIEW.name, OVERVIEW.read_bytes())
    text = page.html(
        title=f"Segmentation models on {settings.dataset}",
        summary=tables.summary(results),
        caption=tables.caption(results),
        studies=files,
    )
    write_text(OUT / "index.html", text)


if __name__ == "__main__":
    run(main)
