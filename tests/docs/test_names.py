"""Settings, files, links, classes, constants and metrics in the docs exist, and tables are readable."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from server.settings import Settings, variable
from tests.documentation import DOCS, PAGES, ROOT, prose

MAX_CELL = 200
"""The most characters in a table's cell. Longer text belongs outside of a table."""

CODE = ("server", "training", "export", "voice", "benchmarks", "silence")
OPERATORS = {"GroupQueryAttention"}
"""Operators of ONNX Runtime, in camel case like classes."""

FOLDERS = "server|training|export|benchmarks|tests|templates"


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


OF_TESTS = {"PLOTIFY_TEST_DATABASE", "PLOTIFY_TEST_IMAGE"}
"""Variables that no server reads."""


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_settings(page: Path) -> None:
    known = {variable(setting.name) for setting in fields(Settings)} | OF_TESTS
    assert set(re.findall(r"PLOTIFY_[A-Z_]+", page.read_text())) <= known


def test_links(page: Path) -> None:
    places = [place for place in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if not re.match(r"[a-z]+:", place)]
    for place in places:
        path, _, anchor = place.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), place
        assert not anchor or anchor in anchors(target), place


def test_files_and_modules(page: Path) -> None:
    text = page.read_text()
    paths = re.findall(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./-]*", text)
    modules = re.findall(rf"(?<!\S)-m\s+((?:{FOLDERS})[\w.]*)", text)
    for path in [*paths, *(module.replace(".", "/") for module in modules)]:
        place = ROOT / path.rstrip(".")
        assert place.exists() or place.with_suffix(".py").exists(), path


def test_modules_have_their_folder(page: Path) -> None:
    """You can open a module named with its folder, and `test_files_and_modules` checks it."""
    assert re.findall(r"`\w+\.py`", prose(page.read_text())) == []


def test_tables_have_short_cells(page: Path) -> None:
    rows = [line for line in prose(page.read_text()).splitlines() if line.startswith("|")]
    assert [cell for row in rows for cell in row.strip("|").split("|") if len(cell.strip()) > MAX_CELL] == []


def test_classes_of_the_architecture() -> None:
    code = "\n".join(file.read_text() for package in CODE for file in (ROOT / package).rglob("*.py"))
    defined = {*re.findall(r"^ *class (\w+)\b", code, re.MULTILINE), *OPERATORS}
    named = set(re.findall(r"`([A-Z]\w*[a-z]\w*)`", (DOCS / "architecture.md").read_text()))
    assert len(named) > 10
    assert named - defined == set()


def test_files_and_constants() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    named = re.findall(r"((?:`[A-Z_]+`(?:, | in )?)*)`(server/[\w/]+\.py)`", text)
    assert len(named) > 5
    assert sum(bool(constants) for constants, _ in named) > 2
    for constants, file in named:
        code = (ROOT / file).read_text()
        assert all(re.search(rf"\b{constant}\b.* = ", code) for constant in re.findall("[A-Z_]+", constants))


def test_metrics() -> None:
    named, known = (
        set(re.findall(r"`(?:rate\()?(plotify:\w+)", (DOCS / f"{name}.md").read_text()))
        for name in ("operations", "metrics")
    )
    assert named
    assert named <= known
