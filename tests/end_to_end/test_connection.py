"""The desk on a bad connection: no word is lost, refusals are shown, and it tries again by itself."""

import json
import re
from collections.abc import Callable
from contextlib import suppress

import pytest
from playwright.sync_api import Error, Page, Route, expect

from server.settings import Settings
from tests.end_to_end.dictated import DictatedDesk
from tests.end_to_end.writer import BEGINNING, PATIENCE, Writer

WHILE_AWAY = f"{BEGINNING}. It rains."
LONG = "The ferry leaves at nine. " * 3000
"""Too long for a request that outlives its page."""

LAST = "Nobody waves."


@pytest.fixture
def script() -> bool:
    return True


def answer_once(page: Page, status: int, body: str, path: str = "", **headers: str) -> None:
    """Answer the next request to the desk, or to a path below it, in place of the server."""

    def answer(route: Route) -> None:
        route.fulfill(status=status, body=body, headers=headers)

    page.route(f"**/desk{path}", answer, times=1)


def refuse_once(page: Page, status: int, message: str, path: str = "", **headers: str) -> None:
    answer_once(page, status, json.dumps({"message": message}), path, **{"Content-Type": "application/json"} | headers)


def leave_unsaved(writer: Writer, text: str) -> None:
    """Type a text that never reaches the server, and go to another page."""
    writer.page.route("**/desk", lambda route: route.abort())
    writer.text.fill(text)
    writer.open("/about")
    writer.page.unroute("**/desk")


def expect_kept(writer: Writer, text: str) -> None:
    """Expect the text in the page, and on the shelf."""
    writer.expect_saved()
    writer.expect_text(text)
    writer.page.reload()
    writer.expect_text(text)
    assert writer.page.locator("#text").evaluate("area => area.defaultValue") == text


def expect_plots(writer: Writer, count: int) -> None:
    writer.open("/shelf")
    expect(writer.page.locator(".books > li")).to_have_count(count)


def test_words_typed_offline_are_kept_when_the_connection_is_back(writer: Writer) -> None:
    writer.page.context.set_offline(True)
    writer.text.fill(BEGINNING)
    notice = writer.page.get_by_role("alert")
    expect(notice).to_contain_text("The connection to Plotify was lost. Your text is here.", timeout=PATIENCE)
    expect(notice).to_contain_text(re.compile(r"Trying again in \d+ s…"))
    writer.text.fill(WHILE_AWAY)
    writer.page.context.set_offline(False)
    expect_kept(writer, WHILE_AWAY)
    expect(notice).to_be_hidden()
    expect_plots(writer, 1)


def test_a_text_that_cannot_be_saved_says_so_until_it_can(writer: Writer) -> None:
    DictatedDesk(writer.page)
    problem = {"problems": {"text": "The text is not kept: it is too long."}}
    writer.page.route("**/desk", lambda route: route.fulfill(status=422, json=problem))
    writer.text.fill(BEGINNING)
    saved = writer.page.locator("#saved")
    expect(saved).to_have_text("Not saved", timeout=PATIENCE)
    writer.text.press("Control+Enter")
    expect(writer.takes).to_have_count(3)
    said = writer.page.get_by_text(problem["problems"]["text"])
    expect(said).to_be_visible()
    writer.page.set_viewport_size({"width": 390, "height": 844})  # where the suggestions lie over the tools
    expect(said).to_be_in_viewport(ratio=1)
    place, tray = said.bounding_box(), writer.offers.bounding_box()
    assert place
    assert tray
    assert place["y"] + place["height"] <= tray["y"]
    writer.page.unroute("**/desk")
    writer.page.keyboard.type("!")
    expect_kept(writer, f"{BEGINNING}!")
    expect(said).to_be_hidden()


def test_without_an_event_it_tries_again_with_growing_pauses(writer: Writer) -> None:
    times = 3
    writer.page.route("**/desk", lambda route: route.abort(), times=times)
    notices: list[str] = []
    writer.page.expose_function("note", lambda notice: notices.append(notice))
    writer.page.evaluate(
        "new MutationObserver(() => note(document.getElementById('notice').textContent))"
        ".observe(document.getElementById('notice'), { childList: true })"
    )
    writer.text.fill(BEGINNING)
    expect_kept(writer, BEGINNING)
    assert len(list(filter(None, notices))) == times


@pytest.mark.parametrize("status", [429, 500, 503])
def test_the_servers_refusal_is_shown_and_the_text_sent_again_when_it_says(writer: Writer, status: int) -> None:
    refuse_once(writer.page, status, "Come back later.", **{"Retry-After": "2"})
    writer.text.fill(BEGINNING)
    said = "Plotify is busy. Your text is here; trying" if status == 503 else "Come back later. Trying"
    expect(writer.page.get_by_role("alert")).to_have_text(f"{said} again in 2 s…", timeout=PATIENCE)
    expect_kept(writer, BEGINNING)


def test_a_text_that_is_too_long_is_not_sent_again_unchanged(writer: Writer) -> None:
    refuse_once(writer.page, 413, "That is too much. Shorten it.")
    writer.text.fill(f"{BEGINNING}.")
    expect(writer.page.get_by_role("alert")).to_have_text("That is too much. Shorten it.", timeout=PATIENCE)
    writer.text.fill(BEGINNING)
    expect_kept(writer, BEGINNING)


@pytest.mark.parametrize("status", [200, 502])
def test_the_page_of_a_proxy_is_no_answer(writer: Writer, status: int) -> None:
    answer_once(writer.page, status, "<h1>Log in first</h1>", **{"Content-Type": "text/html"})
    writer.text.fill(BEGINNING)
    expect(writer.page.get_by_role("alert")).to_contain_text(f"({status}). Trying again", timeout=PATIENCE)
    expect_kept(writer, BEGINNING)


def test_silence_is_a_lost_connection(writers: Callable[..., Writer]) -> None:
    assert Settings().heartbeat < 120
    writer = writers()
    writer.page.clock.install()
    writer.open()
    writer.text.fill(BEGINNING)
    for path, key in (("", "Control+s"), ("/suggest", "Control+Enter")):
        writer.page.route(f"**/desk{path}", lambda _: None, times=1)
        with writer.page.expect_request(f"**/desk{path}"):
            writer.text.press(key)
        writer.page.clock.fast_forward(119_000)
        expect(writer.page.get_by_role("alert")).to_be_hidden()
        writer.page.clock.fast_forward(2_000)
        expect(writer.page.get_by_role("alert")).to_contain_text("connection to Plotify was lost", timeout=PATIENCE)
        writer.page.clock.fast_forward(3_000)
        expect(writer.page.get_by_role("alert")).to_be_hidden(timeout=PATIENCE)
    writer.until_offered()


def test_stop_ends_the_tries_for_continuations(writer: Writer) -> None:
    refuse_once(writer.page, 429, "You have asked often.", "/suggest", **{"Retry-After": "600"})
    writer.text.fill(BEGINNING)
    writer.page.locator("#continue").click()
    expect(writer.page.get_by_role("alert")).to_have_text("You have asked often. Trying again in 600 s…")
    writer.press("Stop")
    expect(writer.page.get_by_role("alert")).to_be_hidden()
    expect(writer.page.locator("#continue")).to_be_visible()
    expect_kept(writer, BEGINNING)


def test_suggestions_that_break_off_are_asked_for_again(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    writer.expect_saved()
    event = 'event: piece\ndata: {"index": 0, "text": " Half a"}\n\n'
    answer_once(writer.page, 200, event, "/suggest", **{"Content-Type": "text/event-stream"})
    writer.page.locator("#continue").click()
    lost = "The connection to Plotify was lost. Your text is here."
    expect(writer.page.get_by_role("alert")).to_contain_text(f"{lost} Trying again")
    expect(writer.takes).to_have_count(1)
    writer.until_offered()
    expect(writer.page.get_by_role("alert")).to_be_hidden()


def test_words_typed_while_one_is_taken_stay(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    way = writer.asked()[0]
    writer.expect_saved()
    held: list[Route] = []
    writer.page.route("**/desk", lambda route: held.append(route), times=1)
    with writer.page.expect_request("**/desk"):
        writer.takes.nth(0).click()
    writer.text.press("Control+End")
    writer.text.press_sequentially(LAST)
    writer.expect_text(BEGINNING + way + LAST)
    held[0].continue_()
    expect_kept(writer, BEGINNING + way + LAST)


def test_words_typed_while_undo_is_on_its_way_stay(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    address = writer.keep()
    writer.page = writer.page.context.new_page()  # one that knows no edits
    writer.open(address)
    held: list[Route] = []
    writer.page.route("**/desk", lambda route: held.append(route), times=1)
    with writer.page.expect_request("**/desk"):
        writer.text.press("Control+z")
    writer.text.press("Control+End")
    writer.text.press_sequentially(LAST)
    held[0].continue_()
    expect_kept(writer, BEGINNING + LAST)


def delete(writer: Writer, address: str) -> None:
    """Delete a plot in another tab."""
    other = writer.page.context.new_page()
    other.goto(f"{writer.address}{address}/about")
    other.get_by_text("Delete…").click()
    other.get_by_role("button", name="Yes, delete it").click()
    expect(other.get_by_role("main")).to_contain_text("Nothing here yet.")
    other.close()


def test_a_plot_deleted_elsewhere_is_kept_as_a_new_one(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    delete(writer, writer.keep())
    writer.text.fill(WHILE_AWAY)
    expect_kept(writer, WHILE_AWAY)
    expect_plots(writer, 1)


def test_what_is_taken_for_a_plot_that_was_deleted_is_kept_as_a_new_one(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    way = writer.asked()[0]
    delete(writer, writer.keep())
    writer.take(0)
    expect_kept(writer, BEGINNING + way)
    expect_plots(writer, 1)


def test_back_to_a_blank_page_goes_on_with_the_plot_that_it_began(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    writer.page.get_by_role("link", name="Shelf", exact=True).click()
    writer.page.wait_for_url("**/shelf")
    writer.page.go_back()
    writer.expect_text(BEGINNING)
    writer.text.press("Control+End")
    writer.text.press_sequentially(LAST)
    expect_kept(writer, BEGINNING + LAST)
    expect_plots(writer, 1)


def test_a_new_page_in_place_of_a_blank_one_begins_another_plot(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    writer.page.get_by_role("link", name="New plot", exact=True).click()
    writer.expect_text("")
    writer.text.fill(LAST)
    expect_kept(writer, LAST)
    expect_plots(writer, 2)


@pytest.mark.parametrize("text", [BEGINNING, LONG], ids=["short", "long"])
def test_who_leaves_at_once_finds_the_last_words(writer: Writer, text: str) -> None:
    writer.text.fill(text)
    address = writer.keep()
    writer.text.press("Control+End")
    writer.text.press_sequentially(LAST)
    writer.open("/about")
    writer.open(address)
    writer.expect_text(text + LAST)
    expect_kept(writer, text + LAST)


def test_typing_without_a_pause_is_saved_too(writers: Callable[..., Writer]) -> None:
    writer = writers()
    writer.page.clock.install()
    writer.open()
    with writer.page.expect_request("**/desk"):
        for letter in "It rain":
            writer.text.press(letter)
            writer.page.clock.fast_forward(300)


def test_the_next_page_knows_the_last_words(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    writer.keep()
    writer.text.press("End")
    writer.page.keyboard.type(LAST)
    writer.see_all()
    expect(writer.page.get_by_role("main")).to_contain_text(LAST.strip())


def test_words_survive_a_page_that_crashes(writer: Writer) -> None:
    """A phone may end a page in the background without telling it."""
    writer.text.fill(BEGINNING)
    address = writer.keep()
    crashing = writer.page
    crashing.route("**/desk", lambda route: None)
    writer.text.press("End")
    crashing.keyboard.type(LAST)
    writer.expect_text(BEGINNING + LAST)
    writer.page = crashing.context.new_page()
    with crashing.expect_event("crash"), suppress(Error):
        crashing.goto("chrome://crash")
    writer.open(address)
    writer.expect_text(BEGINNING + LAST)
    expect_kept(writer, BEGINNING + LAST)


def test_back_finds_the_words_of_a_blank_page(writer: Writer) -> None:
    leave_unsaved(writer, LONG)
    writer.page.go_back()
    writer.expect_text(LONG)
    expect_kept(writer, LONG)
    expect_plots(writer, 1)


def test_words_that_were_never_saved_are_offered_elsewhere(writer: Writer) -> None:
    leave_unsaved(writer, LONG + LAST)
    writer.open("/")
    writer.expect_text("")
    offer = writer.page.locator("#found")
    expect(offer).to_contain_text(LAST)
    writer.press("Bring them back")
    writer.page.wait_for_url("**/shelf/*", timeout=PATIENCE)
    expect_kept(writer, LONG + LAST)
    expect(offer).to_be_hidden()
    writer.open("/")
    expect(offer).to_be_hidden()


def test_words_that_were_never_saved_can_be_discarded(writer: Writer) -> None:
    for number in range(2):
        writer.open("/")
        leave_unsaved(writer, f"{LONG}{number}")
    writer.open("/")
    offer = writer.page.locator("#found")
    for _ in range(2):
        expect(offer).to_be_visible()
        writer.press("Discard them")
    expect(offer).to_be_hidden()
    writer.page.reload()
    expect(offer).to_be_hidden()
    expect_plots(writer, 0)


def test_unsaved_words_do_not_replace_newer_ones(writer: Writer) -> None:
    writer.text.fill(LONG)
    address = writer.keep()
    leave_unsaved(writer, LONG + LAST)
    token = writer.page.request.get(writer.address + address).text().partition('name="token" value="')[2][:64]
    form: dict[str, str | float | bool] = {
        "token": token,
        "plot": address.removeprefix("/shelf/"),
        "do": "keep",
        "text": BEGINNING,
    }
    assert writer.page.request.post(f"{writer.address}/desk", form=form).ok
    writer.open(address)
    writer.expect_text(BEGINNING)
    writer.press("Bring them back")
    writer.expect_text(LONG + LAST)
    writer.press("Undo")
    writer.expect_text(BEGINNING)
    expect_plots(writer, 1)


def test_a_browser_that_keeps_nothing_still_writes(writers: Callable[..., Writer]) -> None:
    writer = writers()
    writer.page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
    )
    writer.open()
    writer.text.fill(BEGINNING)
    expect_kept(writer, BEGINNING)
    assert not writer.faults


@pytest.mark.parametrize("begun", [True, False], ids=["plot", "blank page"])
@pytest.mark.parametrize("more", ["", " Nobody sees it."], ids=["all", "in part"])
def test_words_saved_while_the_page_is_loaded_again_are_shown(writer: Writer, begun: bool, more: str) -> None:
    """The server writes the new page before it has the words, and the old page is told that it has them."""
    page, text = writer.page, f"{BEGINNING} waits."
    if begun:
        writer.text.fill(BEGINNING)
        writer.keep()
    # Until the new page is there, Playwright answers nothing about the old one.
    states: list[str] = []
    page.expose_function("note", lambda state: states.append(state))
    page.evaluate(
        "new MutationObserver(() => note(document.getElementById('saved').textContent))"
        ".observe(document.getElementById('saved'), { childList: true })"
    )
    saves: list[Route] = []
    loads: list[Route] = []
    page.route("**/desk", lambda route: saves.append(route))
    page.route(page.url, lambda route: loads.append(route), times=1)
    writer.text.fill(text)
    with page.expect_request("**/desk"):
        page.keyboard.press("Control+s")
    writer.text.press("End")
    page.keyboard.type(more)
    page.evaluate("() => location.reload()")
    while not loads:
        page.wait_for_timeout(10)
    older = loads[0].fetch()
    states.clear()
    saves[0].continue_()
    while "Saved" not in states and not saves[1:]:
        page.wait_for_timeout(10)
    loads[0].fulfill(response=older)
    page.wait_for_event("load")
    page.unroute("**/desk")
    expect_kept(writer, text + more)
    expect_plots(writer, 1)
