"""Tests of every page: it is accessible, light, and fits its window."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import axe_playwright_python
import pytest
from playwright.sync_api import Response

from server.settings import SHIPPED_MODEL
from tests.end_to_end.places import places
from tests.end_to_end.writer import BEGINNING, Writer

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
HEAVIEST, MAX_REQUESTS = 100_000, 17
"""The most bytes of a page with everything it loads, and its requests besides those for covers."""

LATER = 40_000
"""The most bytes of the desk for a browser that has its files."""

FOR_PROGRAMMERS = ("/docs", "/status")

SMALL = """() => [...document.querySelectorAll("a, button, select, summary, textarea, input:not([type=hidden])")]
    .filter((control) => control.checkVisibility({ visibilityProperty: true }) && !control.matches("h2 a"))
    .map((control) => [control, (control.closest("label") ?? control).getBoundingClientRect()])
    .filter(([, { width, height }]) => Math.min(width, height) < 43.5)
    .map(([{ outerHTML }, { width, height }]) => `${width} × ${height} pixels: ${outerHTML.slice(0, 160)}`)"""
"""Returns what is too small for a finger. The picture of a plot leads where its title does."""


@pytest.fixture
def script() -> bool:
    return True


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_and_use_it(writers: Callable[..., Writer], scheme: str, width: int) -> None:
    """axe-core checks it, outside of the page: the Content-Security-Policy allows no scripts inside."""
    writer = writers(color_scheme=scheme, viewport={"width": width, "height": 800})
    faults: dict[str, list[str]] = {}
    for place in places(writer):
        writer.page.evaluate(AXE)
        found = writer.page.evaluate(f"axe.run({{ runOnly: {RULES} }})")
        assert found["passes"]
        wrong = [
            f"{violation['id']}: {node['html'][:160]} {node['failureSummary']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]
        if writer.page.evaluate("document.documentElement.scrollWidth") > width:
            wrong.append("wider than its window")
        if width == 390 and place.address not in FOR_PROGRAMMERS:
            wrong += writer.page.evaluate(SMALL)
        if wrong:
            faults[place.name] = wrong
    assert not faults


def test_a_phone_shows_all_of_the_width(writers: Callable[..., Writer]) -> None:
    """A phone zooms out if anything is wider than its window, even if nobody sees it."""
    writer = writers(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    writer.open()
    assert writer.page.evaluate("innerWidth") == 390
    writer.text.fill(BEGINNING)
    writer.text.press("Control+a")
    assert writer.page.evaluate("innerWidth") == 390


def test_it_is_light_and_asks_nobody_else(writers: Callable[..., Writer]) -> None:
    writer = writers()
    addresses = {place.address for place in places(writer)}
    assert len(addresses) > 8
    for address in addresses:
        visitor = writers(storage_state=writer.page.context.storage_state())
        answers: list[Response] = []

        def note(answer: Response, answers: list[Response] = answers) -> None:
            answers.append(answer)

        visitor.page.on("response", note)
        visitor.page.goto(writer.address + address, wait_until="load")
        weights = {
            answer.url: sum(answer.request.sizes()[part] for part in ("responseBodySize", "responseHeadersSize"))
            for answer in answers
            if not answer.headers["content-type"].startswith("text/event-stream")  # it has no end
        }
        assert {urlsplit(url).netloc for url in weights} == {urlsplit(writer.address).netloc}
        assert sum(weights.values()) < HEAVIEST, weights
        assert len([url for url in weights if "/picture" not in url]) <= MAX_REQUESTS, weights
        if address != "/nowhere":  # the browser logs the 404
            assert not visitor.faults
        visitor.page.close()


def test_a_later_load_is_lighter(writer: Writer) -> None:
    writer.open()
    loaded = writer.page.evaluate(
        "['navigation', 'resource'].flatMap(type => performance.getEntriesByType(type))"
        ".reduce((sum, { transferSize }) => sum + transferSize, 0)"
    )
    assert 0 < loaded < LATER


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("served", [SHIPPED_MODEL], ids=["shipped"])
@pytest.mark.usefixtures("slow_shelf_live")
def test_nothing_moves_while_it_is_written(writers: Callable[..., Writer], width: int) -> None:
    writer = writers(viewport={"width": width, "height": 800})
    writer.open()
    writer.text.fill(BEGINNING)
    writer.page.evaluate(
        """async () => {
            for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);  // to show it
            window.shifts = [];
            const told = ({ value, sources }) => [value, ...sources.map(({ node }) => node?.outerHTML ?? node?.data)];
            new PerformanceObserver((list) => window.shifts.push(
                ...list.getEntries().filter((entry) => !entry.hadRecentInput).map(told)
            )).observe({ type: "layout-shift" });
        }"""
    )
    writer.page.locator("#continue").click()
    writer.until_offered()
    shifts = writer.page.evaluate("window.shifts")
    assert sum(value for value, *_ in shifts) < 0.01, shifts
