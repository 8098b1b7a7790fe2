"""The READMEs: numbers against the committed results, the Chinese one against the English."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
STUDY = "studies/voc_animals"
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
FOUND = ROOT / STUDY / "README.md"
# whose tables are quoted
RESULTS = ["reports/comparison/summary.md", f"{STUDY}/reports/probes/probes.md"]
FOLDERS = ["comparison/*.md", "scores/*.md", "earlier/*/*.md"]
RESULTS += [
    path.relative_to(ROOT).as_posix()
    for folder in FOLDERS
    for path in sorted(ROOT.glob(f"studies/voc_animals*/reports/{folder}"))
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
PATH = re.compile(r"\w+/|\w+\.yaml")

both = pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=lambda page: page.name)
every = pytest.mark.parametrize(
    "page", [ENGLISH, CHINESE, FOUND], ids=["English", "Chinese", "study"]
)


@pytest.fixture(scope="module")
def results():
    """The result files as committed: another machine's may be in the working tree."""
    show = ["git", "-C", str(ROOT), "show", *(f"HEAD:{path}" for path in RESULTS)]
    shown = subprocess.run(show, capture_output=True, encoding="utf-8", check=False)
    if shown.returncode != 0:
        pytest.skip("needs the Git history")
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
    """Code blocks without what is said beside commands, or beside the paths of a drawing."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r" *#.*", "", code) if name else PATH.findall(code) for name, code in blocks]


def links(text):
    return re.findall(r"\]\(([^)]+)\)", prose(text))


def numbers(text):
    return Counter(re.findall(r"\d+(?:[.,]\d+)*", text))


@every
def test_rows_with_scores_are_rows_of_the_result_files(page, results):
    shown, known = score_rows(read(page)), set(score_rows(results))
    assert len(shown) > 5
    assert set(shown) <= known, sorted(set(shown) - known)


@every
def test_shares_stand_in_the_result_files(page, results):
    """But for the coverage of intervals, which no file has, and for those of earlier commits."""
    now = EARLIER.sub("", COVERAGE.sub("", read(page)))
    shown, known = set(PERCENT.findall(now)), set(PERCENT.findall(results)) | ORIGINAL
    assert shown
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
    assert distances
    assert distances <= set(re.findall(r"\d+\.\d\d", results))
    lost, gained = {*BELOW.findall(text), *BEHIND.findall(text)}, set(AHEAD.findall(text))
    assert lost
    assert {f"-{points}" for points in lost} | {f"+{points}" for points in gained} <= known


@every
def test_losses_stand_in_the_histories(page, results):
    histories = ROOT.glob(f"{STUDY}*/reports/models/*/history.csv")
    losses = pd.concat(map(pd.read_csv, histories))[["train_loss", "val_loss"]]
    known = {f"{loss:.3f}" for loss in losses.to_numpy().ravel()} | set(LOSS.findall(results))
    shown = set(LOSS.findall(prose(read(page))))
    assert len(shown) > 3
    assert shown <= known, shown - known


@both
def test_coverage_is_within_what_its_own_test_allows(page):
    test = read(ROOT / "tests/evaluation/test_bootstrap.py")
    allowed = re.findall(r"assert (0\.\d+) <= coverage\(studentized.* <= (0\.\d+)", test)
    least, most = map(float, COVERAGE.search(read(page)).groups())
    assert allowed
    assert all(float(low) <= least / 100 <= most / 100 <= float(high) for low, high in allowed)


@every
def test_links_lead_somewhere(page):
    for target in links(read(page)):
        path = page.parent / target.partition("#")[0]
        assert target.startswith("https://") or path.exists(), target


def test_readmes_link_to_each_other_below_the_title():
    assert read(ENGLISH).startswith(f"# segmodels\n\n[中文]({CHINESE.name})\n\n")
    assert read(CHINESE).startswith(f"# segmodels\n\n[English]({ENGLISH.name})\n\n")


def test_chinese_readme_has_the_same_commands():
    english, chinese = read(ENGLISH), read(CHINESE)
    assert commands(chinese) == commands(english) != []
    spans = [Counter(re.findall(r"`([^`\n]+)`", prose(text))) for text in (english, chinese)]
    assert spans[0] == spans[1], (spans[0] - spans[1], spans[1] - spans[0])


def test_chinese_readme_has_the_same_figures():
    """Pictures and links in the same order, tables of results, every number, every heading."""
    english, chinese = read(ENGLISH), read(CHINESE)
    assert links(chinese)[1:] == links(english)[1:]  # the first: each other
    assert score_tables(chinese) == score_tables(english)
    pair = numbers(english), numbers(chinese)
    assert pair[0] == pair[1], (pair[0] - pair[1], pair[1] - pair[0])
    levels = [re.findall(r"^#+(?= )", prose(text), re.MULTILINE) for text in (english, chinese)]
    assert levels[0] == levels[1]
