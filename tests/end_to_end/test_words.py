"""Other words for a word of the model, and other ways to say a selection, in a real browser."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from tests.end_to_end.dictated import LIKELY, REWRITTEN, WAYS, DictatedDesk, suggested
from tests.end_to_end.writer import BEGINNING, PATIENCE, Writer

TO_LAMP = len(" He opened it under the l")
AT_END = """() => {
    const sheet = document.getElementById("sheet"), before = getSelection().getRangeAt(0).cloneRange();
    before.setStart(sheet, 0);
    return String(before) === sheet.textContent;
}"""
"""True if the caret is at the end."""

MARKED = "[...CSS.highlights.get('model')].map(String)"
"""Returns the words in the model's colour."""


@pytest.fixture
def script() -> bool:
    return True


@pytest.fixture
def desk(writer: Writer, desk: DictatedDesk) -> DictatedDesk:
    """The desk of `writer`, with a text that ends with the model's words."""
    suggested(writer)
    writer.text.press("Tab")
    writer.text.press("Escape")
    writer.expect_text(BEGINNING + WAYS[0])
    return desk


def at_lamp(writer: Writer) -> None:
    """Move the caret into the word “lamp”."""
    for _ in range(len(WAYS[0]) - TO_LAMP):
        writer.text.press("ArrowLeft")


def place_of(writer: Writer, at: int) -> tuple[float, float]:
    """Return the place in the window of a character of the text."""
    x, y = writer.page.evaluate(
        """at => {
            const range = document.createRange(), text = document.getElementById("sheet").firstChild;
            range.setStart(text, at);
            range.setEnd(text, at + 1);
            const { x, y, width, height } = range.getBoundingClientRect();
            return [x + width / 2, y + height / 2];
        }""",
        at,
    )
    return x, y


def test_the_likeliest_other_words_are_shown_and_one_goes_on_from_there(writer: Writer, desk: DictatedDesk) -> None:
    at_lamp(writer)
    writer.text.press("Alt+ArrowDown")
    others = writer.page.get_by_role("group", name="Other words")
    expect(others.get_by_role("button")).to_have_text(["lantern31%", "moon22%", "lamp11%", "rain< 1%"])
    widths = [bar["width"] for bar in (each.bounding_box() for each in others.locator(".bar").all()) if bar]
    assert widths == sorted(widths, reverse=True)
    assert writer.page.evaluate("[...CSS.highlights.get('meant')].map(String)") == ["lamp"]
    before = f"{BEGINNING} He opened it under the "
    assert (desk.of("words")[0]["text"], desk.of("words")[0]["selected"]) == (before, "lamp")
    writer.page.keyboard.press("ArrowDown")
    writer.page.keyboard.press("Enter")
    writer.expect_text(f"{before}moon")
    expect(writer.text).to_be_focused()
    expect(writer.takes).to_have_count(3)
    writer.expect_saved()
    assert desk.of("take")[-1]["taken"] == "moon"
    expect(
        writer.page.get_by_text("The text that came after is kept: “Share, export, tree…” shows it.")
    ).to_be_in_viewport()
    assert writer.page.evaluate("CSS.highlights.has('meant')") is False
    writer.press("Undo that")
    writer.expect_text(BEGINNING + WAYS[0])
    expect(writer.page.get_by_role("button", name="Undo that")).to_be_hidden()


def test_another_word_leaves_the_writers_own_words_behind_it(writer: Writer, desk: DictatedDesk) -> None:
    writer.text.press("End")
    writer.page.keyboard.type(" So he burns it.")
    for _ in " So he burns it.":
        writer.text.press("ArrowLeft")
    at_lamp(writer)
    writer.text.press("Alt+ArrowDown")
    others = writer.page.get_by_role("group", name="Other words")
    expect(others).to_be_visible()
    writer.page.keyboard.press("ArrowDown")
    writer.page.keyboard.press("Enter")
    writer.expect_text(f"{BEGINNING}{WAYS[0]} So he burns it.".replace("lamp", "moon"))
    expect(writer.page.get_by_role("button", name="Undo that")).to_be_hidden()
    writer.page.keyboard.type("!")
    writer.expect_text(f"{BEGINNING}{WAYS[0]} So he burns it.".replace("lamp", "moon!"))


def test_a_click_on_a_word_of_the_model_shows_them(writer: Writer, desk: DictatedDesk) -> None:
    others = writer.page.get_by_role("group", name="Other words")
    writer.page.mouse.click(*place_of(writer, len(BEGINNING) + TO_LAMP))
    expect(others).to_be_visible(timeout=PATIENCE)
    writer.text.press("ArrowRight")
    expect(others).to_be_hidden()
    writer.text.press("Control+Home")
    writer.page.mouse.click(*place_of(writer, 0))  # a word of the writer's own
    writer.text.press("Alt+ArrowDown")
    expect(others.get_by_role("button")).to_have_count(len(LIKELY))
    assert [asked["selected"] for asked in desk.of("words")] == ["lamp", BEGINNING.split()[0]]
    writer.expect_text(BEGINNING + WAYS[0])


def test_a_selection_is_said_in_another_way(writer: Writer, desk: DictatedDesk) -> None:
    undo = writer.page.get_by_role("button", name="Undo", exact=True)
    place = undo.bounding_box()
    writer.text.press("Control+Home")
    writer.text.press("Control+Shift+ArrowRight")
    writer.text.press("Control+Shift+ArrowRight")
    expect(writer.page.get_by_role("button", name="Other versions")).to_be_visible()
    assert undo.bounding_box() == place
    selected = writer.page.evaluate("String(getSelection())")
    writer.press("Other versions")
    others = writer.page.get_by_role("group", name="Other versions")
    expect(others.get_by_role("button")).to_have_text(list(REWRITTEN))
    asked = desk.of("rewrite")[0]
    assert (asked["text"], asked["selected"]) == ("", selected)
    writer.page.keyboard.press("ArrowDown")
    writer.page.keyboard.press("Enter")
    writer.expect_text((BEGINNING + WAYS[0]).replace(selected, REWRITTEN[1], 1))
    expect(writer.text).to_be_focused()
    writer.text.press("Control+z")
    writer.expect_text(BEGINNING + WAYS[0])
    assert not writer.faults


def test_the_lists_stay_on_a_phone_wherever_the_words_are(writers: Callable[..., Writer]) -> None:
    writer = writers(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    DictatedDesk(writer.page)
    writer.open("/")
    writer.text.fill("A judge and a keeper of the light meet. He says so.")
    for name, keys in (("Other words", ""), ("Other versions", "Control+Shift+ArrowLeft")):
        writer.text.press("Control+Home")
        writer.text.press("End")  # of the first line, at the right
        if keys:
            writer.text.press(keys)
        writer.text.press("Alt+ArrowDown")
        place = writer.page.get_by_role("group", name=name).bounding_box()
        assert place
        assert 0 < place["x"] < place["x"] + place["width"] < 390
        assert writer.page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
        writer.page.keyboard.press("Escape")


def test_control_enter_is_for_what_is_selected(writer: Writer, desk: DictatedDesk) -> None:
    writer.text.press("Control+Shift+ArrowLeft")
    writer.text.press("Control+Enter")
    others = writer.page.get_by_role("group", name="Other versions")
    expect(others.get_by_role("button")).to_have_text(list(REWRITTEN))
    expect(writer.offers).to_be_hidden()
    for key in ("Escape", "ArrowRight", "Control+Enter"):
        writer.page.keyboard.press(key)
    expect(writer.takes).to_have_count(3)
    expect(others).to_be_hidden()


def test_too_long_a_selection_says_so(writer: Writer) -> None:
    writer.text.fill("A fox. " * 101)
    writer.text.press("Control+a")
    writer.text.press("Alt+ArrowDown")
    expect(writer.page.get_by_role("alert")).to_have_text("Select from 1 to 100 words; you have selected 202.")


def test_a_part_of_a_word_stands_for_all_of_it(writer: Writer, desk: DictatedDesk) -> None:
    writer.text.press("Control+Home")
    for _ in BEGINNING[:5]:
        writer.text.press("Shift+ArrowRight")
    writer.text.press("Alt+ArrowDown")
    expect(writer.page.get_by_role("group", name="Other versions")).to_be_visible()
    assert desk.of("rewrite")[0]["selected"] == "A detective"
    writer.page.keyboard.press("Enter")
    writer.expect_text((BEGINNING + WAYS[0]).replace("A detective", REWRITTEN[0]))


def test_ones_own_words_stay_with_escape(writer: Writer, desk: DictatedDesk) -> None:
    writer.text.press("Control+a")
    writer.text.press("Alt+ArrowDown")
    others = writer.page.get_by_role("group", name="Other versions")
    expect(others).to_be_visible()
    writer.page.keyboard.press("Escape")
    expect(others).to_be_hidden()
    expect(writer.text).to_be_focused()
    writer.expect_text(BEGINNING + WAYS[0])


def test_the_list_leaves_the_word_in_view(writer: Writer, desk: DictatedDesk) -> None:
    """Also in the middle of the window."""
    for lines in (0, 6, 12):
        text = "\n" * lines + "He sleeps."
        writer.text.fill(text)
        writer.text.press("Control+Home")
        for _ in range(lines + 1):
            writer.text.press("ArrowRight")
        writer.page.evaluate("document.querySelector('#likely').content.firstElementChild.style.paddingBlock = '40px'")
        writer.text.press("Alt+ArrowDown")
        place = writer.page.get_by_role("group", name="Other words").bounding_box()
        _, y = place_of(writer, lines)
        assert place
        assert place["y"] >= 0
        assert place["y"] + place["height"] <= writer.page.evaluate("innerHeight")
        assert not place["y"] - 8 < y < place["y"] + place["height"] + 8
        writer.page.keyboard.press("Escape")


def test_a_click_beside_the_text_only_moves_the_caret(writer: Writer, desk: DictatedDesk) -> None:
    others = writer.page.get_by_role("group", name="Other words")
    writer.text.press("Backspace")  # the text ends with a word of the model now
    text = (BEGINNING + WAYS[0])[:-1]
    writer.expect_text(text)
    x, y = place_of(writer, len(text) - 1)
    for beside in ((x, y + 100), (x + 100, y)):
        writer.text.press("Control+Home")
        writer.page.mouse.click(*beside)
        writer.page.wait_for_function(AT_END)
        expect(others).to_be_hidden()
    assert not desk.of("words")
    writer.page.mouse.click(x, y)
    expect(others).to_be_visible()


def test_words_that_were_deleted_and_come_back_are_the_models_still(writer: Writer, desk: DictatedDesk) -> None:
    writer.expect_saved()
    writer.text.press("Control+a")
    writer.text.press("Delete")
    writer.expect_text("")
    writer.expect_saved()
    writer.text.press("Control+z")
    writer.expect_text(BEGINNING + WAYS[0])
    writer.expect_saved()
    writer.page.evaluate("sessionStorage.clear(); localStorage.clear()")
    writer.page.reload()
    writer.expect_text(BEGINNING + WAYS[0])
    assert writer.page.evaluate(MARKED) == [WAYS[0]]


def test_a_letter_that_is_typed_in_the_list_goes_into_the_text(writer: Writer, desk: DictatedDesk) -> None:
    at_lamp(writer)
    writer.text.press("Alt+ArrowDown")
    others = writer.page.get_by_role("group", name="Other words")
    expect(others.get_by_role("button").first).to_be_focused()
    writer.page.keyboard.type("c or c")
    expect(others).to_be_hidden()
    writer.expect_text(f"{BEGINNING}{WAYS[0][:TO_LAMP]}c or c{WAYS[0][TO_LAMP:]}")


def test_words_that_are_taken_while_others_are_on_their_way_are_the_models_too(
    writer: Writer, desk: DictatedDesk
) -> None:
    writer.expect_saved()
    held: list[Route] = []
    writer.page.route("**/desk", lambda route: held.append(route), times=1)
    writer.text.press("Control+Enter")
    expect(writer.takes).to_have_count(3)
    words = (writer.ghost.get_attribute("data-words") or "").split()
    with writer.page.expect_request("**/desk"):
        writer.text.press("ArrowRight")
    writer.text.press("ArrowRight")
    held[0].continue_()
    writer.expect_saved()
    assert [asked["taken"] for asked in desk.of("take")[-2:]] == [f" {word}" for word in words[:2]]
    writer.page.reload()
    writer.expect_text(f"{BEGINNING}{WAYS[0]} {words[0]} {words[1]}")
    assert writer.page.evaluate(MARKED) == [f"{WAYS[0]} {words[0]} {words[1]}"]


def test_words_that_are_taken_one_by_one_and_redone_stay_the_models(writer: Writer, desk: DictatedDesk) -> None:
    whole = f"{BEGINNING}{WAYS[0]}"
    writer.text.press("Control+Enter")
    expect(writer.takes).to_have_count(3)
    words = [f" {word}" for word in (writer.ghost.get_attribute("data-words") or "").split()[:3]]
    for _ in words:
        writer.text.press("ArrowRight")
        writer.expect_saved()
    for key, texts in (("z", (words[:2], words[:1], [])), ("Shift+z", (words[:1], words[:2], words))):
        for text in texts:
            writer.text.press(f"Control+{key}")
            writer.expect_text(whole + "".join(text))
            writer.expect_saved()
    writer.page.keyboard.type(" hard")
    writer.expect_saved()
    for _ in range(2):
        assert writer.page.evaluate(MARKED) == [WAYS[0] + "".join(words)]
        writer.page.reload()
        writer.expect_text(f"{whole}{''.join(words)} hard")


def test_words_that_are_taken_and_undone_at_once_are_the_models_in_the_tree(writer: Writer, desk: DictatedDesk) -> None:
    writer.expect_saved()
    writer.text.press("Control+Enter")
    expect(writer.takes).to_have_count(3)
    for key in (*["ArrowRight"] * 3, *["Control+z"] * 3, *["Control+Shift+z"] * 2):
        writer.text.press(key)
    writer.expect_saved()
    writer.see_all()
    expect(writer.page.locator(".words .model")).to_have_count(4, timeout=PATIENCE)
    expect(writer.page.locator(".words:not(:has(.model))")).to_have_text(["The blank page", BEGINNING])


def test_words_that_are_taken_as_the_page_is_left_are_the_models_in_the_tree(
    writer: Writer, desk: DictatedDesk
) -> None:
    writer.expect_saved()
    writer.text.press("Control+Enter")
    expect(writer.takes).to_have_count(3)
    words = (writer.ghost.get_attribute("data-words") or "").split()[:2]
    plot = writer.page.url
    for _ in words:
        writer.text.press("ArrowRight")
    writer.open("/about")
    writer.page.goto(plot)
    writer.expect_text(f"{BEGINNING}{WAYS[0]} {' '.join(words)}")
    writer.page.goto(f"{plot}/about")
    expect(writer.page.locator(".here > .passage > .words > .model")).to_be_visible()
    expect(writer.page.locator(".words:not(:has(.model))")).to_have_text(["The blank page", BEGINNING])


def test_behind_a_word_and_its_full_stop_there_are_others_for_it(writer: Writer, desk: DictatedDesk) -> None:
    writer.text.press("Control+End")
    writer.text.press("Alt+ArrowDown")
    expect(writer.page.get_by_role("button", name="moon")).to_be_visible()
    assert desk.of("words")[-1]["selected"] == "name"


def test_the_words_of_the_model_stay_marked_if_the_page_is_left_before_the_next_save(
    writer: Writer, desk: DictatedDesk
) -> None:
    writer.expect_saved()
    writer.page.route("**/desk", lambda route: route.abort())
    writer.text.press("Control+End")
    writer.text.press_sequentially(" She fell.")
    writer.page.reload()
    writer.expect_text(f"{BEGINNING}{WAYS[0]} She fell.")
    assert writer.page.evaluate(MARKED) == [WAYS[0]]


def test_the_words_of_the_model_are_marked_without_markup(writer: Writer, desk: DictatedDesk) -> None:
    assert writer.page.evaluate(MARKED) == [WAYS[0]]
    at_lamp(writer)
    writer.page.keyboard.type("XX")
    head, tail = WAYS[0][:TO_LAMP], WAYS[0][TO_LAMP:]
    writer.expect_text(f"{BEGINNING}{head}XX{tail}")
    assert writer.page.evaluate(MARKED) == [head, tail]
    writer.expect_saved()
    writer.page.get_by_label("Show which words the model wrote").uncheck()
    assert writer.page.evaluate(MARKED) == []
