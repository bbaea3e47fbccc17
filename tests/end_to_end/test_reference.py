"""The page for programs in a real browser."""

import pytest
from playwright.sync_api import Browser, expect

from tests.server.live import LiveServer


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_its_window_and_its_links_lead_somewhere(browser: Browser, shelf_live: LiveServer, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.goto(shelf_live.address)
    page.get_by_role("link", name="API").click()
    expect(page.get_by_role("heading", name="Continue a prompt")).to_be_visible()
    page.wait_for_load_state()  # the headings may be there before their style
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    anchors = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map(link => link.hash.slice(1))")
    assert len(anchors) > 20
    assert page.evaluate("anchors => anchors.filter(anchor => !document.getElementById(anchor))", anchors) == []
    assert not faults
    page.close()
