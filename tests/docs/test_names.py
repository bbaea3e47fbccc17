"""What the docs name is there: settings, files, constants, metrics, other pages."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from server.settings import Settings, variable
from tests.documentation import DOCS

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(DOCS.glob("*.md"))]


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_settings(page: Path) -> None:
    known = {variable(setting.name) for setting in fields(Settings)} | {"PLOTIFY_TEST_DATABASE"}  # of the tests alone
    assert set(re.findall(r"PLOTIFY_[A-Z_]+", page.read_text())) <= known


def test_links(page: Path) -> None:
    places = [place for place in re.findall(r"\]\(([^)#\s]+)", page.read_text()) if not re.match(r"[a-z]+:", place)]
    assert [place for place in places if not (page.parent / place).exists()] == []


def test_files_and_constants() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    named = re.findall(r"((?:`[A-Z_]+`(?:, | in )?)*)`(server/[\w/]+\.py)`", text)
    assert len(named) > 5
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
