"""The status page in a real browser: it stays up to date and fits its window."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from server.bundle import Bundle
from server.engine import Request, Sampling
from tests.end_to_end.writer import PATIENCE
from tests.server.live import LiveServer, serving, slow_down, wait_until_idle


@pytest.fixture
def live(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    slow_down(monkeypatch, 0.05)
    with serving(Bundle.load(tiny_bundle)) as server:
        yield server


def test_it_keeps_itself_up_to_date(browser: Browser, live: LiveServer) -> None:
    page = browser.new_page()
    faults: list[object] = []
    page.on("pageerror", lambda error: faults.append(error))
    page.on("console", lambda message: faults.append(message.text))
    page.goto(f"{live.address}/status")
    expect(page.locator("#running")).to_have_text("0 of 2")
    stream = live.engine.submit(Request("A fox", Sampling(max_tokens=110, ignore_end=True)))
    expect(page.locator("#running")).to_have_text("1 of 2", timeout=PATIENCE)
    expect(page.locator("#first-p50")).to_contain_text("s", timeout=PATIENCE)
    page.wait_for_function(
        "() => document.getElementById('speed-line').getAttribute('d').includes('L')", timeout=PATIENCE
    )
    stream.cancel()
    wait_until_idle(live.engine)
    expect(page.locator("#running")).to_have_text("0 of 2", timeout=PATIENCE)
    assert not faults
    live.engine.close()
    expect(page.locator("#connection")).to_have_text(
        "The connection was lost. These are the last figures.", timeout=PATIENCE
    )
    page.close()


def test_without_javascript_it_loads_itself_anew(browser: Browser, live: LiveServer) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{live.address}/status")
    with page.expect_navigation(timeout=PATIENCE):
        pass
    expect(page.locator("#state")).to_have_text("Ready")
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_its_window(browser: Browser, live: LiveServer, width: int, scheme: str) -> None:
    page = browser.new_page(
        viewport={"width": width, "height": 800}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page.goto(f"{live.address}/status")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    chart = page.locator("figure").first
    paper = chart.evaluate("element => getComputedStyle(element).backgroundColor")
    assert paper == {"light": "rgb(253, 253, 251)", "dark": "rgb(31, 39, 35)"}[scheme]
    page.close()
