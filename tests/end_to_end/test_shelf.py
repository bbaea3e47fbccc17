"""The shelf in a real browser, with and without JavaScript: find, browse, share and download plots."""

import re
import time
import zipfile
from collections.abc import Callable

import pytest
from playwright.sync_api import FilePayload, expect

from server.desk.shelf_routes import PAGE
from tests.end_to_end.writer import BEGINNING, Writer

MARKUP = "<script>document.title = 'taken'</script><b>&amp;"


def begin(writer: Writer, text: str) -> str:
    """Keep a new plot with this text, and return its address."""
    writer.open()
    writer.text.fill(text)
    return writer.keep()


def deed(writer: Writer, name: str) -> None:
    writer.page.get_by_role("button", name=name, exact=True).click()


def test_an_empty_shelf_says_how_it_fills(writer: Writer) -> None:
    writer.page.get_by_role("link", name="Shelf", exact=True).click()
    expect(writer.page.get_by_role("main")).to_contain_text("Nothing here yet.")
    writer.page.get_by_role("main").get_by_role("link", name="the desk").click()
    expect(writer.text).to_be_visible()


def test_plots_are_listed_and_found(writer: Writer) -> None:
    begin(writer, "A lighthouse keeper finds a letter.")
    begin(writer, "The miner follows a stranger.")
    writer.page.get_by_role("link", name="Shelf", exact=True).click()
    plots = writer.page.get_by_role("listitem")
    expect(plots).to_have_count(2)
    expect(plots.first).to_contain_text("The miner")
    search = writer.page.get_by_role("searchbox")
    search.fill("LETTER")
    search.press("Enter")
    expect(plots).to_have_count(1)
    expect(writer.page.get_by_role("main")).to_contain_text("1 plot with “LETTER”.")
    search.fill("submarine")
    search.press("Enter")
    expect(writer.page.get_by_role("main")).to_contain_text("None of your plots has “submarine” in it.")
    writer.page.get_by_role("link", name="See all").click()
    writer.page.get_by_role("link", name="A lighthouse keeper finds a letter.", exact=True).click()
    writer.expect_text("A lighthouse keeper finds a letter.")


def test_more_plots_than_a_page_shows_are_on_the_next(writer: Writer) -> None:
    for number in range(PAGE + 1):
        answer = writer.page.request.post(
            f"{writer.address}/desk",
            form={
                "do": "keep",
                "text": f"Plot number {number}",
                "token": writer.page.locator("[name=token]").input_value(),
            },
            max_redirects=0,
        )
        assert answer.status == 303
    writer.open("/shelf?q=Plot")
    plots = writer.page.get_by_role("listitem")
    expect(plots).to_have_count(PAGE)
    writer.page.get_by_role("link", name="Next page").click()
    expect(plots).to_have_count(1)
    expect(plots).to_contain_text("Plot number 0")
    writer.page.get_by_role("link", name="Previous page").click()
    expect(plots).to_have_count(PAGE)
    writer.page.get_by_role("link", name="Newest").click()
    expect(writer.page.get_by_role("link", name="Newest")).to_have_attribute("aria-current", "true")
    expect(plots.first).to_contain_text(f"Plot number {PAGE}")


def test_a_plot_is_renamed(writer: Writer) -> None:
    address = begin(writer, BEGINNING)
    writer.open(f"{address}/about")
    writer.page.get_by_label("Title").fill("The clock of ice")
    deed(writer, "Rename")
    expect(writer.page.get_by_role("heading", level=1)).to_have_text("The clock of ice")
    expect(writer.page.get_by_text("Renamed.")).to_be_focused()
    writer.open(f"{address}/about")
    expect(writer.page.get_by_text("Renamed.")).to_be_hidden()
    writer.open("/shelf")
    expect(writer.page.get_by_role("link", name="The clock of ice", exact=True)).to_be_visible()


def test_the_tree_of_what_was_tried_is_walked_and_branched(writer: Writer) -> None:
    writer.text.fill(BEGINNING)
    found = writer.asked("8")
    ways = [" ".join(way.split()) for way in found]
    writer.take(0)
    writer.expect_saved()
    writer.see_all()
    tree = writer.page.locator("#tree")
    here = tree.locator("[aria-current=step] > .passage")
    expect(here).to_contain_text(ways[0][:100])
    expect(here).to_contain_text("You are here")
    writer.page.get_by_role("link", name="Back to the desk").click()
    writer.press("Undo")
    writer.expect_text(BEGINNING)
    assert writer.asked("8") == found
    writer.take(2)
    writer.expect_saved()
    writer.see_all()
    expect(here).to_contain_text(ways[2][:100])
    tried = tree.get_by_role("button", name=ways[0][:40])
    fold = tree.get_by_text("Also tried here")
    fold.click()
    expect(tried).to_be_hidden()
    fold.click()
    tried.click()
    writer.expect_text(BEGINNING + found[0])
    writer.see_all()
    beginning = tree.locator(".passage").filter(has=writer.page.get_by_role("button", name=BEGINNING, exact=True))
    beginning.get_by_role("button", name="New plot from here").click()
    writer.expect_text(BEGINNING)
    expect(writer.page.get_by_role("heading", level=1)).to_have_text(re.compile(r"\(branch\)$"))
    writer.open("/shelf")
    expect(writer.page.get_by_role("listitem")).to_have_count(2)


def test_a_plot_has_another_cover_and_can_be_saved(writer: Writer) -> None:
    address = begin(writer, BEGINNING)
    writer.open(f"{address}/about")
    cover = writer.page.get_by_role("img", name=f"The cover of {BEGINNING}")
    before = cover.get_attribute("src")
    deed(writer, "Another cover")
    expect(cover).not_to_have_attribute("src", str(before))
    expect(writer.page.locator("#picture")).to_be_focused()
    after = cover.get_attribute("src")
    assert cover.evaluate("image => image.decode().then(() => image.naturalWidth)") == 800
    assert writer.download("Download it").startswith("<svg")
    writer.page.get_by_role("link", name="Shelf", exact=True).click()
    face = writer.page.locator(".face img")
    expect(face).to_have_attribute("src", str(after))
    assert face.evaluate("image => image.decode().then(() => image.naturalWidth)") == 800


def test_texts_are_brought_in_and_everything_is_taken_out(writer: Writer) -> None:
    writer.open("/shelf")
    files = writer.page.get_by_label("Plain text or Markdown")
    files.set_input_files({"name": "letter.docx", "mimeType": "application/x", "buffer": b"PK"})
    deed(writer, "Bring in")
    expect(writer.page.get_by_role("alert")).to_contain_text("“letter.docx”: This is neither plain text")
    texts: list[FilePayload] = [
        {"name": "The Flood.txt", "mimeType": "text/plain", "buffer": b"It rained."},
        {"name": "x.md", "mimeType": "text/markdown", "buffer": b"# The Frost\n\nIt froze."},
    ]
    files.set_input_files(texts)
    deed(writer, "Bring in")
    expect(writer.page.get_by_role("listitem")).to_have_count(2)
    with writer.page.expect_download() as download:
        writer.page.get_by_role("link", name="Download plots.zip").click()
    with zipfile.ZipFile(download.value.path()) as file:
        assert sorted(file.namelist()) == ["The Flood.md", "The Frost.md"]
    writer.page.get_by_role("link", name="The Frost", exact=True).click()
    writer.expect_text("It froze.")
    assert not [fault for fault in writer.faults if "422" not in fault]


def test_a_link_lets_others_read_until_it_is_withdrawn(writer: Writer, writers: Callable[..., Writer]) -> None:
    address = begin(writer, BEGINNING)
    writer.open(f"{address}/about")
    expect(writer.page.get_by_role("main")).to_contain_text("Only you can read it.")
    deed(writer, "Make a link")
    field = writer.page.get_by_label("Anyone with this link can read the plot")
    link = field.input_value()
    expect(field).to_be_focused()
    expect(field).to_be_in_viewport(ratio=1)
    if writer.script:
        assert field.evaluate("field => field.value.slice(field.selectionStart, field.selectionEnd)") == link
        deed(writer, "Copy")
        expect(writer.page.get_by_role("button", name="Copied")).to_be_visible()
    reader = writers()
    reader.page.goto(link)
    expect(reader.page.get_by_role("article")).to_contain_text(BEGINNING)
    expect(reader.page.get_by_role("main").get_by_role("button")).to_have_count(0)
    expect(reader.page.get_by_role("link", name="Write your own")).to_have_attribute("href", "/")
    reader.open(address)
    expect(reader.page.get_by_role("main")).not_to_contain_text(BEGINNING)
    deed(writer, "Withdraw the link")
    expect(writer.page.get_by_text("Only you can read it.")).to_be_in_viewport()
    expect(writer.page.locator("#sharing")).to_be_focused()
    answer = reader.page.goto(link)
    assert answer
    assert answer.status == 404
    expect(reader.page.get_by_role("main")).not_to_contain_text(BEGINNING)


def test_search_engines_are_told_not_to_index_a_shared_plot(writer: Writer) -> None:
    address = begin(writer, BEGINNING)
    writer.open(f"{address}/about")
    deed(writer, "Make a link")
    link = writer.page.get_by_label("Anyone with this link can read the plot").input_value()
    for path in ("", "/picture"):
        assert writer.page.request.get(link + path).headers["x-robots-tag"] == "noindex"
    writer.page.goto(link)
    expect(writer.page.locator("meta[name=robots]")).to_have_attribute("content", "noindex")
    writer.open()
    expect(writer.page.locator("meta[name=robots]")).to_have_count(0)


def test_a_plot_is_deleted_with_its_link(writer: Writer, writers: Callable[..., Writer]) -> None:
    address = begin(writer, BEGINNING)
    writer.open(f"{address}/about")
    deed(writer, "Make a link")
    link = writer.page.get_by_label("Anyone with this link can read the plot").input_value()
    writer.page.get_by_text("Delete…").click()
    deed(writer, "Yes, delete it")
    expect(writer.page.get_by_role("main")).to_contain_text("Nothing here yet.")
    gone = writer.page.get_by_role("status")
    expect(gone).to_have_text(f"“{BEGINNING}” is deleted.")
    expect(gone).to_be_focused()
    writer.page.reload()
    expect(gone).to_have_count(0)
    for page, place in ((writer.page, writer.address + address), (writers().page, link)):
        answer = page.goto(place)
        assert answer
        assert answer.status == 404


def test_a_plot_is_taken_along_as_markdown_and_as_text(writer: Writer) -> None:
    address = begin(writer, "It rained.\n\n*Nobody* came.")
    writer.open(f"{address}/about")
    assert writer.download("Plain text") == "It rained. *Nobody* came.\n\nIt rained.\n\n*Nobody* came.\n"
    assert writer.download("Markdown").endswith("It rained.\n\n\\*Nobody\\* came.\n")


def test_what_was_typed_is_kept_without_being_told_to(writer: Writer) -> None:
    """JavaScript only: without it, every button keeps the text."""
    if not writer.script:
        pytest.skip("needs JavaScript")
    writer.text.fill(BEGINNING)
    writer.expect_saved()
    address = writer.page.url
    writer.text.fill(f"{BEGINNING}!")
    writer.page.goto("about:blank")
    deadline = time.monotonic() + 30
    while writer.page.goto(address) and writer.value != f"{BEGINNING}!":
        assert time.monotonic() < deadline, "the last typed text is lost"


def test_nothing_typed_is_markup(writer: Writer, writers: Callable[..., Writer]) -> None:
    address = begin(writer, MARKUP)
    strange = writer.page.locator("main script, main b")
    writer.open(f"{address}/about")
    writer.page.get_by_label("Title").fill(f'"{MARKUP}')
    deed(writer, "Rename")
    expect(writer.page.get_by_role("heading", level=1)).to_have_text(f'"{MARKUP}')
    expect(strange).to_have_count(0)
    deed(writer, "Make a link")
    link = writer.page.get_by_label("Anyone with this link can read the plot").input_value()
    writer.open("/shelf")
    expect(writer.page.get_by_role("listitem")).to_contain_text(MARKUP)
    expect(strange).to_have_count(0)
    search = writer.page.get_by_role("searchbox")
    search.fill(f'">{MARKUP}')
    search.press("Enter")
    expect(writer.page.get_by_role("main")).to_contain_text(f'">{MARKUP}')
    expect(strange).to_have_count(0)
    reader = writers()
    reader.page.goto(link)
    expect(reader.page.get_by_role("article")).to_contain_text(MARKUP)
    expect(reader.page.locator("main script, main b")).to_have_count(0)
    assert not writer.page.title().startswith("taken")
    assert not writer.faults + reader.faults


def test_a_blank_page_that_is_sent_again_is_one_plot(writer: Writer) -> None:
    """Reloading an answer sends its form again. With JavaScript, a page that is left keeps its text."""
    writer.text.fill(BEGINNING)
    plots = writer.page.get_by_role("listitem")
    if writer.script:
        writer.page.get_by_role("link", name="Shelf", exact=True).click()
        writer.page.wait_for_url("**/shelf")
        while not plots.count():
            writer.page.reload()
        while not writer.page.url.endswith("/"):
            writer.page.go_back()
        writer.expect_text(BEGINNING)
        writer.text.press_sequentially(" counts ships.")
        writer.keep()
    else:
        writer.asked()
        writer.page.reload()
        writer.until_offered()
    writer.open("/shelf")
    expect(plots).to_have_count(1)
    assert not writer.faults


def test_a_plot_that_was_deleted_in_another_tab_is_kept_anew(writer: Writer) -> None:
    address = begin(writer, BEGINNING)
    other = writer.page.context.new_page()
    other.goto(f"{writer.address}{address}/about")
    other.locator("details.delete summary").click()
    other.get_by_role("button", name="Yes, delete it").click()
    other.wait_for_url("**/shelf")
    writer.text.fill("A detective in Porto")
    writer.keep()
    writer.open("/shelf")
    writer.page.get_by_role("link", name="A detective in Porto", exact=True).click()
    writer.expect_text("A detective in Porto")
