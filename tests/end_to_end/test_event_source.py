"""A browser's EventSource: it reconnects to a plot, and does not come back after its end."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from server.bundle import Bundle
from server.settings import Settings
from tests.documentation import example
from tests.end_to_end.writer import PATIENCE
from tests.server.cutting import cutting
from tests.server.following import follow, start, text_of
from tests.server.live import LiveServer, serving, slow_down

CUTS = (1, 900)
"""Cut connections after these bytes: in the status line, and in the middle of events."""


@pytest.fixture
def live(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    slow_down(monkeypatch, 0.05)
    with serving(Bundle.load(tiny_bundle)) as server:
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


def example_page(page: Page, address: str, html: str) -> None:
    """Open a page of our own on the server's origin."""

    def answer(route: Route) -> None:
        route.fulfill(body=html, content_type="text/html")

    page.route("**/example", answer)
    page.goto(f"{address}/example")


def test_the_documented_page_does_the_same(page: Page, live: LiveServer) -> None:
    fields = {"prompt": "A detective in Lisbon", "length": "lines", "seed": "2"}
    whole = text_of(follow(start(live.address, fields)))
    with cutting(live.address, CUTS) as cuts:
        example_page(page, cuts.address, example("plots.md", "html", cuts.address))
        expect(page.locator("#ending")).to_have_text("length", timeout=PATIENCE)
        assert page.locator("#plot").text_content() == whole
        assert cuts.connections == 3


def test_a_page_sees_a_pause_and_then_the_rest_when_the_server_starts_again(
    page: Page, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(monkeypatch, 0.1)
    bundle, settings = Bundle.load(tiny_bundle), Settings(database=str(tmp_path / "shelf.sqlite"))
    with serving(bundle, settings) as live:
        example_page(page, live.address, example("plots.md", "html", live.address))
        expect(page.locator("#plot")).not_to_be_empty(timeout=PATIENCE)
        port = urlsplit(live.address).port or 0
    assert page.locator("#ending").text_content() == ""
    with serving(bundle, settings, port=port) as live:
        expect(page.locator("#ending")).to_have_text("length", timeout=PATIENCE)
        fields = {"prompt": "A detective in Lisbon", "length": "lines", "seed": "2"}
        assert page.locator("#plot").text_content() == text_of(follow(start(live.address, fields)))


def test_a_source_that_is_never_closed_stops_by_itself(page: Page, live: LiveServer) -> None:
    with cutting(live.address, []) as cuts:
        plot = start(live.address, {"prompt": "A fox", "length": "line"})
        example_page(page, cuts.address, "<!doctype html><title>Never closes</title>")
        page.evaluate(
            """(address) => {
                window.source = new EventSource(address);
                window.ends = 0;
                source.addEventListener("done", () => window.ends++);
            }""",
            plot["events"].replace(live.address, ""),
        )
        page.wait_for_function("source.readyState === EventSource.CLOSED", timeout=PATIENCE)
        page.wait_for_timeout(2500)
        assert page.evaluate("window.ends") == 1
        assert cuts.connections == 2, "it came back once, and was refused"
