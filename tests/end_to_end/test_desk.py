"""The desk in a real browser, with and without JavaScript: offers, taking one, undo and redo."""

import re

import pytest
from playwright.sync_api import expect

from tests.end_to_end.writer import BEGINNING, PATIENCE, Writer
from tests.server.live import LiveServer, fill_up, wait_until_idle

MARKUP = "<script>document.title = 'taken'</script></textarea><b>&amp;"


@pytest.mark.usefixtures("slow_shelf_live")
def test_three_ways_on_grow_side_by_side(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    writer.ask()
    lengths: list[set[int]] = [set(), set(), set()]
    done = "document.querySelector('#tray[aria-busy=false], [slot=take-0]')"
    while not writer.page.evaluate(f"Boolean({done})"):
        for seen, way in zip(lengths, writer.ways(), strict=True):
            seen.add(len(way))
    # In the tray, the other two are chosen when all are complete.
    assert all(len(seen) > 3 for seen in (lengths[:1] if writer.script else lengths))
    ways = writer.until_offered()
    assert len(set(ways)) == 3
    boxes = [box for index in range(3) if (box := writer.takes.nth(index).bounding_box())]
    if writer.script:  # the tray beside the text
        assert boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]
    else:
        assert boxes[0]["x"] < boxes[1]["x"] < boxes[2]["x"]
    assert not writer.faults


def test_one_is_taken_by_a_click(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    ways = writer.asked()
    writer.takes.nth(1).click()
    writer.expect_text(BEGINNING + ways[1])
    writer.expect_saved()
    assert not writer.faults


def test_save_says_that_it_did(writer: Writer) -> None:
    said = writer.page.get_by_text("Your text was saved when you pressed Save.")
    writer.text.fill(BEGINNING)
    expect(said).to_be_hidden()
    writer.keep()
    expect(said).to_be_visible(visible=not writer.script)


def test_one_is_taken_by_a_key(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    for number in (1, 2, 3):
        before = writer.value
        way = writer.asked(str(number))[number - 1]
        if writer.script:
            for _ in range(number - 1):
                writer.text.press("ArrowDown")
            writer.text.press("Tab")
        else:
            writer.takes.nth(number - 1).focus()
            writer.page.keyboard.press("Enter")
        writer.expect_text(before + way)


def test_it_goes_on_from_what_was_taken(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    writer.asked()
    writer.take(0)
    second = writer.asked("8")
    assert len(set(second)) == 3
    writer.take(2)
    whole = writer.value
    writer.page.reload()
    writer.expect_text(whole)


@pytest.mark.usefixtures("slow_shelf_live")
def test_what_is_written_can_be_stopped_and_taken(writer: Writer, shelf_live: LiveServer) -> None:
    writer.text.fill(BEGINNING)
    writer.ask()
    begun = 1 if writer.script else 3  # in the tray, the other two are chosen when all are complete
    while not all(writer.ways()[:begun]):
        pass
    writer.press("Stop")
    expect(writer.takes).to_have_count(begun)
    wait_until_idle(shelf_live.engine)
    way = writer.ways()[begun - 1]
    writer.take(begun - 1)
    writer.expect_text(BEGINNING + way)


def test_undo_goes_back_to_the_blank_page_and_redo_forward_again(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    texts = ["", BEGINNING]
    for seed in ("1", "2"):
        writer.asked(seed)
        writer.take(0)
        texts.append(writer.value)
    for text in texts[-2::-1]:
        writer.press("Undo")
        writer.expect_text(text)
    expect(writer.page.get_by_role("button", name="Undo")).to_be_disabled()
    for text in texts[1:]:
        writer.press("Redo")
        writer.expect_text(text)
    expect(writer.page.get_by_role("button", name="Redo")).to_be_disabled()


def test_what_is_edited_in_between_is_a_passage_beside_the_other(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    writer.asked()
    writer.take(0)
    taken = writer.value
    writer.rest()
    edited = taken.replace("Lisbon", "Łódź")
    writer.text.fill(edited)
    writer.asked("2")
    writer.expect_text(edited)
    writer.take(1)
    longer = writer.value
    writer.press("Undo")
    writer.expect_text(edited)
    writer.press("Undo")
    writer.expect_text(taken)
    for text in (edited, longer):
        writer.press("Redo")
        writer.expect_text(text)
    writer.see_all()
    tree = writer.page.locator("#tree")
    tree.locator("details").evaluate_all("folds => folds.forEach(fold => { fold.open = true; })")
    tree.get_by_role("button", name=BEGINNING, exact=True).click()
    writer.expect_text(BEGINNING)
    for button, text in (("Undo", longer), ("Redo", BEGINNING), ("Redo", taken)):
        writer.press(button)
        writer.expect_text(text)


def test_one_is_taken_after_the_text_was_edited(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    way = writer.asked()[2]
    writer.text.fill("A baker in Porto")
    if writer.script:  # the text is kept after a while, and the offers stay where they belong
        expect(writer.page.locator("#saved")).to_have_text("Saving…")
        writer.expect_saved()
        writer.press("Undo")
        writer.press("Show again")
    writer.takes.nth(2).click()
    writer.expect_text((BEGINNING if writer.script else "A baker in Porto") + way)


@pytest.mark.parametrize("genre", ["Any", "Horror"])
def test_a_first_line_comes_from_nothing(writer: Writer, genre: str) -> None:
    writer.page.get_by_label("Genre").select_option(genre)
    expect(writer.page.get_by_role("button", name="Three opening lines")).to_be_visible()
    ways = writer.asked()
    assert all(way and way == way.lstrip() for way in ways)
    writer.take(0)
    writer.expect_text(ways[0])
    writer.rest()
    expect(writer.page.get_by_label("Genre")).to_have_value("any" if genre == "Any" else genre)
    expect(writer.page.get_by_role("button", name="Three continuations")).to_be_visible()


def test_genre_dial_and_length_steer_it(writer: Writer) -> None:
    """With the same seed, each of them changes the texts, and the same settings give the same texts."""
    writer.text.fill(BEGINNING)
    page = writer.page
    plain = writer.asked()
    writer.rest()
    page.get_by_label("Genre").select_option("Horror")
    page.get_by_role("radio", name="wild").check()
    wild = writer.asked()
    assert not set(plain) & set(wild)
    writer.rest()
    page.get_by_role("radio", name="safe").check()
    assert not set(writer.asked()) & set(wild)
    writer.rest()
    page.get_by_role("radio", name="even").check()
    page.get_by_label("Genre").select_option("Any")
    assert writer.asked() == plain
    writer.ask(length="A few lines")
    longer = writer.until_offered()
    assert sum(map(len, longer)) > sum(map(len, plain))


def test_words_to_avoid_do_not_appear(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    ways = writer.asked()
    # A model without training puts long words together from other pieces.
    found = sorted(set(re.findall(r"\b[a-z]{3,}\b", " ".join(ways))), key=lambda word: (len(word), word))[:2]
    assert found
    writer.rest()
    writer.page.get_by_label("Words to avoid").fill(", ".join(found))
    others = " ".join(writer.asked())
    assert others.strip()
    assert not [word for word in found if re.search(rf"\b{word}\b", others)]
    expect(writer.page.get_by_label("Words to avoid")).to_have_value(", ".join(found))


def test_a_mistake_is_said_at_its_field(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    writer.page.get_by_text("Advanced").click()
    seed = writer.page.get_by_label("Seed")
    seed.fill("x")
    writer.page.locator("#continue").click()
    expect(seed).to_have_attribute("aria-invalid", "true")
    expect(seed).to_have_accessible_description(re.compile("A seed is a whole number"))
    expect(seed).to_be_visible()
    if writer.script:
        expect(seed).to_be_focused()
    writer.expect_text(BEGINNING)
    seed.fill("7")
    writer.page.locator("#continue").click(no_wait_after=True)
    writer.until_offered()
    expect(seed).not_to_have_attribute("aria-invalid", "true")


@pytest.mark.usefixtures("slow_shelf_live")
def test_where_too_many_write_the_text_is_kept_and_that_is_said(writer: Writer, shelf_live: LiveServer) -> None:
    engine = shelf_live.engine
    others = fill_up(engine)
    writer.text.fill(BEGINNING)
    writer.page.locator("#continue").click()
    notice = writer.page.get_by_role("alert")
    told = "Plotify is busy" if writer.script else "Your text is kept"
    expect(notice).to_contain_text(re.compile(rf"{told}\..*again in"))  # at once: the script soon tries again
    writer.expect_text(BEGINNING)
    for other in others:
        other.cancel()
    wait_until_idle(engine)
    writer.page.locator("#continue").click(no_wait_after=True)
    writer.until_offered()
    expect(notice).to_be_hidden()
    writer.open("/shelf")
    expect(writer.page.get_by_role("heading", name=BEGINNING)).to_have_count(1)


def test_nothing_typed_is_markup(writer: Writer) -> None:
    writer.text.fill(MARKUP)
    writer.page.get_by_label("Words to avoid").fill('"><script>')
    writer.asked()
    writer.expect_text(MARKUP)
    writer.take(0)
    assert writer.value.startswith(MARKUP)
    expect(writer.page.locator("main script, main b")).to_have_count(0)
    assert not writer.page.title().startswith("taken")
    assert not writer.faults


@pytest.mark.usefixtures("slow_shelf_live")
def test_who_leaves_finds_what_was_offered_by_then(writer: Writer, shelf_live: LiveServer) -> None:
    writer.text.fill(BEGINNING)
    writer.ask()
    while not all(writer.ways()):
        pass
    writer.page.goto("about:blank")
    wait_until_idle(shelf_live.engine)
    writer.open("/shelf")
    writer.page.get_by_role("link", name=BEGINNING, exact=True).click()
    writer.expect_text(BEGINNING)
    assert all(writer.until_offered())


def test_the_keyboard_is_enough(writer: Writer) -> None:
    """From an empty page to a continued text, with typing, Tab and Enter only."""
    keyboard = writer.page.keyboard
    expect(writer.text).to_be_focused()
    keyboard.type(BEGINNING)
    if writer.script:
        keyboard.press("Control+Enter")
        ways = writer.until_offered()
        keyboard.press("Tab")
        writer.expect_text(BEGINNING + ways[0])
        return
    keyboard.press("Tab")
    keyboard.press("Enter")
    ways = writer.until_offered()
    expect(writer.page.get_by_role("button", name="Stop")).to_be_hidden(timeout=PATIENCE)
    writer.text.focus()
    for _ in range(9):
        if writer.takes.first.evaluate("button => button === document.activeElement"):
            break
        keyboard.press("Tab")
    expect(writer.takes.first).to_be_focused()
    keyboard.press("Enter")
    writer.expect_text(BEGINNING + ways[0])
