"""Typing in the element that is the text: an IME, paste, line feeds, directions, old browsers."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from server.settings import SHIPPED_MODEL
from tests.end_to_end.dictated import WAYS, DictatedDesk
from tests.end_to_end.writer import BEGINNING, Writer

KEYS = """keys => keys.map(key => {
    const composing = {key, ctrlKey: key === "Enter", isComposing: true, cancelable: true, bubbles: true};
    return !document.getElementById("sheet").dispatchEvent(new KeyboardEvent("keydown", composing));
})"""
"""Returns for each key whether the page took it from the IME."""

CARET = """() => {
    const range = getSelection().getRangeAt(0), before = range.cloneRange();
    before.setStart(range.startContainer, Math.max(0, range.startOffset - 1));
    return [...range.getClientRects(), ...before.getClientRects()][0].bottom;
}"""
"""Returns how far below the top of the window the caret ends."""


@pytest.fixture
def script() -> bool:
    return True


def test_a_writer_can_type_at_once(writers: Callable[..., Writer]) -> None:
    """Even if the script is there before the browser gives the text area the focus."""
    writer = writers()
    writer.page.add_init_script(
        "addEventListener('focus', ({ target }) => { if (target.id === 'text') target.blur(); }, true)"
    )
    writer.open()
    expect(writer.text).to_be_focused()
    writer.page.keyboard.type(BEGINNING)
    writer.expect_text(BEGINNING)
    writer.open(writer.keep())
    expect(writer.text).to_be_focused()


@pytest.mark.parametrize("served", [SHIPPED_MODEL], ids=["shipped"])  # it reads notes
def test_notes_are_saved_while_they_are_typed(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    address = writer.keep()
    writer.page.get_by_label("Keep in mind").press_sequentially("Rui")
    expect(writer.page.locator("#saved")).to_have_text("Saving…")
    writer.expect_saved()
    other = replace(writer, page=writer.page.context.new_page())
    other.open(address)
    expect(other.page.get_by_label("Keep in mind")).to_have_value("Rui")


@pytest.mark.parametrize("served", [SHIPPED_MODEL], ids=["shipped"])  # it reads notes
def test_tab_leads_to_the_end_of_the_notes(writer: Writer) -> None:
    notes = writer.page.get_by_label("Keep in mind")
    notes.fill("Inês, a detective")
    writer.text.fill(BEGINNING)
    writer.open(writer.keep())
    writer.page.get_by_role("radio", name="even").focus()
    writer.page.keyboard.press("Tab")
    expect(notes).to_be_focused()
    writer.page.keyboard.type("; Rui")
    expect(notes).to_have_value("Inês, a detective; Rui")


def test_an_ime_has_its_keys_for_itself(writer: Writer) -> None:
    desk = DictatedDesk(writer.page)
    ime = writer.page.context.new_cdp_session(writer.page)
    writer.text.fill(BEGINNING)
    writer.text.press("Control+Enter")
    expect(writer.takes).to_have_count(3)
    ime.send("Input.imeSetComposition", {"text": "に", "selectionStart": 1, "selectionEnd": 1})
    expect(writer.ghost).to_have_count(0)
    keys = ["Enter", "Tab", "ArrowDown", "ArrowRight", "Escape"]
    assert writer.page.evaluate(KEYS, keys) == [False] * len(keys)
    ime.send("Input.imeSetComposition", {"text": "日本", "selectionStart": 2, "selectionEnd": 2})
    ime.send("Input.insertText", {"text": "日本"})
    writer.expect_text(f"{BEGINNING}日本")
    assert len(desk.of("suggest")) <= 2
    writer.text.press("Control+z")
    writer.expect_text("")
    writer.text.press("Control+Shift+z")
    writer.expect_text(f"{BEGINNING}日本")


def test_the_tools_do_not_cover_the_caret(writer: Writer) -> None:
    writer.text.fill("The lighthouse keeper reads. " * 175)
    writer.text.press("Control+End")
    tools = "document.getElementById('foot').getBoundingClientRect().top"
    for _ in range(3):
        writer.page.keyboard.type("And one more sentence for the day that it is. ")
        assert 0 < writer.page.evaluate(CARET) < writer.page.evaluate(tools)
    writer.text.press("Control+Home")
    for _ in range(30):
        writer.text.press("ArrowDown")
    assert 0 < writer.page.evaluate(CARET) < writer.page.evaluate(tools)


def test_only_text_is_pasted(writer: Writer) -> None:
    writer.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    writer.page.evaluate(
        "navigator.clipboard.write([new ClipboardItem({"
        "'text/html': new Blob(['<b>two</b><br>lines'], {type: 'text/html'}),"
        "'text/plain': new Blob(['two\\nlines'], {type: 'text/plain'})})])"
    )
    writer.text.focus()
    writer.text.press("Control+v")
    writer.expect_text("two\nlines")
    expect(writer.text.locator("b")).to_have_count(0)


def test_line_feeds_are_typed_as_they_are_kept(writer: Writer) -> None:
    writer.page.keyboard.type("a")
    for key in ("Enter", "Enter"):
        writer.text.press(key)
    writer.page.keyboard.type("b")
    writer.text.press("Enter")
    writer.expect_text("a\n\nb\n")
    writer.text.press("Backspace")
    writer.text.press("Backspace")
    writer.expect_text("a\n\n")
    writer.page.keyboard.type("c")
    writer.expect_text("a\n\nc")
    writer.expect_saved()
    writer.page.reload()
    writer.expect_text("a\n\nc")


def test_from_right_to_left_the_left_arrow_takes_a_word(writer: Writer) -> None:
    DictatedDesk(writer.page)
    writer.text.fill("ספן זקן מוצא מכתב")
    writer.text.press("Control+Enter")
    expect(writer.takes).to_have_count(3)
    expect(writer.page.get_by_role("button", name="One word")).to_have_attribute("aria-keyshortcuts", "ArrowLeft")
    writer.text.press("ArrowLeft")
    writer.expect_text(f"ספן זקן מוצא מכתב{WAYS[0][:3]}")


def test_a_browser_without_such_an_element_has_the_page_without_script(writers: Callable[..., Writer]) -> None:
    writer = writers()
    writer.page.add_init_script(
        "Object.defineProperty(HTMLElement.prototype, 'contentEditable', { get() { return 'inherit'; } })"
    )
    writer.open()
    writer.page.locator("textarea#text").fill(BEGINNING)
    writer.page.locator("#continue").click()
    takes = writer.page.get_by_role("button", name="Take this")
    expect(takes).to_have_count(3)
    takes.first.click()
    writer.page.wait_for_url("**/shelf/*")
    assert writer.value.startswith(BEGINNING)
    assert len(writer.value) > len(BEGINNING)


def test_lines_that_come_at_once_stay_lines(writer: Writer) -> None:
    """Dictation and pasting insert several lines at once, which browsers put into blocks of their own."""
    writer.text.click()
    writer.page.keyboard.insert_text("One.\n\nTwo.\nThree.")
    writer.expect_text("One.\n\nTwo.\nThree.")
    writer.page.keyboard.type(" Four.")
    writer.expect_text("One.\n\nTwo.\nThree. Four.")
