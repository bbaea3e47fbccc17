"""Undo and redo, and the way back to earlier suggestions, in a real browser: nothing is lost."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from tests.end_to_end.dictated import WAYS, DictatedDesk, suggested
from tests.end_to_end.writer import BEGINNING, Writer

INPUT = """inputType => document.getElementById("sheet").dispatchEvent(
    new InputEvent("beforeinput", { inputType, cancelable: true })
)"""
"""Returns False if the page undoes or redoes, and not the browser."""


@pytest.fixture
def script() -> bool:
    return True


def test_one_step_back_and_forward_never_takes_back_what_was_typed(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    back, forward = (
        writer.page.get_by_role("button", name=f"The suggestions {way} these") for way in ("before", "after")
    )
    expect(back).to_be_disabled()
    writer.text.press("Tab")
    writer.expect_text(BEGINNING + WAYS[0])
    back.click()
    writer.expect_text(BEGINNING)
    forward.click()
    writer.expect_text(BEGINNING + WAYS[0])
    assert writer.until_offered() != list(WAYS)


def test_another_tab_has_the_suggestions_too(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    address = writer.keep()
    other = replace(writer, page=writer.page.context.new_page())
    other.open(address)
    expect(other.text).to_be_focused()
    assert other.until_offered() == list(WAYS)


def expect_words(writer: Writer, words: Sequence[str]) -> None:
    """Expect that these are the words on the buttons with signs, and that each has its room."""
    shown = writer.page.locator(".name-of:visible").all()
    assert [each.text_content() for each in shown] == list(words)
    for each in shown:
        place, button = each.bounding_box(), each.locator("..").bounding_box()
        assert place
        assert button
        assert 20 < place["width"] <= button["width"]
        assert place["y"] + place["height"] <= button["y"] + button["height"]


def test_undo_stays_under_the_finger(writers: Callable[..., Writer]) -> None:
    writer = writers(viewport={"width": 390, "height": 510}, has_touch=True, is_mobile=True)
    DictatedDesk(writer.page)
    writer.open("/")
    writer.text.fill("A line.\n" * 6)
    writer.text.press("Control+End")
    writer.text.press_sequentially("".join(f"Line {number}.\n" for number in range(8)))
    undo = writer.page.get_by_role("button", name="Undo", exact=True)
    expect_words(writer, ("Undo", "Redo"))
    places = []
    for _ in range(12):
        before = writer.value
        undo.tap()
        expect(writer.page.locator("#text")).not_to_have_value(before)
        place = undo.bounding_box()
        assert place
        places.append(place["y"])
    assert max(places) - min(places) < 4, places  # browsers scroll by whole pixels


def test_again_loses_none(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    writer.press("Three more")
    expect(writer.offers).to_contain_text("2 of 2")
    ways = writer.until_offered()
    earlier = writer.page.get_by_role("button", name="The suggestions before these")
    place = earlier.bounding_box()
    earlier.click()
    expect(writer.page.get_by_role("button", name="The suggestions after these")).to_be_enabled()
    assert earlier.bounding_box() == place
    writer.text.press("PageDown")
    expect(writer.offers).to_contain_text("2 of 2")
    assert ways != list(WAYS)
    for before, after in (("PageUp", "PageDown"), ("before", "after")):
        for key, shown in ((before, list(WAYS)), (after, ways)):
            if key.startswith("Page"):
                writer.text.press(key)
            else:
                writer.press(f"The suggestions {key} these")
            assert writer.ways() == shown


def test_undo_takes_back_what_was_taken_last_and_offers_nothing(writer: Writer, desk: DictatedDesk) -> None:
    """Else the next Tab would take it again."""
    suggested(writer)
    writer.text.press("Tab")
    for key, text in (("z", BEGINNING), ("Shift+z", BEGINNING + WAYS[0]), ("z", BEGINNING)):
        writer.text.press(f"Control+{key}")
        writer.expect_text(text)
        expect(writer.offers).to_be_hidden()
    writer.expect_saved()
    writer.page.reload()
    writer.expect_text(BEGINNING)
    expect(writer.offers).to_be_hidden()
    writer.press("Show again")
    assert writer.ways() == list(WAYS)


def test_a_reload_and_back_lose_none(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    writer.expect_saved()
    writer.page.reload()
    assert writer.until_offered() == list(WAYS)
    writer.open("/about")
    writer.page.go_back()
    assert writer.until_offered() == list(WAYS)
    writer.take(1)
    writer.expect_text(BEGINNING + WAYS[1])
    writer.until_offered()
    writer.press("None of these")
    writer.page.reload()
    expect(writer.page.get_by_role("button", name="Show again")).to_be_enabled()
    expect(writer.offers).to_be_hidden()


BEGINNING_OF_ONE = """() => {
    const events = 'event: begun\\ndata: {"seeds": [42], "read": 21, "notes": 0}\\n\\n'
        + 'event: piece\\ndata: {"index": 0, "text": " He op"}\\n\\n';
    const body = new ReadableStream({ start: (begun) => begun.enqueue(new TextEncoder().encode(events)) });
    window.fetch = () => Promise.resolve(new Response(body));
}"""
"""Answers the next request with the beginning of a suggestion, and never with more."""


@pytest.mark.parametrize("begun", [True, False])
def test_a_reload_has_written_again_what_was_being_written(writer: Writer, desk: DictatedDesk, begun: bool) -> None:
    writer.expect_saved()
    writer.page.evaluate(BEGINNING_OF_ONE if begun else "() => { window.fetch = () => new Promise(() => {}); }")
    writer.text.press("Control+Enter")
    expect(writer.offers).to_have_attribute("aria-busy", "true")
    if begun:
        expect(writer.ghost).to_have_attribute("data-words", " He op")
    writer.page.reload()
    assert writer.until_offered() == list(WAYS)
    assert [fields.get("seed") for fields in desk.of("suggest") if "ahead" not in fields] == ["42" if begun else ""]
    expect(writer.page.get_by_role("button", name="The suggestions before these")).to_be_disabled()
    writer.text.press("Escape")
    asked = len(desk.of("suggest"))
    writer.page.reload()
    writer.expect_text(BEGINNING)
    expect(writer.page.get_by_role("button", name="Show again")).to_be_enabled()
    expect(writer.offers).to_be_hidden()
    assert len(desk.of("suggest")) == asked


def test_another_plot_asks_for_nothing_that_was_being_written(writer: Writer, desk: DictatedDesk) -> None:
    """Both are blank pages, so the place in the text is the same."""
    writer.open("/")
    writer.page.evaluate("() => { window.fetch = () => new Promise(() => {}); }")
    writer.text.press("Control+Enter")
    expect(writer.offers).to_have_attribute("aria-busy", "true")
    writer.page.get_by_role("link", name="New plot").click()
    expect(writer.page.locator("#tray")).to_have_attribute("aria-busy", "false")  # the script has run
    writer.text.press_sequentially(BEGINNING)
    writer.expect_saved()
    assert not desk.of("suggest")


def test_typing_and_taking_are_on_one_stack(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    writer.text.press("Tab")
    writer.text.press("Escape")
    writer.page.keyboard.type(" Rain.")
    writer.text.press("Enter")
    writer.page.keyboard.type("Wind.")
    texts = ["", BEGINNING, BEGINNING + WAYS[0], f"{BEGINNING}{WAYS[0]} Rain.", f"{BEGINNING}{WAYS[0]} Rain.\nWind."]
    writer.expect_text(texts[-1])
    for text in texts[-2::-1]:
        if writer.value == texts[-1]:
            assert not writer.page.evaluate(INPUT, "historyUndo")
        else:
            writer.text.press("Control+z")
        if writer.value != text:  # the line feed is a step of its own
            writer.text.press("Control+z")
        writer.expect_text(text)
        writer.text.press("Escape")
    expect(writer.page.get_by_role("button", name="Undo")).to_be_disabled()
    assert not writer.page.evaluate(INPUT, "historyRedo")
    writer.expect_text(BEGINNING)


def test_after_a_reload_undo_goes_further_back(writer: Writer, desk: DictatedDesk) -> None:
    first, both = f"{BEGINNING}. ", f"{BEGINNING}. It rains."
    writer.text.fill(first)
    writer.expect_saved()
    writer.text.press("End")
    writer.page.keyboard.type("It rains.")
    writer.expect_saved()
    writer.text.press("Control+z")
    writer.expect_text(first)
    writer.expect_saved()
    writer.page.reload()
    writer.expect_text(first)
    writer.text.press("Control+z")
    writer.expect_text("")
    for text in (first, both):
        writer.text.press("Control+Shift+z")
        writer.expect_text(text)


def test_a_text_sent_while_the_page_was_left_is_saved_again_if_it_changes_back(writer: Writer) -> None:
    """The page that opens may not know yet what the one before sent."""
    writer.text.fill(BEGINNING)
    address = writer.keep()
    writer.open(address)
    writer.page.route("**/desk", lambda route: None)  # what is sent arrives later
    writer.text.press("End")
    writer.page.keyboard.type(" waits.")
    writer.page.reload()
    writer.expect_text(f"{BEGINNING} waits.")
    writer.page.unroute("**/desk")
    form = writer.page.evaluate("() => new URLSearchParams(new FormData(document.getElementById('desk'))).toString()")
    writer.page.request.post(
        f"{writer.address}/desk",
        data=f"{form}&do=keep",
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
    )
    writer.text.press("Control+z")
    writer.expect_text(BEGINNING)
    writer.expect_saved()
    writer.page.reload()
    writer.expect_text(BEGINNING)


def test_a_reload_keeps_undo_and_redo_step_by_step(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    for key in ("ArrowRight", "ArrowRight", "Escape"):
        writer.text.press(key)
    writer.page.keyboard.type(" it. Then")
    texts = [
        BEGINNING,
        f"{BEGINNING} He",
        f"{BEGINNING} He opened",
        f"{BEGINNING} He opened it. ",
        f"{BEGINNING} He opened it. Then",
    ]
    writer.expect_text(texts[-1])
    writer.text.press("Control+z")
    writer.page.reload()
    writer.expect_text(texts[-2])
    writer.expect_saved()  # so what the page sent when it was left has arrived, too
    writer.text.press("Control+Shift+z")
    writer.expect_text(texts[-1])
    writer.expect_saved()
    writer.page.reload()
    for text in texts[-2::-1]:
        writer.expect_text(writer.value)
        writer.text.press("Control+z")
        writer.expect_text(text)


def test_a_branch_begun_after_undo_survives_reloads_before_it_is_saved(writer: Writer) -> None:
    writer.text.fill(f"{BEGINNING}. ")
    writer.expect_saved()
    writer.text.press("End")
    writer.page.keyboard.type("It rains.")
    address = writer.keep()
    writer.text.press("Control+z")
    writer.page.route("**/desk", lambda route: None)  # what is sent arrives later, or never
    writer.page.keyboard.type("A new branch.")
    for _ in range(3):
        writer.page.reload()
        writer.expect_text(f"{BEGINNING}. A new branch.")
        expect(writer.page.locator("#found")).to_be_hidden()
    writer.page.unroute("**/desk")
    writer.text.press("Control+z")
    writer.expect_text(f"{BEGINNING}. ")
    writer.text.press("Control+Shift+z")
    writer.expect_saved()
    writer.open("/")
    expect(writer.page.locator("#found")).to_be_hidden()
    writer.open(address)
    writer.expect_text(f"{BEGINNING}. A new branch.")


def test_typing_after_a_reload_is_a_step_of_its_own(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    writer.keep()
    writer.page.reload()
    writer.text.press("End")
    writer.page.keyboard.type(" waits")
    for text in (BEGINNING, ""):
        writer.text.press("Control+z")
        writer.expect_text(text)


def test_the_text_has_the_focus_after_a_reload(writer: Writer, desk: DictatedDesk) -> None:
    """Also where the server knows what could come next, because it was taken and undone."""
    suggested(writer)
    for key in ("Tab", "Escape"):
        writer.text.press(key)
    writer.expect_saved()
    writer.text.press("Control+z")
    writer.expect_text(BEGINNING)
    writer.expect_saved()
    writer.page.reload()
    writer.expect_text(BEGINNING)
    writer.page.keyboard.type(" waits")
    writer.expect_text(f"{BEGINNING} waits")


def test_what_was_put_away_stays_away_after_a_reload(writer: Writer, desk: DictatedDesk) -> None:
    """Words that were taken one by one and undone are no suggestions."""
    suggested(writer)
    for key in ("ArrowRight", "ArrowRight", "Escape"):
        writer.text.press(key)
        writer.expect_saved()
    writer.text.press("Control+z")
    writer.expect_text(f"{BEGINNING} He")
    writer.expect_saved()
    writer.page.reload()
    writer.expect_text(f"{BEGINNING} He")
    expect(writer.offers).to_be_hidden()


def test_the_caret_is_where_the_writer_wrote_after_a_reload(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    writer.text.press("Home")
    writer.page.keyboard.type("Once, a ")
    writer.page.reload()
    writer.expect_text(f"Once, a {BEGINNING}")
    writer.page.keyboard.type("tired ")
    writer.expect_text(f"Once, a tired {BEGINNING}")


def test_a_phone_has_undo_above_the_suggestions(writers: Callable[..., Writer]) -> None:
    writer = writers(viewport={"width": 390, "height": 510}, has_touch=True, is_mobile=True)
    DictatedDesk(writer.page)
    writer.open("/")
    writer.text.fill(BEGINNING)
    writer.page.locator("#continue").tap()
    expect(writer.takes).to_have_count(3)
    undo = writer.offers.get_by_role("button", name="Undo")
    expect_words(writer, ("Undo",))
    writer.offers.get_by_role("button", name="Take it").tap()
    writer.expect_text(BEGINNING + WAYS[0])
    place = undo.bounding_box()
    assert place
    assert min(place["width"], place["height"]) >= 44
    undo.tap()
    writer.expect_text(BEGINNING)
    expect(writer.text).to_be_in_viewport(ratio=1)


def test_a_key_whose_button_is_disabled_does_nothing(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    expect(writer.page.get_by_role("button", name="The suggestions before these")).to_be_disabled()
    writer.text.press("PageUp")
    expect(writer.offers).to_be_visible()
    writer.text.press("Tab")
    writer.expect_text(BEGINNING + WAYS[0])


def test_one_step_back_passes_over_words_taken_one_by_one(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    for key in ("ArrowRight", "ArrowRight", "Tab"):
        writer.text.press(key)
    writer.expect_text(BEGINNING + WAYS[0])
    for key, text in (("PageUp", BEGINNING), ("PageDown", BEGINNING + WAYS[0])) * 2:
        expect(writer.takes).to_have_count(3)
        writer.text.press(key)
        writer.expect_text(text)
        expect(writer.offers).to_be_visible()


def test_the_last_three_are_shown_where_they_belong(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    writer.text.press("Escape")
    last = writer.page.get_by_role("button", name="Show again")
    expect(last).to_be_enabled()
    writer.text.press("Home")
    expect(last).to_be_disabled()
    writer.text.press("End")
    expect(last).to_be_enabled()
    writer.page.keyboard.type(" and")
    expect(last).to_be_disabled()


def test_words_undone_before_they_were_saved_come_back_after_a_longer_way(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    writer.text.press("Tab")
    writer.expect_text(BEGINNING + WAYS[0])
    writer.expect_saved()
    writer.see_all()
    writer.page.locator("#tree").get_by_role("button", name=BEGINNING, exact=True).click()
    writer.expect_text(BEGINNING)
    writer.text.press("Control+End")
    writer.page.keyboard.type(" sleeps.")
    for key, text in (("z", BEGINNING), ("z", ""), ("Shift+z", BEGINNING), ("Shift+z", f"{BEGINNING} sleeps.")):
        writer.text.press(f"Control+{key}")
        writer.expect_text(text)
    writer.expect_saved()


def test_a_space_belongs_to_the_sentence_before_it(writer: Writer, desk: DictatedDesk) -> None:
    writer.text.press("End")
    writer.page.keyboard.type(" waits. She sings. ")
    for text in (f"{BEGINNING} waits. ", ""):
        writer.text.press("Control+z")
        writer.expect_text(text)
