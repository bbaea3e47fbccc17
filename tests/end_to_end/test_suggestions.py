"""Suggestions at the caret, in a real browser: ghost text, the tray, keys and buttons."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.end_to_end.dictated import WAYS, DictatedDesk, suggested
from tests.end_to_end.writer import BEGINNING, PATIENCE, Writer

BEHIND = " It rains."
LINES = """() => [...document.querySelectorAll("#ways li")].map((card) => {
    const { paddingTop, lineHeight } = getComputedStyle(card.firstElementChild), room = card.clientHeight;
    return card.scrollHeight > room && (room - parseFloat(paddingTop)) / parseFloat(lineHeight);
})"""
"""Returns for each card how many lines it shows; False if it has no more of them."""

FIRST_LINE = "ghost => [...ghost.getClientRects()].map(({ top, bottom }) => [top, bottom])[0]"


@pytest.fixture
def script() -> bool:
    return True


def take_and_go_on(writer: Writer) -> None:
    """Take the ghost text with Tab, and wait for the next one."""
    before, words = writer.value, writer.ghost.get_attribute("data-words")
    assert words
    writer.text.press("Tab")
    writer.expect_text(before + words)
    expect(writer.ghost).not_to_have_attribute("data-words", words)


def test_a_ghost_is_no_part_of_the_text(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    assert writer.ways() == list(WAYS)
    writer.expect_text(BEGINNING)
    writer.expect_saved()
    writer.text.press("Control+a")
    assert writer.page.evaluate("String(getSelection())") == BEGINNING
    writer.page.reload()
    assert writer.page.locator("#text").evaluate("area => area.defaultValue") == BEGINNING


def test_tab_takes_all_and_the_next_are_there(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    for _ in range(9):
        take_and_go_on(writer)
    assert desk.of("suggest")[0].get("ahead") is None
    assert all(fields["ahead"] == "1" for fields in desk.of("suggest")[1:])
    writer.expect_saved()
    last = desk.of("take")[-1]  # several that are taken one after the other may be sent as one
    assert last["text"] + last["taken"] == writer.value
    assert not writer.faults


def test_the_right_arrow_takes_a_word(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    for word in (" He", " opened", " it"):
        before = writer.value
        writer.text.press("ArrowRight")
        writer.expect_text(before + word)
    expect(writer.ghost).to_have_attribute("data-words", WAYS[0].removeprefix(" He opened it"))
    assert writer.ways()[0] == WAYS[0].removeprefix(" He opened it")
    writer.text.press("Tab")
    writer.expect_text(BEGINNING + WAYS[0])


def test_a_word_taken_before_other_words_keeps_its_space(writer: Writer, desk: DictatedDesk) -> None:
    writer.text.fill(f"{BEGINNING} rains")
    for _ in "rains":
        writer.text.press("ArrowLeft")
    writer.text.press("Control+Enter")
    expect(writer.takes).to_have_count(3)
    writer.text.press("ArrowRight")
    writer.expect_text(f"{BEGINNING} He rains")
    expect(writer.ghost).to_have_attribute("data-words", WAYS[0].removeprefix(" He"))
    writer.text.press("ArrowRight")
    writer.expect_text(f"{BEGINNING} He opened rains")
    writer.text.press("Tab")
    writer.expect_text(f"{BEGINNING}{WAYS[0]} rains")


def test_before_other_words_the_next_ones_go_on_before_the_space(writer: Writer, desk: DictatedDesk) -> None:
    writer.text.fill("The lion is hungry.")
    writer.text.press("Control+Home")
    for _ in "The ":
        writer.text.press("ArrowRight")
    writer.text.press("Control+Enter")
    writer.until_offered()
    writer.text.press("Tab")
    writer.expect_text(f"The {WAYS[0].strip()} lion is hungry.")
    following, *_ = writer.until_offered()
    writer.text.press("Tab")
    writer.expect_text(f"The {WAYS[0].strip()}{following} lion is hungry.")


def test_of_a_blank_page_and_eleven_keys_there_are_ten_taken_suggestions(writer: Writer) -> None:
    DictatedDesk(writer.page)
    writer.page.evaluate(
        "window.actions = 0; for (const name of ['keydown', 'click'])"
        "addEventListener(name, ({ key, isTrusted }) => { actions += isTrusted && key !== 'Control'; }, true)"
    )
    writer.text.press("Control+Enter")
    for _ in range(10):
        take_and_go_on(writer)
    assert writer.value.count(".") >= 10
    assert writer.page.evaluate("actions") == 11


def test_of_one_that_is_taken_in_part_three_others_go_on(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    writer.text.press("ArrowRight")
    writer.text.press("ArrowDown")
    expect(writer.ghost).not_to_have_attribute("data-words", WAYS[0].removeprefix(" He"))
    expect(writer.takes).to_have_count(3)
    writer.expect_text(f"{BEGINNING} He")
    assert desk.of("suggest")[-1]["text"].startswith(f"{BEGINNING} He")


def test_they_are_asked_for_from_a_field_and_the_keys_are_theirs(writer: Writer, desk: DictatedDesk) -> None:
    writer.page.get_by_label("Words to avoid").press("Control+Enter")
    expect(writer.text).to_be_focused()
    expect(writer.takes).to_have_count(3)
    writer.page.keyboard.press("Tab")
    writer.expect_text(BEGINNING + WAYS[0])


def test_how_much_the_model_reads_stays_in_view(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    for key in ("Escape", "!"):
        writer.text.press(key)
        expect(writer.page.locator("#count")).to_have_text("4 words; the model reads all of it")


def test_the_other_ones_and_none(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    for key, way in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowDown", 0), ("ArrowUp", 2)):
        writer.text.press(key)
        expect(writer.ghost).to_have_attribute("data-words", WAYS[way])
        expect(writer.page.get_by_role("status")).to_have_text(WAYS[way].strip())
    writer.text.press("Escape")
    expect(writer.ghost).to_have_count(0)
    expect(writer.offers).to_be_hidden()
    writer.text.press("Tab")
    expect(writer.text).not_to_be_focused()
    writer.expect_text(BEGINNING)


def test_what_serves_the_text_fades_while_one_writes_and_stays_in_reach(writer: Writer, desk: DictatedDesk) -> None:
    options, navigation = writer.page.locator("#steering"), writer.page.get_by_role("navigation")
    writer.page.keyboard.type("!")
    for faded in (options, navigation):
        expect(faded).to_have_css("opacity", "0.6")
    writer.page.mouse.move(*writer.page.evaluate("[steering.getBoundingClientRect().x + 20, 200]"))
    expect(options).to_have_css("opacity", "1")
    writer.page.keyboard.type("!")
    expect(navigation).to_have_css("opacity", "0.6")
    expect(options).to_have_css("opacity", "1")
    writer.text.press("Control+Enter")
    expect(writer.takes).to_have_count(3)
    writer.text.press("Escape")
    expect(navigation).to_have_css("opacity", "1")
    expect(writer.page.locator("#told")).to_have_text("")


@pytest.mark.parametrize("key", ["x", "Backspace", "ArrowLeft", "Home", "Enter"])
def test_any_other_key_is_an_ordinary_key(writer: Writer, desk: DictatedDesk, key: str) -> None:
    suggested(writer)
    writer.text.press(key)
    expect(writer.ghost).to_have_count(0)
    typed = {"x": f"{BEGINNING}x", "Backspace": BEGINNING[:-1], "Enter": f"{BEGINNING}\n"}.get(key, BEGINNING)
    writer.expect_text(typed)
    writer.text.press("ArrowRight")
    writer.text.press("ArrowDown")
    writer.expect_text(typed)


def test_what_stands_behind_the_caret_stays_behind_it(writer: Writer, desk: DictatedDesk) -> None:
    writer.text.fill(BEGINNING + BEHIND)
    for _ in BEHIND:
        writer.text.press("ArrowLeft")
    suggested(writer)
    assert (desk.of("suggest")[0]["text"], desk.of("suggest")[0]["rest"]) == (BEGINNING, BEHIND)
    writer.text.press("Tab")
    writer.expect_text(BEGINNING + WAYS[0] + BEHIND)
    writer.text.press("Escape")
    writer.page.keyboard.type("!")
    writer.expect_text(f"{BEGINNING}{WAYS[0]}!{BEHIND}")
    writer.expect_saved()
    taken = desk.of("take")[0]
    assert (taken["text"], taken["taken"], taken["rest"]) == (BEGINNING, WAYS[0], BEHIND)


def test_nothing_is_left_of_a_text_that_is_deleted(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    for key in ("Escape", "Control+Home", "Control+Shift+End", "Delete"):
        writer.text.press(key)
    writer.expect_text("")
    writer.page.keyboard.type("A")
    writer.expect_text("A")


def test_a_key_that_is_held_takes_one(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    writer.page.keyboard.down("Tab")
    for _ in range(3):
        expect(writer.takes).to_have_count(3)
        writer.page.keyboard.down("Tab")  # with `repeat`, as it was not released
    writer.page.keyboard.up("Tab")
    writer.expect_text(BEGINNING + WAYS[0])
    expect(writer.text).to_be_focused()


def test_inside_a_word_the_text_goes_on_behind_the_word(writer: Writer, desk: DictatedDesk) -> None:
    writer.text.fill(f"{BEGINNING}{BEHIND}")
    for _ in f"bon{BEHIND}":
        writer.text.press("ArrowLeft")
    suggested(writer)
    assert (desk.of("suggest")[0]["text"], desk.of("suggest")[0]["rest"]) == (BEGINNING, BEHIND)


def test_every_key_has_a_button(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    writer.press("Another")
    expect(writer.ghost).to_have_attribute("data-words", WAYS[1])
    writer.press("One word")
    writer.expect_text(f"{BEGINNING} The")
    expect(writer.page.get_by_role("button", name="Another")).to_be_hidden()
    writer.press("Take it")
    writer.expect_text(BEGINNING + WAYS[1])
    expect(writer.text).to_be_focused()
    writer.press("None of these")
    expect(writer.offers).to_be_hidden()
    writer.page.get_by_role("button", name="Show again").press("Enter")
    expect(writer.offers).to_be_visible()
    expect(writer.text).to_be_focused()
    writer.text.press("Escape")
    undo = writer.page.get_by_role("button", name="Undo", exact=True)
    while undo.is_enabled():
        undo.press("Enter")
    expect(writer.text).to_be_focused()


def test_a_press_beside_the_text_leaves_the_caret_in_it(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    for part in ("#redo", "#last", "#later", ".tray-head", ".page", ".paper"):  # three buttons are off
        place = writer.page.locator(part).bounding_box()
        assert place
        writer.page.mouse.click(place["x"] + place["width"] - 3, place["y"] + 3)
        expect(writer.text).to_be_focused()
    writer.text.press("Tab")
    writer.expect_text(BEGINNING + WAYS[0])


def test_nobody_is_told_that_the_next_ones_were_refused(writer: Writer, desk: DictatedDesk) -> None:
    suggested(writer)
    desk.refusals = [503, 503]
    writer.text.press("ArrowDown")
    writer.text.press("Tab")
    writer.expect_text(BEGINNING + WAYS[1])
    writer.text.press("Tab")  # too early: it takes nothing, and stays in the text
    expect(writer.page.get_by_role("alert")).to_be_hidden()
    expect(writer.takes).to_have_count(3)
    writer.expect_text(BEGINNING + WAYS[1])
    expect(writer.text).to_be_focused()


def test_a_busy_server_is_asked_again(writer: Writer, desk: DictatedDesk) -> None:
    writer.expect_saved()
    desk.refusals = [503]
    writer.text.press("Control+Enter")
    expect(writer.page.get_by_role("alert")).to_have_text(
        "Plotify is busy. Your text is saved; trying again in 2 s…", timeout=PATIENCE
    )
    expect(writer.takes).to_have_count(3, timeout=PATIENCE)
    expect(writer.page.get_by_role("alert")).to_be_hidden()


def test_they_come_by_themselves_after_a_pause_if_switched_on(writer: Writer, desk: DictatedDesk) -> None:
    writer.page.get_by_label("Suggest whenever I pause").check()
    writer.text.press("End")
    writer.page.keyboard.type(" and")
    expect(writer.takes).to_have_count(3, timeout=PATIENCE)
    assert desk.of("suggest")[0]["ahead"] == "1"


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_suggestions_are_in_view_at_the_end_of_a_long_text(
    writers: Callable[..., Writer], width: int, height: int
) -> None:
    writer = writers(viewport={"width": width, "height": height})
    writer.open()
    DictatedDesk(writer.page)
    writer.text.fill("The lighthouse keeper reads. " * 175)
    writer.text.press("Control+End")
    writer.text.press("Control+Enter")
    expect(writer.takes).to_have_count(3)
    for shown in (writer.takes.nth(0), writer.takes.nth(1), writer.takes.nth(2), writer.ghost):
        expect(shown).to_be_in_viewport(ratio=0.99)
    tray, ghost = writer.offers.bounding_box(), writer.ghost.bounding_box()
    assert tray
    assert ghost
    assert ghost["y"] + ghost["height"] <= tray["y"] or ghost["x"] + ghost["width"] <= tray["x"]


def test_cards_end_with_a_line_and_a_phones_page_stays_where_the_caret_is_in_view(
    writers: Callable[..., Writer],
) -> None:
    writer = writers(viewport={"width": 390, "height": 844})
    writer.open()
    desk = DictatedDesk(writer.page)
    ahead, below, beside = (f"{way} The lamp turns over the water, and nobody comes." * 6 for way in WAYS)
    desk.ways = (ahead, below, beside)
    for width, height in ((390, 844), (390, 500), (1280, 620)):
        writer.page.set_viewport_size({"width": width, "height": height})
        for text in (BEGINNING, "The lighthouse keeper reads. " * 175):
            writer.rest()
            writer.text.fill(text)
            writer.text.press("Control+End")
            if text == BEGINNING:
                writer.page.evaluate("scrollTo(0, 0)")
            place = writer.text.bounding_box()
            assert place
            writer.text.press("Control+Enter")
            expect(writer.takes).to_have_count(3)
            for lines in writer.page.evaluate(LINES):
                assert lines >= 2
                assert abs(lines - round(lines)) < 0.06  # one pixel is a border
            if width == 390:
                tray = writer.offers.bounding_box()
                top, bottom = writer.ghost.evaluate(FIRST_LINE)
                now = writer.text.bounding_box()
                assert tray
                assert now
                assert 0 <= top < bottom <= tray["y"]
                if text == BEGINNING:
                    assert now["y"] == place["y"]


@pytest.mark.parametrize("script", [True, False], ids=["javascript", "plain"])
def test_three_continuations_of_a_blank_page(writer: Writer) -> None:
    """Without JavaScript the three are below the text, as ever."""
    ways = writer.asked()
    assert all(way and way == way.lstrip() for way in ways)
    writer.take(0)
