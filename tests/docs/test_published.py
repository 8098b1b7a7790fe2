"""docs/reference/models.md: each published number with protocol and source, by published.yaml."""

import re

import pytest
import yaml
from test_docs import MODELS, ROOT, table

FILE = ROOT / "docs/reference/published.yaml"
PUBLISHED = yaml.safe_load(FILE.read_text(encoding="utf-8"))
PROTOCOLS = {row[""]: row for row in table("reference/models.md", "")}
NUMBERS = [
    pytest.param(model, number, id=f"{model}-{number['miou']}")
    for model, numbers in PUBLISHED["numbers"].items()
    for number in numbers
]


def printed(number):
    """As the table has it, e.g. "67.08 [d, 20k, OS 8]"."""
    stride = None if number["stride"] is None else f"OS {number['stride']}"
    how = [number["protocol"], number["steps"], stride]
    return f"{number['miou']} [{', '.join(part for part in how if part is not None)}]"


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row["model"])
def test_published_numbers_are_those_of_the_sources(row):
    numbers = PUBLISHED["numbers"].get(row["model"], [])
    assert row["published mIoU"] == ("; ".join(map(printed, numbers)) or "none known")


def test_every_number_belongs_to_a_row_of_the_table():
    assert set(PUBLISHED["numbers"]) <= {row["model"] for row in MODELS}


@pytest.mark.parametrize(("model", "number"), NUMBERS)
def test_a_protocol_links_the_sources_of_its_numbers(model, number):
    assert f"({PUBLISHED['sources'][number['source']]})" in PROTOCOLS[number["protocol"]]["source"]


def test_every_protocol_and_every_source_is_used():
    numbers = [number for numbers in PUBLISHED["numbers"].values() for number in numbers]
    assert {number["protocol"] for number in numbers} == set(PROTOCOLS)
    assert {number["source"] for number in numbers} == set(PUBLISHED["sources"])


def test_a_number_beside_a_row_of_another_output_stride_says_so():
    """The own stride of the published network stands in its brackets."""
    strides = {row["model"]: int(row["output stride"]) for row in MODELS}
    other = {
        model
        for model, numbers in PUBLISHED["numbers"].items()
        for number in numbers
        if number["stride"] not in (strides[model], None)
    }
    assert other == {"deeplabv3plus_resnet50", "deeplabv3plus_resnet101"}


def test_protocol_letters_are_in_order():
    letters = list(PROTOCOLS)
    assert letters == sorted(letters) and all(re.fullmatch("[a-z]", letter) for letter in letters)
