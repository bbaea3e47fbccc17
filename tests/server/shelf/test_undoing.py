"""A text that a page went back to is no edit: undo leads further back, redo forward again."""

import pytest

from server.shelf import Shelf

pytestmark = pytest.mark.anyio

ME = "me"


async def typed(shelf: Shelf, *texts: str) -> str:
    """Begin a plot with the first text, keep the others, and return its id."""
    id = (await shelf.begin(ME, texts[0])).id
    for text in texts[1:]:
        await shelf.keep(ME, id, text, "writer")
    return id


async def undone(shelf: Shelf, id: str, text: str) -> None:
    await shelf.keep(ME, id, text, "writer", undone=True)
    assert (await shelf.read(ME, id)).text == text


async def back(shelf: Shelf, id: str) -> list[str]:
    """Return the texts to which undo leads, to the blank page, and check that redo leads back."""
    texts = [(await shelf.read(ME, id)).text]
    while (volume := await shelf.read(ME, id)).undo is not None:
        texts.append((await shelf.undo(ME, id)).text)
        assert (await shelf.redo(ME, id)).text == volume.text
        await shelf.undo(ME, id)
    return texts[1:]


async def test_undo_goes_back_from_a_text_that_a_passage_had_while_it_grew(shelf: Shelf) -> None:
    id = await typed(shelf, "One.", "One. Two.")
    await undone(shelf, id, "One.")
    assert (await shelf.redo(ME, id)).text == "One. Two."
    await undone(shelf, id, "One.")
    assert await back(shelf, id) == [""]


async def test_several_steps_may_be_undone_at_once(shelf: Shelf) -> None:
    id = await typed(shelf, "One.", "One. Two.")
    await shelf.take(ME, id, "One. Two.", " Three.", "")
    await shelf.keep(ME, id, "One. Two. Three. Four.", "writer")
    await undone(shelf, id, "One.")
    assert (await shelf.redo(ME, id)).text == "One. Two. Three. Four."
    assert (await shelf.undo(ME, id)).text == "One. Two. Three."
    await undone(shelf, id, "One.")
    assert await back(shelf, id) == [""]


async def test_words_that_were_taken_are_gone_and_come_back(shelf: Shelf) -> None:
    id = await typed(shelf, "One. Three.")
    await shelf.take(ME, id, "One.", " Two.", " Three.")
    await undone(shelf, id, "One. Three.")
    assert (await shelf.redo(ME, id)).text == "One. Two. Three."
    await undone(shelf, id, "One. Three.")
    assert await back(shelf, id) == [""]


async def test_what_stands_behind_stays_while_undo_goes_back(shelf: Shelf) -> None:
    id = await typed(shelf, "One. Four.")
    await shelf.keep(ME, id, "One. Two. Four.", "writer")
    await shelf.keep(ME, id, "One. Two. Three. Four.", "writer")
    await undone(shelf, id, "One. Two. Four.")
    assert await back(shelf, id) == ["One. Four.", ""]


async def test_a_word_that_was_replaced_stands_there_again(shelf: Shelf) -> None:
    id = await typed(shelf, "A red fox.")
    for text in ("A grey fox.", "A white fox.", "A white fox ran."):
        await shelf.keep(ME, id, text, "writer")
    await undone(shelf, id, "A grey fox.")
    assert await back(shelf, id) == ["A red fox.", ""]


async def test_whole_passages_that_were_deleted_come_back_as_they_were(shelf: Shelf) -> None:
    id = await typed(shelf, "One.")
    for text, more in (("One.", " Two."), ("One. Two.", " Three.")):
        await shelf.take(ME, id, text, more, "")
    before = await shelf.read(ME, id)
    for left in ("", "One.", "One. Two."):
        await shelf.keep(ME, id, left, "writer")
        await undone(shelf, id, before.text)
        volume = await shelf.read(ME, id)
        assert [(each.number, each.by) for each in volume.path] == [(each.number, each.by) for each in before.path]
    assert await back(shelf, id) == ["One. Two.", "One.", ""]


async def test_a_text_that_the_plot_never_had_is_an_edit(shelf: Shelf) -> None:
    id = await typed(shelf, "One. Two.")
    await shelf.keep(ME, id, "Three. Four.", "writer", undone=True)
    assert await back(shelf, id) == ["One. Two.", ""]


async def test_who_wrote_what_is_kept(shelf: Shelf) -> None:
    id = await typed(shelf, "One.")
    await shelf.take(ME, id, "One.", " Two.", "")
    await shelf.keep(ME, id, "One. Two. Three", "writer")
    await shelf.keep(ME, id, "One. Two. Three. Four.", "writer")
    await undone(shelf, id, "One. Two. Three")
    volume = await shelf.read(ME, id)
    assert [(passage.text, passage.by) for passage in volume.path] == [
        ("One.", "writer"), (" Two.", "model"), (" Three", "writer"),
    ]  # fmt: skip


async def test_a_visit_is_taken_back_first(shelf: Shelf) -> None:
    id = await typed(shelf, "One.")
    for text, more in (("One.", " Two."), ("One. Two.", " Three.")):
        await shelf.take(ME, id, text, more, "")
    for visited in (2, 1, 0):
        await shelf.choose(ME, id, visited)
    for _ in range(2):
        assert (await shelf.undo(ME, id)).text == "One. Two. Three."
        assert (await shelf.redo(ME, id)).text == ""
    assert (await shelf.redo(ME, id)).text == "One."
    await shelf.choose(ME, id, 3)
    assert await back(shelf, id) == ["One.", ""]


async def test_after_a_visit_what_is_typed_there_is_taken_back_first(shelf: Shelf) -> None:
    id = await typed(shelf, "One.")
    await shelf.take(ME, id, "One.", " Two.", "")
    await shelf.choose(ME, id, 1)
    await shelf.keep(ME, id, "One. Three.", "writer")
    assert await back(shelf, id) == ["One.", ""]
