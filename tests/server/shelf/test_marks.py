"""A page that saves without knowing the text of its plot: both texts are kept, and it is told."""

import pytest

from server.shelf import Shelf, Volume
from server.shelf.marks import mark

pytestmark = pytest.mark.anyio

ME = "me"


def marks(*texts: str) -> list[str]:
    return [mark(text) for text in texts]


async def kept(shelf: Shelf, id: str, *known: str, undone: bool = False) -> Volume:
    """Keep the last text that a page knows."""
    return await shelf.keep(ME, id, known[-1], "writer", undone=undone, known=marks(*known))


async def begun(shelf: Shelf, *texts: str) -> str:
    """Begin a plot with the first text, keep the others with a page that knows them, and return its id."""
    id = (await shelf.begin(ME, texts[0])).id
    for number in range(1, len(texts)):
        assert (await kept(shelf, id, *texts[: number + 1])).replaced is None
    return id


@pytest.mark.parametrize(
    "text", ["One. Three.", "One. Two. Three.", "Three.", "One.", ""], ids=["beside", "more", "other", "less", "none"]
)
async def test_the_text_of_another_page_stays_whole(shelf: Shelf, text: str) -> None:
    id = await begun(shelf, "One", "One. Two.")
    volume = await kept(shelf, id, "One", text)
    assert volume.text == text
    assert volume.replaced is not None
    assert (await kept(shelf, id, text, f"{text} Four.")).replaced is None
    assert (await shelf.choose(ME, id, volume.replaced)).text == "One. Two."
    assert (await shelf.undo(ME, id)).text == f"{text} Four."


async def test_undo_leads_to_the_text_of_another_page(shelf: Shelf) -> None:
    id = await begun(shelf, "One", "One. Two.")
    await kept(shelf, id, "One", "One. Three.", undone=True)
    assert (await shelf.undo(ME, id)).text == "One. Two."
    assert (await shelf.redo(ME, id)).text == "One. Three."


async def test_a_page_without_anything_new_changes_no_text(shelf: Shelf) -> None:
    id = await begun(shelf, "One", "One. Two.")
    volume = await shelf.keep(ME, id, "One", "writer", "Crime", known=marks("One", "One"))
    assert (volume.text, volume.genre, volume.replaced) == ("One. Two.", "Crime", None)


async def test_a_page_knows_what_it_sent_though_it_saw_no_answer(shelf: Shelf) -> None:
    id = await begun(shelf, "One", "One. Two.")
    for known in (("One", "One. Two."), ("One", "One. Two.", "One. Two. Three."), ("One", "One. Two. Three.", "One")):
        assert (await kept(shelf, id, *known, undone=True)).replaced is None


async def test_the_same_text_from_two_pages_is_one(shelf: Shelf) -> None:
    id = await begun(shelf, "One", "One. Two.")
    before = await shelf.read(ME, id)
    assert await kept(shelf, id, "One", "One. Two.") == before


async def test_a_page_that_tells_no_marks_is_told_nothing(shelf: Shelf) -> None:
    id = await begun(shelf, "One", "One. Two.")
    volume = await shelf.keep(ME, id, "One. Three.", "writer")
    assert (volume.text, volume.replaced) == ("One. Three.", None)


async def test_what_is_taken_leaves_the_text_of_another_page(shelf: Shelf) -> None:
    for other in ("One. Two.", "Two."):
        id = await begun(shelf, "One", other)
        volume = await shelf.take(ME, id, "One", ", too", "", known=marks("One", "One, too"))
        assert volume.text == "One, too"
        assert volume.replaced is not None
        assert (await shelf.choose(ME, id, volume.replaced)).text == other


async def test_two_pages_may_begin_one_plot(shelf: Shelf) -> None:
    id = "x" * 22
    assert (await shelf.begin(ME, "One", id=id, known=marks("", "One"))).replaced is None
    assert (await shelf.begin(ME, "One two", id=id, known=marks("", "One", "One two"))).replaced is None
    volume = await shelf.begin(ME, "Three", id=id, known=marks("", "Three"))
    assert (volume.text, volume.replaced) == ("Three", 1)
