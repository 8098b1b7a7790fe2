"""The READMEs: numbers against the committed results, the Chinese one against the English."""

import re
import statistics
import subprocess
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from segmodels.cli import COMMANDS, parser
from tools import readability, reference, tables
from tools.tables import BLOCK

ROOT = Path(__file__).parents[2]
STUDY = "studies/voc_animals"
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
FOUND = ROOT / STUDY / "README.md"
PAGES = [*sorted(ROOT.glob("docs/results/*.md")), ROOT / "docs/zh/results.md"]
MEASURED = ROOT / "docs/learn/how-we-measure.md"
# whose tables are quoted
RESULTS = ["reports/comparison/summary.md", f"{STUDY}/reports/probes/probes.md"]
FOLDERS = ["comparison/*.md", "scores/*.md", "earlier/*/*.md"]
RESULTS += [
    path.relative_to(ROOT).as_posix()
    for folder in FOLDERS
    for path in sorted(ROOT.glob(f"studies/*/reports/{folder}"))
]
PERCENT = re.compile(r"(\d+\.\d+) ?%")
POINTS = re.compile(r"[+-]\d+\.\d\d\b")
UNSIGNED = re.compile(r"(\d+\.\d\d) (?:points|个百分点)")  # a distance, e.g. "drops by 2.70 points"
BELOW = re.compile(r"(?:drops? by|drop is|drop of|下降|落后(?: [^\d ]+)?) (\d+\.\d\d)")
AHEAD = re.compile(r"(\d+\.\d\d)(?: points)? ahead")
BEHIND = re.compile(r"(\d+\.\d\d)(?: points)? behind")
EARLIER = re.compile(r"[^:|]*%[^:|]*\(results of commit (\w{7})\)")  # shares of other files
ORIGINAL = {"68.9", "58.2"}  # mIoU of the study that this project repeats
SCORE = re.compile(rf"\| (?:\d+\.\d+%|{POINTS.pattern}) \|")  # a cell of its own
LOSS = re.compile(r"\b0\.\d{3}\b(?!`)")  # `lr: 0.005` is none
COVERAGE = re.compile(r"1,000\D+(\d+\.\d)\D+(\d+\.\d) %")  # of the bootstrap's intervals


def NAME(page):
    return page.relative_to(ROOT).as_posix()


both = pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=lambda page: page.name)
every = pytest.mark.parametrize("page", [ENGLISH, CHINESE, FOUND, *PAGES], ids=NAME)


@pytest.fixture(scope="module")
def results():
    """The result files as committed: another machine's may be in the working tree."""
    git = ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, check=False).returncode:
        pytest.skip("needs the Git history")
    show = [*git, "show", *(f"HEAD:{path}" for path in RESULTS)]
    shown = subprocess.run(show, capture_output=True, encoding="utf-8", check=False)
    assert shown.returncode == 0, f"a file of results is not committed: {shown.stderr}"
    return shown.stdout


def read(page):
    return page.read_text(encoding="utf-8")


def score_rows(text):
    """Lines of tables in which a score stands."""
    return [line for line in text.splitlines() if line.startswith("|") and SCORE.search(line)]


def score_tables(text):
    """Tables in which a score stands, with their headings."""
    return [part for part in text.split("\n\n") if part.startswith("|") and score_rows(part)]


def prose(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def commands(text):
    """Code blocks without what is said beside commands."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r" *#.*", "", code) for name, code in blocks]


def links(text):
    return re.findall(r"\]\(([^)]+)\)", prose(text))


def committed(path):
    show = ["git", "-C", str(ROOT), "show", f"HEAD:{path}"]
    shown = subprocess.run(show, capture_output=True, encoding="utf-8", check=False)
    if shown.returncode != 0:
        pytest.skip("needs the Git history")
    return shown.stdout


def numbers(text):
    return Counter(re.findall(r"\d+(?:[.,]\d+)*", text))


@every
def test_rows_with_scores_are_rows_of_the_result_files(page, results):
    """But for columns left out: those tables are held by `test_tables_are_current`."""
    text = BLOCK.sub("", read(page))
    shown, known = score_rows(text), set(score_rows(results))
    assert set(shown) <= known, sorted(set(shown) - known)


@every
def test_shares_stand_in_the_result_files(page, results):
    """But for the coverage of intervals, which no file has, and for those of earlier commits."""
    now = EARLIER.sub("", COVERAGE.sub("", read(page)))
    shown, known = set(PERCENT.findall(now)), set(PERCENT.findall(results)) | ORIGINAL
    assert shown <= known, shown - known


@every
def test_shares_of_an_earlier_commit_stand_in_its_result_files(page):
    for sentence, commit in [match.group(0, 1) for match in EARLIER.finditer(read(page))]:
        shares = PERCENT.findall(sentence)
        assert shares
        for share in shares:
            searched = ["git", "-C", str(ROOT), "grep", "-qF", f"{share}%", commit, "--", "reports"]
            found = subprocess.run(searched, capture_output=True, check=False).returncode
            if found == 128:
                pytest.skip("needs the Git history")
            assert found == 0, (share, commit)


@every
def test_points_stand_in_the_result_files(page, results):
    """With their sign, or as a distance: what is behind has a minus there, what is ahead a plus."""
    text, known = read(page), set(POINTS.findall(results))
    assert set(POINTS.findall(text)) <= known, set(POINTS.findall(text)) - known
    distances = set(UNSIGNED.findall(text))
    assert distances <= set(re.findall(r"\d+\.\d\d", results))
    lost, gained = {*BELOW.findall(text), *BEHIND.findall(text)}, set(AHEAD.findall(text))
    assert {f"-{points}" for points in lost} | {f"+{points}" for points in gained} <= known


@every
def test_losses_stand_in_the_histories(page, results):
    histories = ROOT.glob(f"{STUDY}*/reports/models/*/history.csv")
    losses = pd.concat(map(pd.read_csv, histories))[["train_loss", "val_loss"]]
    known = {f"{loss:.3f}" for loss in losses.to_numpy().ravel()} | set(LOSS.findall(results))
    shown = set(LOSS.findall(prose(read(page))))
    assert shown <= known, shown - known


def test_coverage_is_within_what_its_own_test_allows():
    test = read(ROOT / "tests/evaluation/test_bootstrap.py")
    allowed = re.findall(r"assert (0\.\d+) <= coverage\(studentized.* <= (0\.\d+)", test)
    least, most = map(float, COVERAGE.search(read(MEASURED)).groups())
    assert allowed
    assert all(float(low) <= least / 100 <= most / 100 <= float(high) for low, high in allowed)


def test_readmes_link_to_each_other_below_the_title():
    assert read(ENGLISH).startswith(f"# segmodels\n\n[中文]({CHINESE.name})")
    assert read(CHINESE).startswith(f"# segmodels\n\n[English]({ENGLISH.name})")


def test_chinese_readme_has_the_same_commands():
    english, chinese = read(ENGLISH), read(CHINESE)
    assert commands(chinese) == commands(english) != []
    spans = [Counter(re.findall(r"`([^`\n]+)`", prose(text))) for text in (english, chinese)]
    assert spans[0] == spans[1], (spans[0] - spans[1], spans[1] - spans[0])


def test_chinese_readme_has_the_same_tables_numbers_and_headings():
    english, chinese = read(ENGLISH), read(CHINESE)
    assert score_tables(chinese) == score_tables(english)
    pair = numbers(english), numbers(chinese)
    assert pair[0] == pair[1], (pair[0] - pair[1], pair[1] - pair[0])
    levels = [re.findall(r"^#+(?= )", prose(text), re.MULTILINE) for text in (english, chinese)]
    assert levels[0] == levels[1]


@both
def test_readme_links_to_the_same_pages_or_to_their_translations(page):
    """In the same order; a translation is docs/zh/ with the page's name, or that of its folder."""
    english = [link.partition("#")[0] for link in links(read(ENGLISH))[1:]]
    shown = [link.partition("#")[0] for link in links(read(page))[1:]]
    assert len(shown) == len(english)
    for ours, theirs in zip(shown, english, strict=True):
        if ours != theirs:
            assert ours.startswith("docs/zh/") and theirs.startswith("docs/"), (ours, theirs)


def test_readme_is_short():
    text = read(ENGLISH)
    assert len(text.splitlines()) <= 120
    assert len(text.encode()) <= 9000
    assert sum(numbers(text).values()) <= 60
    lengths = [len(sentence.split()) for sentence in readability.sentences(text)]
    assert statistics.median(lengths) <= 16


@pytest.mark.parametrize("path", list(tables.pages()), ids=NAME)
def test_tables_are_current(path):
    """Of the committed results: another machine's may be in the working tree."""
    text = read(path)
    if not BLOCK.search(text):
        return
    assert tables.filled(text, committed) == text, "run python -m tools.tables, then commit"


def test_reference_pages_are_current():
    for name, text in reference.pages().items():
        assert reference.current(name) == text, "run: python -m tools.reference"


def test_every_key_and_every_option_has_a_row():
    keys, options = (read(ROOT / f"docs/reference/{name}.md") for name in ("params", "cli"))
    for kind in reference.SECTIONS.values():
        assert all(f"| `{name}` |" in keys for name in kind.model_fields)
    for _, command, _ in reference.commands(parser(*COMMANDS)):
        helped = re.findall(r"^  (--[\w-]+)", command.format_help(), re.MULTILINE)
        assert all(f"`{option}" in options for option in helped)


def test_tables_of_a_text_and_their_columns(tmp_path):
    text = "| a | b |\n| --- | ---: |\n| 1 | 2 |\n\n| c |\n|---|\n| 3 |\n"
    known = tables.tables(text)
    assert known == [[["a", "b"], ["1", "2"]], [["c"], ["3"]]]
    page = "<!-- table: x.md 1; b -->\nold\n<!-- /table -->\n"
    shown = "<!-- table: x.md 1; b -->\n\n| b |\n| --- |\n| 2 |\n\n<!-- /table -->\n"
    assert tables.filled(page, lambda path: text) == shown
    with pytest.raises(ValueError, match="no column 'd'"):
        tables.filled(page.replace("b -->", "d -->"), lambda path: text)


def test_rows_of_a_table_are_chosen_by_a_column():
    text = "| a | b |\n| --- | ---: |\n| x | 1 |\n| y | 2 |\n| z | 3 |\n"
    page = "<!-- table: t.md 1; a = z, x; b -->\n<!-- /table -->\n"
    shown = (
        "<!-- table: t.md 1; a = z, x; b -->\n\n| b |\n| --- |\n| 1 |\n| 3 |\n\n<!-- /table -->\n"
    )
    assert tables.filled(page, lambda path: text) == shown
    with pytest.raises(ValueError, match=r"no row has a \['w'\]"):
        tables.filled(page.replace("z, x", "w"), lambda path: text)
    with pytest.raises(ValueError, match="no column 'c'"):
        tables.filled(page.replace("a = z", "c = z"), lambda path: text)


def test_long_sentences_are_found_in_prose_alone(tmp_path):
    long = " ".join(["word"] * 31) + "."
    page = tmp_path / "page.md"
    parts = [f"# {long}", f"| {long} |", f"```\n{long}\n```", f"<!-- {long} -->"]
    parts += [f"Short. [{long[:-1]}](https://example.org/a.b.c). Short, too.", f"- {long}"]
    page.write_text("\n\n".join(parts), encoding="utf-8")
    assert readability.long(page) == [f"[{long[:-1]}].", f"- {long}"]
    assert readability.long(ENGLISH) == []
