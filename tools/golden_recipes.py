"""Write tests/golden/recipes.json anew: `python -m tools.golden_recipes`, after a meant change.

Its difference in Git then shows every recipe that a new key or another default reaches.
"""

import json
from pathlib import Path

from segmodels.config import params

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests/golden/recipes.json"


def text(places: list[str]) -> str:
    """The file's content: the sections of params.yaml, one a line, as their defaults fill them.

    Args:
        places: section and data set, such as train.miniature.
    """
    settings = params.load(ROOT / "params.yaml")
    lines = []
    for place in places:
        section, dataset = place.split(".")
        values = getattr(settings, section)[dataset].model_dump(mode="json")
        lines.append(f" {json.dumps(place)}: {json.dumps(values)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    places = list(json.loads(GOLDEN.read_text(encoding="utf-8")))
    GOLDEN.write_text(text(places), encoding="utf-8")


if __name__ == "__main__":
    main()
