"""One plot in two tabs: no word is lost, and the writer is told. One tab alone is told nothing."""

from dataclasses import replace

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.end_to_end.dictated import WAYS, DictatedDesk, suggested
from tests.end_to_end.writer import BEGINNING, PATIENCE, Writer

HERE, THERE = f"{BEGINNING}. It rains.", f"{BEGINNING} 🦊 waits."


@pytest.fixture
def script() -> bool:
    return True


@pytest.fixture
def other(writer: Writer) -> Writer:
    """A second tab with the plot of `writer`, in which it has other words."""
    writer.text.fill(BEGINNING)
    address = writer.keep()
    other = replace(writer, page=writer.page.context.new_page())
    other.page.set_default_timeout(PATIENCE)
    other.open(address)
    other.text.press("End")
    other.page.keyboard.type(THERE.removeprefix(BEGINNING))
    other.expect_saved()
    expect(told(other)).to_be_hidden()
    return other


def told(writer: Writer) -> Locator:
    """Return the sentence that says it."""
    return writer.page.get_by_text(
        "Another tab or page has changed this plot. Your text is saved, and the other one is"
    )


def come_back(writer: Writer) -> None:
    """Do what a browser does when a tab comes back into view."""
    with writer.page.expect_response("**/desk"):
        writer.page.evaluate("window.dispatchEvent(new Event('focus'))")


def test_both_texts_are_kept_and_that_is_said(writer: Writer, other: Writer) -> None:
    writer.page.keyboard.type(HERE.removeprefix(BEGINNING))
    expect(told(writer)).to_be_visible(timeout=PATIENCE)
    writer.expect_text(HERE)
    writer.page.keyboard.type(" And")  # it stays until an answer
    writer.expect_saved()
    expect(told(writer)).to_be_visible()
    writer.press("Show the other")
    writer.expect_text(THERE)
    expect(told(writer)).to_be_hidden()
    writer.text.press("Control+z")
    writer.expect_text(f"{HERE} And")
    other.page.keyboard.type("!")
    expect(told(other)).to_be_visible(timeout=PATIENCE)
    other.press("Keep mine")
    expect(told(other)).to_be_hidden()
    other.expect_text(f"{THERE}!")
    other.press("Undo")
    other.expect_text(THERE)
    other.expect_saved()
    expect(told(other)).to_be_hidden()
    assert not writer.faults


def test_what_is_taken_in_one_tab_leaves_the_text_of_the_other(writer: Writer, other: Writer) -> None:
    DictatedDesk(writer.page)
    suggested(writer)
    writer.text.press("Tab")
    writer.expect_text(BEGINNING + WAYS[0])
    expect(told(writer)).to_be_visible(timeout=PATIENCE)
    writer.press("Show the other")
    writer.expect_text(THERE)
    expect(writer.offers).to_be_hidden()


def test_a_tab_that_comes_back_shows_the_last_text_unless_it_has_words_of_its_own(
    writer: Writer, other: Writer
) -> None:
    DictatedDesk(writer.page)
    suggested(writer)
    come_back(writer)
    writer.expect_text(THERE)
    expect(writer.offers).to_be_hidden()
    expect(told(writer)).to_be_hidden()
    writer.text.press("End")
    writer.page.keyboard.type("!")
    writer.expect_saved()
    expect(told(writer)).to_be_hidden()
    other.page.route("**/desk", lambda route: route.abort())
    other.page.keyboard.type("?")
    other.page.evaluate("window.dispatchEvent(new Event('focus'))")
    other.page.unroute("**/desk")
    other.expect_saved()
    other.expect_text(f"{THERE}?")
    expect(told(other)).to_be_visible()


def test_other_options_bring_no_older_text_back(writer: Writer, other: Writer) -> None:
    with writer.page.expect_response("**/desk"):
        writer.page.get_by_label("Genre").select_option("Horror")
    writer.expect_text(THERE)
    writer.page.reload()
    writer.expect_text(THERE)
    expect(writer.page.get_by_label("Genre")).to_have_value("Horror")


def test_one_tab_is_told_nothing(writer: Writer) -> None:
    """Also if it misses answers, is left before it has one, and undoes what it sent."""
    page, keyboard, text = writer.page, writer.page.keyboard, BEGINNING

    def lost(route: Route) -> None:
        route.fetch()
        route.abort()

    def more(words: str) -> None:
        nonlocal text
        text += words
        keyboard.type(words)

    def expect_kept() -> None:
        writer.expect_text(text)
        writer.expect_saved()
        expect(told(writer)).to_be_hidden()

    page.route("**/desk", lost, times=1)  # the plot begins, and the page does not know it
    writer.text.fill(text)
    expect(page.get_by_role("alert")).to_contain_text("Your text is here", timeout=PATIENCE)
    more(" waits.")
    expect_kept()
    for times in (1, 2):
        page.route("**/desk", lost, times=times)
        more(" It rains.")
        expect(page.get_by_role("alert")).to_contain_text("Your text is here", timeout=PATIENCE)
        more(" And")
        expect_kept()
    held: list[Route] = []
    page.route("**/desk", lambda route: held.append(route), times=1)
    with page.expect_request("**/desk"):
        more(" rains.")
    more(" Still.")
    held[0].continue_()
    expect_kept()
    page.route("**/desk", lost, times=1)
    more(" She")
    page.reload()  # what is sent when a page is left has no answer either
    writer.text.press("Control+End")
    more(" waits.")
    expect_kept()
    for key, undone in (("z", True), ("Shift+z", False)):
        writer.text.press(f"Control+{key}")
        writer.expect_text(text.removesuffix(" waits.") if undone else text)
        writer.expect_saved()
        expect(told(writer)).to_be_hidden()
    writer.open("/about")
    page.go_back()
    writer.text.press("Control+End")
    more(" Always.")
    expect_kept()


@pytest.mark.parametrize("script", [False])
def test_without_a_script_the_answer_says_it_and_leads_to_the_other_text(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    address = writer.keep()
    other = replace(writer, page=writer.page.context.new_page())
    other.open(address)
    other.text.fill(THERE)
    other.keep()
    expect(told(other)).to_be_hidden()
    writer.text.fill(HERE)
    writer.press("Save")
    expect(told(writer)).to_be_visible(timeout=PATIENCE)
    writer.expect_text(HERE)
    writer.page.get_by_role("link", name="Show the other").click()
    writer.page.locator("#tree").get_by_role("button", name="🦊 waits.").click()
    writer.expect_text(THERE)
    expect(told(writer)).to_be_hidden()
