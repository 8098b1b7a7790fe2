"""All pages: links lead somewhere, figures are listed and small, the Chinese is as agreed."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tools import tables

ROOT = Path(__file__).parents[2]
PAGES = [*tables.pages(), ROOT / "benchmarks/README.md"]
CHINESE = [ROOT / "README.zh-CN.md", *sorted((ROOT / "docs/zh").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
BAD_CHINESE = {  # what a native reader stumbles over -> what we write
    "双核": "使用两个 CPU 核心",
    "VOC 样本": "VOC 动物子集",
    "自行绘制": "程序自动生成",
    "差异是否真实": "差异是否显著",
    "走平": "尚未收敛",
    "分不出高下": "差异不显著",
    "却也": "反而也",
    "论断": "结论",
    "独立佐证": "独立验证",
    "提出的一个问题": "为回答一个问题而放在一起比较的一组模型",
    "只看到各份": "仍按每一小份计算统计量",
    "从前指向后": "排在前面的包只能导入排在后面的包",
}
WORDS = ["使用两个 CPU 核心", "程序自动生成", "VOC 动物子集", "差异显著", "差异不显著", "尚未收敛"]


def name(path):
    return path.relative_to(ROOT).as_posix()


def anchors(path):
    """Anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_a_file_and_to_a_heading(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in LINK.findall(text):
        path, _, anchor = link.partition("#")
        if link.startswith(("https://", "http://")):
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_angle_brackets_are_code(page):
    """<name> elsewhere is taken for HTML, and nothing is shown."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`|<!--.*?-->", "", text, flags=re.DOTALL)
    assert re.findall(r"<[^>\n]*>", text) == []


def test_every_page_of_docs_is_linked_from_another():
    linked = set()
    for page in PAGES:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            linked.add((page.parent / link.partition("#")[0]).resolve())
    assert {path for path in PAGES if path.is_relative_to(ROOT / "docs")} <= linked


def test_figures_are_listed_and_small():
    listed = ["git", "-C", str(ROOT), "ls-files", "*.png"]
    files = subprocess.run(listed, capture_output=True, encoding="utf-8", check=False).stdout
    pictures = [ROOT / file for file in files.splitlines() if (ROOT / file).exists()]
    assert sum(path.stat().st_size for path in pictures) <= 8_000_000
    assert max(path.stat().st_size for path in pictures) <= 600_000
    shown = set()
    for page in PAGES:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            shown.add((page.parent / link).resolve())
    hidden = [name(path) for path in pictures if path not in shown]
    assert not hidden, "`python -m tools.tables` lists them in docs/results/figures.md"


@pytest.mark.parametrize("page", CHINESE, ids=name)
def test_chinese_keeps_to_the_terms(page):
    text = page.read_text(encoding="utf-8")
    found = {bad: good for bad, good in BAD_CHINESE.items() if bad in text}
    assert not found
    assert not re.search(r"\*\*[^*\n]+：\*\*", text), "bold that ends in a full-width colon"
    assert not re.search(r"(?:从|降到|为) \d+\.\d 个百分点", text), "百分点 is for differences only"
    assert not re.search(r"(?:下降|回升|落后|领先|提高)(?: ?了)? *[-−+]\d", text), "a sign twice"
    assert not re.search(r"(?<!“)样本(?!”)", text), "样本 is one data point, a part is 子集"


def test_chinese_uses_the_terms():
    text = "".join(page.read_text(encoding="utf-8") for page in CHINESE)
    assert not [word for word in WORDS if word not in text]


def test_the_newest_version_of_the_changelog_is_the_project_s():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)$", text, re.MULTILINE)[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert newest in ("Unreleased", project["version"])
    assert cited["version"] == project["version"]


def test_changes_are_one_fact_a_line():
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 200] == []
    assert all(line.startswith(("#", "- ")) for line in lines[7:] if line)


def test_github_runs_what_a_person_runs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step.get("run") for job in workflow["jobs"].values() for step in job["steps"]]
    assert "bash .ci/run" in steps
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"):
        fields = yaml.safe_load(form.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= fields.keys()
        assert any(field.get("validations", {}).get("required") for field in fields["body"])
