"""The page in a real browser: the plot grows, Stop stops it, and the form works without JavaScript."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from server.bundle import Bundle
from server.settings import Settings
from tests.server.live import LiveServer, serving, slow_down, wait_until_idle


@pytest.fixture
def live(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    slow_down(monkeypatch, 0.05)
    with serving(Bundle.load(tiny_bundle), Settings(plot_grace=1)) as server:
        yield server


@pytest.fixture
def page(browser: Browser, live: LiveServer) -> Iterator[Page]:
    page = browser.new_page()
    page.goto(live.address)
    yield page
    page.close()


@pytest.fixture
def slower_decoding(live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the test a minute until the plot ends by itself."""
    slow_down(monkeypatch, 0.4)


def written(page: Page) -> str:
    return page.locator("#continuation").text_content() or ""


def wait_for_more(page: Page, length: int) -> int:
    """Waits until more than `length` characters are written; how many there are."""
    page.wait_for_function("length => document.getElementById('continuation').textContent.length > length", arg=length)
    return len(written(page))


@pytest.mark.usefixtures("slower_decoding")
def test_the_plot_grows_and_stop_stops_it(page: Page, live: LiveServer) -> None:
    faults: list[object] = []
    page.on("pageerror", lambda error: faults.append(error))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.get_by_label("How does it begin?").fill("A detective in Lisbon")
    page.get_by_label("A paragraph").check()
    page.get_by_label("wild", exact=True).check()
    page.get_by_label("Seed").fill("1")  # of the minute model: a plot to the context's end, not over before Stop
    page.get_by_role("button", name="Write").click()
    seen = wait_for_more(page, 0)
    for _ in range(3):
        seen = wait_for_more(page, seen)
    plot = page.locator("#plot")
    expect(plot).to_have_attribute("aria-busy", "true")
    expect(page.locator("#opening")).to_have_text("A detective in Lisbon")
    with page.expect_response(lambda response: response.request.method == "DELETE") as answer:
        page.get_by_role("button", name="Stop").click()
    assert answer.value.status == 204
    expect(plot).to_have_attribute("aria-busy", "false")
    expect(page.locator("#colophon")).to_contain_text("Stopped.")
    wait_until_idle(live.engine)
    assert page.url.rstrip("/") == live.address
    assert not faults


def test_again_writes_another_and_the_seed_gives_the_same(page: Page) -> None:
    page.get_by_label("How does it begin?").fill("A detective in Lisbon")
    page.get_by_label("A line").check()
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Write").click()
    seed = page.get_by_role("link", name="Seed")
    expect(seed).to_have_text("Seed 7", timeout=60_000)
    first = written(page)
    page.get_by_role("button", name="Again").click()
    expect(page.get_by_label("Seed")).to_have_value("")
    expect(page.locator("#colophon")).to_be_empty()
    expect(seed).to_be_visible(timeout=60_000)
    assert written(page) != first
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Write").click()
    expect(seed).to_have_text("Seed 7", timeout=60_000)
    assert written(page) == first


@pytest.mark.usefixtures("slower_decoding")
def test_leaving_the_page_stops_the_work(page: Page, live: LiveServer) -> None:
    page.get_by_label("How does it begin?").fill("A detective in Lisbon")
    page.get_by_label("A paragraph").check()
    page.get_by_role("button", name="Write").click()
    wait_for_more(page, 0)
    page.goto("about:blank")
    wait_until_idle(live.engine)


def test_a_mistake_is_said_at_its_field(page: Page) -> None:
    page.get_by_role("button", name="Write").click()
    prompt = page.get_by_label("How does it begin?")
    expect(page.locator("#prompt-problem")).to_have_text("Write a few words to begin with.")
    expect(prompt).to_have_attribute("aria-invalid", "true")
    expect(prompt).to_be_focused()
    expect(prompt).to_have_accessible_description("Write a few words to begin with.")


def test_nothing_on_the_page_moves_while_it_is_written(page: Page) -> None:
    page.evaluate(
        """() => {
            window.shifts = [];
            new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map((entry) => entry.value)))
                .observe({ type: "layout-shift", buffered: true });
        }"""
    )
    page.get_by_label("How does it begin?").fill("A detective in Lisbon")
    page.get_by_role("button", name="Write").click()
    expect(page.get_by_role("link", name="Seed")).to_be_visible(timeout=60_000)
    assert sum(page.evaluate("window.shifts")) < 0.01


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_window(browser: Browser, live: LiveServer, width: int, scheme: str) -> None:
    page = browser.new_page(
        viewport={"width": width, "height": 800}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page.goto(live.address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.getElementById('plot')).backgroundColor")
    assert paper == {"light": "rgb(253, 253, 251)", "dark": "rgb(31, 39, 35)"}[scheme]
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_for_programs_fits_its_window_and_its_links_lead_somewhere(
    browser: Browser, live: LiveServer, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.goto(live.address)
    page.get_by_role("link", name="For programs").click()
    expect(page.get_by_role("heading", name="Continue a prompt")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    anchors = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map(link => link.hash.slice(1))")
    assert len(anchors) > 20
    assert page.evaluate("anchors => anchors.filter(anchor => !document.getElementById(anchor))", anchors) == []
    assert not faults
    page.close()


def test_without_javascript_the_form_gives_a_plot_that_grows(browser: Browser, live: LiveServer) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(live.address)
    page.get_by_label("How does it begin?").fill("A detective in Lisbon")
    page.get_by_label("A paragraph").check()
    page.get_by_role("button", name="Write").click(no_wait_after=True)
    page.wait_for_url("**/plot#plot", wait_until="commit")
    lengths = set()
    while not page.get_by_role("link", name="Seed").is_visible():
        lengths.add(len(written(page)))
    assert len(lengths) > 2
    assert len(written(page)) >= max(lengths) > 0
    expect(page.get_by_label("How does it begin?")).to_have_value("A detective in Lisbon")
    expect(page.get_by_role("link", name="Start over")).to_be_visible()
    page.get_by_role("button", name="Again").click()
    context.close()
