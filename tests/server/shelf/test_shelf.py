"""Actions on your own plots."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, update

from server.shelf import NotKept, NotOnShelf, Shelf, ShelfFull, Volume, bounds, rows, tree
from server.shelf.database import opened
from server.shelf.models import PassageRow, PlotRow

pytestmark = pytest.mark.anyio

ME, YOU = "me", "you"


def passages(volume: Volume) -> list[tuple[str, str]]:
    return [(passage.text, passage.by) for passage in volume.path]


async def test_a_plot_begins_with_a_text_or_as_a_blank_page(shelf: Shelf) -> None:
    begun = await shelf.begin(ME, "It rained. ", title="  A  wet\nstory ", genre="Crime")
    assert (begun.title, begun.genre, begun.text, begun.token) == ("A wet story", "Crime", "It rained. ", None)
    assert (passages(begun), begun.undo, begun.redo) == ([("It rained. ", "writer")], 0, None)
    assert begun == await shelf.read(ME, begun.id)

    blank = await shelf.begin(ME)
    assert (blank.title, blank.text, blank.path, blank.undo) == ("Untitled", "", [], None)
    assert len({begun.id, blank.id}) == 2
    assert len(begun.id) == 22


async def test_the_text_is_kept_as_it_grows(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "One")).id
    await shelf.keep(ME, id, "One two", "model")
    last = (await shelf.keep(ME, id, "One two three", "writer")).path[-1]
    assert (last.number, last.parent, last.text, last.by) == (3, 2, " three", "writer")
    assert (await shelf.keep(ME, id, "One two three", "model")).path[-1] == last
    volume = await shelf.read(ME, id)
    assert volume.text == "One two three"
    assert passages(volume) == [("One", "writer"), (" two", "model"), (" three", "writer")]
    assert volume.changed > volume.created


async def test_a_passage_of_another_sitting_does_not_grow(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    id = (await shelf.begin(ME, "One")).id
    await shelf.keep(ME, id, "One two", "writer")
    monkeypatch.setattr(tree, "SITTING", timedelta(0))
    await shelf.keep(ME, id, "One two three", "writer")
    monkeypatch.undo()
    await shelf.keep(ME, id, "One two three four", "writer")
    assert passages(await shelf.read(ME, id)) == [("One two", "writer"), (" three four", "writer")]
    assert (await shelf.undo(ME, id)).text == "One two"


async def test_an_edit_branches_off_where_it_begins_and_destroys_nothing(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "One")).id
    await shelf.keep(ME, id, "One two", "model")
    await shelf.keep(ME, id, "One two three", "model")
    edited = (await shelf.keep(ME, id, "One too three!", "writer")).path[-1]
    assert (edited.parent, edited.text) == (1, " too three!")
    volume = await shelf.read(ME, id)
    assert passages(volume) == [("One", "writer"), (" too three!", "writer")]
    assert [child.text for child in (await shelf.choose(ME, id, 1)).children] == [" two", " too three!"]
    assert (await shelf.choose(ME, id, 3)).text == "One two three"


async def test_a_text_that_was_cut_ends_with_an_earlier_passage(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "One")).id
    await shelf.keep(ME, id, "One two", "model")
    assert (await shelf.keep(ME, id, "One", "writer")).current == 1
    assert (await shelf.redo(ME, id)).text == "One two"
    assert (await shelf.keep(ME, id, "", "writer")).current == 0
    assert [child.text for child in (await shelf.read(ME, id)).children] == ["One"]


async def test_a_text_that_was_tried_before_is_not_kept_twice(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "One")).id
    first = (await shelf.keep(ME, id, "One two", "model")).path[-1]
    await shelf.keep(ME, id, "One", "writer")
    assert (await shelf.keep(ME, id, "One two", "writer")).path[-1] == first
    offered = await shelf.offer(ME, id, 1, [" two", "", " three", " three"])
    assert [passage.text for passage in offered] == [" two", " three", " three"]
    assert offered[0] == first
    assert offered[1] == offered[2]


async def test_offered_passages_are_kept_and_one_can_be_chosen(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "One")).id
    offered = await shelf.offer(ME, id, 1, [" two", " three", " four"])
    assert [(passage.parent, passage.by) for passage in offered] == [(1, "model")] * 3
    before = await shelf.read(ME, id)
    assert (before.text, before.children, before.redo) == ("One", offered, None)
    chosen = await shelf.choose(ME, id, offered[1].number)
    assert chosen.text == "One three"
    assert chosen.path[-1] == offered[1]
    assert (await shelf.choose(ME, id, 1)).children == offered


async def test_undo_goes_back_to_the_blank_page_and_redo_the_way_last_gone(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "A")).id
    await shelf.keep(ME, id, "AB", "model")
    await shelf.keep(ME, id, "ABC", "model")
    await shelf.keep(ME, id, "AX", "writer")
    assert [(await shelf.undo(ME, id)).text for _ in range(5)] == ["ABC", "AB", "A", "", ""]
    assert [(await shelf.redo(ME, id)).text for _ in range(5)] == ["A", "AB", "ABC", "AX", "AX"]
    await shelf.choose(ME, id, 3)
    await shelf.choose(ME, id, 0)
    assert [(await shelf.redo(ME, id)).text for _ in range(4)] == ["A", "AB", "ABC", "AX"]


async def test_text_typed_on_in_one_place_is_one_passage(shelf: Shelf) -> None:
    id = (await shelf.begin(ME)).id
    words = ["It", "rained", "on", "the", "harbour", "all", "night"]
    for end in range(1, len(words) + 1):
        await shelf.keep(ME, id, " ".join(words[:end]), "writer")
    volume = await shelf.read(ME, id)
    assert passages(volume) == [(" ".join(words), "writer")]
    assert (await shelf.undo(ME, id)).text == ""
    assert (await shelf.redo(ME, id)).text == volume.text


async def test_after_anything_else_typing_makes_another_passage(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "A")).id

    async def typed_on(text: str) -> list[str]:
        await shelf.keep(ME, id, text, "writer")
        return [passage.text for passage in (await shelf.read(ME, id)).path]

    assert await typed_on("AB") == ["AB"]
    await shelf.undo(ME, id)
    await shelf.redo(ME, id)
    assert await typed_on("ABC") == ["AB", "C"]
    (offered,) = await shelf.offer(ME, id, 2, ["D"])
    assert await typed_on("ABCE") == ["AB", "C", "E"]
    await shelf.choose(ME, id, offered.number)
    assert await typed_on("ABCDF") == ["AB", "C", "D", "F"]
    assert await typed_on("ABCDFG") == ["AB", "C", "D", "FG"]
    assert await typed_on("ABxx") == ["AB", "xx"]
    assert await typed_on("ABxxy") == ["AB", "xxy"]
    assert (await shelf.undo(ME, id)).text == "ABCDFG"
    branch = await shelf.branch(ME, id, offered.number)
    await shelf.keep(ME, branch.id, "ABCD!", "writer")
    assert passages(await shelf.read(ME, branch.id))[-2:] == [("D", "model"), ("!", "writer")]
    await shelf.keep(ME, id, "ABCDFGH", "writer", closed=True)
    assert await typed_on("ABCDFGHI") == ["AB", "C", "D", "FG", "H", "I"]


async def test_a_plot_may_be_begun_twice_under_one_id(shelf: Shelf) -> None:
    id = "x" * 22
    begun = await shelf.begin(ME, "One", id=id)
    again = await shelf.begin(ME, "One two", genre="Crime", id=id)
    assert (begun.id, again.id, again.text, again.genre) == (id, id, "One two", "Crime")
    assert (await shelf.browse(ME))[1] == 1
    at_once = await asyncio.gather(*(shelf.begin(ME, "Three", id="y" * 22) for _ in range(8)))
    assert {volume.text for volume in at_once} == {"Three"}
    assert (await shelf.browse(ME))[1] == 2


async def test_two_servers_begin_one_plot_at_once(shelf: Shelf, database: str) -> None:
    async with Shelf.open(database) as other:
        for number in range(10):
            id = f"{number:022}"
            begun = await asyncio.gather(*(each.begin(ME, "One", id=id) for each in [shelf, other] * 4))
            assert {volume.text for volume in begun} == {"One"}
        assert (await shelf.browse(ME))[1] == 10


async def test_a_full_plot_still_takes_what_is_typed_and_its_branch_is_not_full(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "PASSAGES", 6)
    id = (await shelf.begin(ME, "1")).id
    text = "1"
    for number in range(2, 7):
        text += str(number)
        await shelf.keep(ME, id, text, "model" if number < 6 else "writer")
    text += "7"
    await shelf.keep(ME, id, text, "writer")
    with pytest.raises(ShelfFull, match="This plot is full"):
        await shelf.keep(ME, id, f"{text}8", "model")
    branch = await shelf.branch(ME, id, 6)
    assert branch.text == text
    assert passages(branch) == [("1234", "writer"), ("5", "model"), ("67", "writer")]
    assert branch == await shelf.read(ME, branch.id)
    await shelf.keep(ME, branch.id, f"{text}8", "model")


async def test_a_title_is_given_or_the_first_words(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "It rained.")).id
    await shelf.rename(ME, id, " The  Flood ")
    assert (await shelf.read(ME, id)).title == "The Flood"
    await shelf.rename(ME, id, "")
    await shelf.keep(ME, id, "It poured " + "and poured " * 20, "writer")
    assert (await shelf.browse(ME))[0][0].title == "It poured and poured and poured and poured and poured and…"
    await shelf.keep(ME, id, "x" * 1000, "writer")
    assert (await shelf.read(ME, id)).title == "x" * 60 + "…"
    for length, title in ((60, "灯" * 60), (61, "灯" * 60 + "…"), (375, "灯" * 60 + "…")):
        await shelf.keep(ME, id, "灯" * length, "writer")
        assert (await shelf.read(ME, id)).title == (await shelf.browse(ME))[0][0].title == title


async def test_a_genre_can_be_changed(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, genre="Crime")).id
    for given, expected in (("Romance", "Romance"), (None, "Romance"), ("", "")):
        await shelf.keep(ME, id, "", "writer", given)
        assert (await shelf.read(ME, id)).genre == expected


async def test_the_steering_is_kept_with_each_plot_and_the_last_is_remembered(shelf: Shelf) -> None:
    assert await shelf.steering(ME) == {}
    first = (await shelf.begin(ME, "One", genre="Crime", steering={"avoid": "fox"})).id
    second = (await shelf.begin(ME, "Two", steering={"length": "line"})).id
    assert await shelf.steering(ME) == {"length": "line"}
    await shelf.keep(ME, first, "One two", "writer", None, steering={"notes": "Anna"})
    assert (await shelf.read(ME, first)).steering == {"avoid": "fox", "notes": "Anna"}
    assert (await shelf.read(ME, second)).steering == {"length": "line"}
    assert await shelf.steering(ME) == {"genre": "Crime", "avoid": "fox", "notes": "Anna"}
    await shelf.keep(ME, first, "One two three", "model")
    assert (await shelf.branch(ME, first, 2)).steering == {"avoid": "fox", "notes": "Anna"}
    assert await shelf.steering(YOU) == {}
    with pytest.raises(NotKept, match="limit is 4,000"):
        await shelf.keep(ME, first, "", "writer", steering={"notes": "x" * 4001})


async def test_a_plot_without_a_word_is_not_listed_and_goes_after_a_day(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = (await shelf.begin(ME)).id
    await shelf.offer(ME, blank, 0, ["One", "Two"])
    emptied = (await shelf.begin(ME, "Three")).id
    await shelf.keep(ME, emptied, "", "writer")
    titled = (await shelf.begin(ME, title="Four")).id
    entries, count = await shelf.browse(ME)
    assert ({entry.id for entry in entries}, count) == ({emptied, titled}, 2)
    await shelf.begin(ME, "Five")
    assert len((await shelf.read(ME, blank)).children) == 2
    monkeypatch.setattr(rows, "ABANDONED", timedelta(0))
    await shelf.begin(ME, "Six")
    with pytest.raises(NotOnShelf):
        await shelf.read(ME, blank)
    assert (await shelf.browse(ME))[1] == 4


async def test_one_passage_takes_up_all_that_is_typed_in_one_place(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "A fox ran.", "model")).id
    for text in ("A r", "A red", "A red old"):
        await shelf.keep(ME, id, f"{text} fox ran.", "writer", caret=len(text))
    volume = await shelf.read(ME, id)
    assert (volume.current, volume.text) == (2, "A red old fox ran.")
    assert volume.authors == [(1, "model"), (8, "writer"), (9, "model")]
    assert (await shelf.undo(ME, id)).authors == [(10, "model")]


async def test_words_take_the_place_of_others_in_one_step(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "One two three")).id
    taken = await shelf.take(ME, id, "One ", "or more", " three")
    assert (taken.text, taken.authors) == ("One or more three", [(4, "writer"), (7, "model"), (6, "writer")])
    assert (await shelf.undo(ME, id)).text == "One two three"
    assert (await shelf.redo(ME, id)).text == "One or more three"
    assert (await shelf.take(ME, id, "One", "", " or more three")).current == taken.current
    typed = await shelf.take(ME, id, "Or one", " more", "!")
    assert [(await shelf.undo(ME, id)).text for _ in range(2)] == ["Or one!", "One or more three"]
    assert typed.text == "Or one more!"
    branch = await shelf.branch(ME, id, taken.current)
    assert branch.authors == taken.authors == (await shelf.read(ME, branch.id)).authors


async def test_a_branch_of_a_plot_without_a_title_is_named_by_its_own_words(shelf: Shelf) -> None:
    plot = await shelf.begin(ME, "A fox runs.")
    await shelf.keep(ME, plot.id, "A hen sleeps.", "writer")
    assert [(await shelf.branch(ME, plot.id, number)).title for number in (0, 1, 2)] == [
        "Untitled (branch)",
        "A fox runs. (branch)",
        "A hen sleeps. (branch)",
    ]


async def test_a_branch_is_a_plot_of_its_own(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "One", title="Numbers", genre="Drama")).id
    await shelf.keep(ME, id, "One two", "model")
    await shelf.keep(ME, id, "One two three", "writer")
    branch = await shelf.branch(ME, id, 2)
    assert (branch.title, branch.genre, branch.text) == ("Numbers (branch)", "Drama", "One two")
    assert passages(branch) == [("One", "writer"), (" two", "model")]
    assert branch.children == []
    assert (await shelf.branch(ME, branch.id, 0)).title == "Numbers (branch)"
    await shelf.keep(ME, branch.id, "One two four", "writer")
    assert (await shelf.read(ME, id)).text == "One two three"
    await shelf.delete(ME, id)
    assert (await shelf.read(ME, branch.id)).text == "One two four"


async def test_a_plot_that_was_deleted_is_gone_with_all_that_hung_on_it(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "One")).id
    await shelf.keep(ME, id, "One two", "model")
    await shelf.illustrate(ME, id, "image/png", b"...", "one")
    token = await shelf.share(ME, id)
    await shelf.delete(ME, id)
    for ask in (shelf.read(ME, id), shelf.picture(ME, id), shelf.shared(token), shelf.delete(ME, id)):
        with pytest.raises(NotOnShelf):
            await ask
    assert await shelf.browse(ME) == ([], 0)


async def test_the_link_of_a_plot_can_be_read_until_it_is_withdrawn(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "One", title="Numbers")).id
    token = await shelf.share(ME, id)
    assert await shelf.share(ME, id) == token
    assert (await shelf.read(ME, id)).token == token
    await shelf.keep(ME, id, "One two", "model")
    await shelf.illustrate(ME, id, "image/webp", b"...", "one")
    shared = await shelf.shared(token)
    assert (shared.title, shared.text) == ("Numbers", "One two")
    assert not isinstance(shared, Volume)
    assert (await shelf.shared_picture(token)).content == b"..."
    await shelf.withdraw(ME, id)
    for ask in (shelf.shared(token), shelf.shared_picture(token), shelf.shared(id), shelf.shared("")):
        with pytest.raises(NotOnShelf, match="This link does not lead to a plot any more"):
            await ask
    assert await shelf.share(ME, id) != token


async def test_a_plot_has_the_picture_that_was_made_last(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "One")).id
    with pytest.raises(NotOnShelf, match="has no picture yet"):
        await shelf.picture(ME, id)
    await shelf.illustrate(ME, id, "image/png", b"first", "one")
    await shelf.illustrate(ME, id, "image/jpeg", b"\0second", "two")
    picture = await shelf.picture(ME, id)
    assert (picture.media_type, picture.content, picture.prompt) == ("image/jpeg", b"\0second", "two")


async def test_all_other_characters_come_back(shelf: Shelf) -> None:
    text = "".join(chr(code) for code in range(1, 0x3000) if chr(code) != "\r") + " 🐈\U0010ffff "
    id = (await shelf.begin(ME, text)).id
    assert (await shelf.read(ME, id)).path[0].text == text


async def test_the_line_ends_of_a_form_are_no_edit(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "One\n", "model")).id
    kept = (await shelf.keep(ME, id, "One\r\nTwo\rThree", "writer")).path[-1]
    assert (kept.parent, kept.text) == (1, "Two\nThree")


async def test_a_plot_may_be_as_long_and_as_wide_as_the_bounds_allow(shelf: Shelf, database: str) -> None:
    id = (await shelf.begin(ME, "x")).id
    depth = bounds.PASSAGES // 2
    last = {"plot_id": id, "by": "model", "redo": None, "created": datetime.now(UTC)}
    engine = opened(database)
    with engine.begin() as connection:
        for start, parent in ((2, lambda number: number - 1), (depth + 1, lambda number: 1)):
            rows = [
                {**last, "number": number, "parent": parent(number), "text": f"{number} "}
                for number in range(start, start + depth - (start == 2))
            ]
            connection.execute(insert(PassageRow), rows)
        connection.execute(update(PlotRow).values(passages=bounds.PASSAGES))
    engine.dispose()
    volume = await shelf.choose(ME, id, depth)
    assert len(volume.path) == depth
    assert (await shelf.keep(ME, id, volume.text[:-5], "writer")).path == volume.path[:-1]
    assert len((await shelf.choose(ME, id, 1)).children) == depth + 1


async def test_many_write_one_plot_at_once(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "One")).id
    offered = await asyncio.gather(*(shelf.offer(ME, id, 1, [f" {number}"]) for number in range(40)))
    assert sorted(passage.number for (passage,) in offered) == list(range(2, 42))
    assert len((await shelf.read(ME, id)).children) == 40


async def test_two_shelves_write_one_database_at_once(shelf: Shelf, database: str) -> None:
    async with Shelf.open(database) as other:
        id = (await shelf.begin(ME)).id
        kept = await asyncio.gather(
            *(keeper.offer(ME, id, 0, [f"{number}"]) for number, keeper in enumerate([shelf, other] * 20))
        )
        assert sorted(passage.number for (passage,) in kept) == list(range(1, 41))


async def test_a_writer_who_leaves_in_the_middle_leaves_a_shelf_that_works(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "One")).id
    for number in range(60):
        text = f"One {number}"
        keeping = asyncio.create_task(shelf.keep(ME, id, text, "writer"))
        await asyncio.sleep(0.0002 * number)
        keeping.cancel()
        await asyncio.wait([keeping])
        kept = (await shelf.read(ME, id)).text
        assert kept == text or keeping.cancelled()
    await shelf.keep(ME, id, "One last", "writer")
    volume = await shelf.read(ME, id)
    assert volume.text == "".join(passage.text for passage in volume.path) == "One last"
