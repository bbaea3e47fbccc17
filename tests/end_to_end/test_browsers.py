"""Browsers translate a page, print it, lay it out from right to left, and type letters into it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from server.bundle import Bundle
from tests.end_to_end.writer import BEGINNING, Writer
from tests.server.live import serving

HEBREW = "ספן זקן מוצא מכתב."

TRANSLATOR = """() => {
    const translate = () => {
        const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        const found = [];
        while (texts.nextNode()) found.push(texts.currentNode);
        for (const text of found) {
            if (!text.data.trim() || text.parentElement.closest("font, textarea, option, [translate=no]")) continue;
            const font = document.createElement("font");
            text.replaceWith(font);
            font.append(new Text(text.data));
        }
    };
    translate();
    new MutationObserver(translate).observe(document.body, { childList: true, characterData: true, subtree: true });
}"""
"""Moves every text into an element of its own, as translators do."""

KEYS = """(events) => events.map((each) => {
    const event = new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...each });
    document.getElementById("sheet").dispatchEvent(event);
    return event.defaultPrevented;
})"""
"""Returns for each event whether the page took it, so that it types nothing."""


@pytest.fixture
def script() -> bool:
    return True


def test_a_translated_page_still_gets_and_takes_continuations(writer: Writer) -> None:
    writer.page.evaluate(TRANSLATOR)
    writer.text.fill(BEGINNING)
    writer.page.locator("#continue").click()
    ways = writer.until_offered()
    assert all(ways)
    writer.take(1)
    expect(writer.page.get_by_role("alert")).to_be_hidden()
    assert not writer.faults


@pytest.mark.parametrize("script", [True, False], ids=["javascript", "plain"])
def test_continuations_are_not_translated(writer: Writer) -> None:
    """Neither is the text itself, as a text area never is."""
    writer.text.fill(BEGINNING)
    writer.asked()
    translated = "all => all.map(each => each.translate)"
    texts, buttons = ("#ways, #sheet", ".tray-foot button") if writer.script else ("[slot^=text]", "[slot^=take]")
    assert set(writer.page.locator(texts).evaluate_all(translated)) == {False}
    assert set(writer.page.locator(buttons).evaluate_all(translated)) == {True}


def test_letters_that_need_option_are_typed(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    writer.asked()
    letters = [("KeyZ", "ż", False), ("KeyZ", "Ż", True), ("Digit3", "#", False), ("Digit2", "@", False)]
    events = [{"code": code, "key": key, "shiftKey": shift, "altKey": True} for code, key, shift in letters]
    events.append({"code": "Numpad1", "key": "1", "altKey": True})
    events.append({"code": "Digit1", "key": "1", "altKey": True, "ctrlKey": True})
    events.append({"code": "Enter", "key": "Enter", "ctrlKey": True, "isComposing": True})
    assert writer.page.evaluate(KEYS, events) == [False] * len(events)
    writer.expect_text(BEGINNING)


def test_on_a_mac_the_keys_have_command(writers: Callable[..., Writer]) -> None:
    writer = writers(user_agent="Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36")
    writer.open()
    expect(writer.page.locator("#redo")).to_have_attribute("aria-keyshortcuts", "Meta+Shift+Z Meta+Y")
    expect(writer.page.locator("#continue")).to_contain_text("⌘")
    writer.text.fill(BEGINNING)
    writer.text.press("Meta+Enter")
    way = writer.until_offered()[0]
    writer.text.press("Tab")
    writer.expect_text(BEGINNING + way)
    writer.text.press("Meta+z")
    writer.expect_text(BEGINNING)


def pages_of(pdf: bytes) -> int:
    """Return the number of pages of a document by Chromium."""
    return len(re.findall(rb"/Type */Page\b", pdf))


@pytest.mark.parametrize("script", [True, False], ids=["javascript", "plain"])
def test_all_of_a_long_text_is_printed(writer: Writer) -> None:
    writer.text.fill("A line.")
    assert pages_of(writer.page.pdf()) == 1
    lines = 400
    writer.text.fill("\n".join(f"Line {number} of the story." for number in range(lines)))
    # An A4 page has room for 40 lines of this size, so ten pages hold all of them.
    assert pages_of(writer.page.pdf()) >= lines / 40
    writer.page.emulate_media(media="print")
    shown, whole = writer.text.evaluate("area => [area.clientHeight, area.scrollHeight]")
    assert shown == whole > 0
    for part in ("Three continuations", "Undo"):
        expect(writer.page.get_by_role("button", name=part, exact=True)).to_be_hidden()
    expect(writer.page.get_by_role("link", name="Share, export, tree…")).to_be_hidden()


def test_suggestions_are_not_printed(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    writer.asked()
    writer.page.emulate_media(media="print")
    expect(writer.text).to_be_visible()
    for part in (writer.offers, writer.ghost):
        expect(part).to_be_hidden()


def direction(page: Page, selector: str) -> str:
    return str(page.locator(selector).first.evaluate("element => getComputedStyle(element).direction"))


@pytest.mark.parametrize(("text", "runs"), [(HEBREW, "rtl"), (BEGINNING, "ltr")])
def test_a_text_runs_as_its_language_does(writer: Writer, text: str, runs: str) -> None:
    page = writer.page
    writer.text.fill(text)
    assert direction(page, "#sheet") == runs
    address = writer.keep()
    assert direction(page, "h1") == runs
    writer.open("/shelf")
    assert direction(page, "h2") == runs
    writer.open(f"{address}/about")
    assert direction(page, "h1") == direction(page, "#new-title") == runs
    assert direction(page, f".words:has-text('{text}')") == runs
    page.get_by_role("button", name="Make a link").click()
    page.goto(page.get_by_label("Anyone with this link can read the plot").input_value())
    assert direction(page, "h1") == direction(page, ".text") == runs


def test_more_pages_of_the_status_than_a_browser_opens_connections(browser: Browser, tiny_bundle: Path) -> None:
    context = browser.new_context()
    with serving(Bundle.load(tiny_bundle)) as live:
        pages = [context.new_page() for _ in range(8)]
        for page in pages:
            page.goto(f"{live.address}/status")
        for page in pages:
            before = page.locator("#time").inner_text()
            expect(page.locator("#time")).not_to_have_text(before, timeout=30_000)
        pages[-1].goto(f"{live.address}/about")
        pages.pop()
        # The page with the connection may leave.
        pages.pop(0).close()
        for page in pages:
            before = page.locator("#time").inner_text()
            expect(page.locator("#time")).not_to_have_text(before, timeout=30_000)
        context.close()
