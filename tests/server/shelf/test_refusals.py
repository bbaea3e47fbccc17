"""A shelf refuses the plots of others, missing ones, too many, and invalid text."""

import secrets
from collections.abc import Awaitable, Callable

import pytest

from server.shelf import NotKept, NotOnShelf, Shelf, ShelfFull, bounds

pytestmark = pytest.mark.anyio

ME, YOU = "me", "you"

Ask = Callable[[Shelf, str, str], Awaitable[object]]

METHODS: dict[str, Ask] = {
    "keep": lambda shelf, owner, id: shelf.keep(owner, id, "mine", "writer"),
    "take": lambda shelf, owner, id: shelf.take(owner, id, "One", " mine", ""),
    "offer": lambda shelf, owner, id: shelf.offer(owner, id, 0, ["mine"]),
    "choose": lambda shelf, owner, id: shelf.choose(owner, id, 0),
    "undo": lambda shelf, owner, id: shelf.undo(owner, id),
    "redo": lambda shelf, owner, id: shelf.redo(owner, id),
    "read": lambda shelf, owner, id: shelf.read(owner, id),
    "rename": lambda shelf, owner, id: shelf.rename(owner, id, "mine"),
    "branch": lambda shelf, owner, id: shelf.branch(owner, id, 0),
    "delete": lambda shelf, owner, id: shelf.delete(owner, id),
    "share": lambda shelf, owner, id: shelf.share(owner, id),
    "withdraw": lambda shelf, owner, id: shelf.withdraw(owner, id),
    "illustrate": lambda shelf, owner, id: shelf.illustrate(owner, id, "image/png", b"mine", "mine"),
    "picture": lambda shelf, owner, id: shelf.picture(owner, id),
    "illustrated": lambda shelf, owner, id: shelf.illustrated(owner, id),
    "entry": lambda shelf, owner, id: shelf.entry(owner, id),
    "outline": lambda shelf, owner, id: shelf.outline(owner, id),
    "written": lambda shelf, owner, id: shelf.written(owner, id),
    "cover": lambda shelf, owner, id: shelf.cover(owner, id),
}


def test_every_method_that_takes_a_plot_is_tried() -> None:
    public = {name for name in vars(Shelf) if not name.startswith("_")}
    assert set(METHODS) == public - {"open", "begin", "browse", "ids", "secret", "steering", "shared", "shared_picture"}


@pytest.mark.parametrize("method", METHODS)
async def test_nobody_else_sees_or_changes_a_plot(shelf: Shelf, method: str) -> None:
    id = (await shelf.begin(ME, "One")).id
    await shelf.illustrate(ME, id, "image/png", b"...", "one")
    await shelf.share(ME, id)
    before = await shelf.read(ME, id)
    for owner, asked in [(YOU, id), ("", id), (ME, secrets.token_urlsafe(16)), (ME, "\0"), (ME, f"{id}\n"), (ME, "%")]:
        with pytest.raises(NotOnShelf, match="This plot is not on your shelf"):
            await METHODS[method](shelf, owner, asked)
    assert await shelf.read(ME, id) == before
    assert await shelf.browse(YOU) == ([], 0)
    await METHODS[method](shelf, ME, id)


@pytest.mark.parametrize("number", [-1, 2, 10**30])
async def test_a_passage_that_is_not_there_is_refused(shelf: Shelf, number: int) -> None:
    id = (await shelf.begin(ME, "One")).id
    asked = (shelf.choose(ME, id, number), shelf.branch(ME, id, number), shelf.outline(ME, id, number))
    for ask in (*asked, shelf.offer(ME, id, number, ["x"])):
        with pytest.raises(NotOnShelf, match=f"There is no passage {number} in this plot, which has 1 "):
            await ask


async def test_a_field_that_is_too_long_is_refused_by_name(shelf: Shelf) -> None:
    id = (await shelf.begin(ME, "x" * bounds.TEXT)).id
    with pytest.raises(NotKept, match="The text has 100,001 characters; the limit is 100,000") as refused:
        await shelf.keep(ME, id, "x" * (bounds.TEXT + 1), "writer")
    assert refused.value.field == "text"
    with pytest.raises(NotKept, match="text"):
        await shelf.offer(ME, id, 1, ["", "y"])
    with pytest.raises(NotKept, match="title"):
        await shelf.rename(ME, id, "x" * 201)
    with pytest.raises(NotKept, match="search"):
        await shelf.browse(ME, "x" * 201)
    with pytest.raises(NotKept, match="image/svg"):
        await shelf.illustrate(ME, id, "image/svg+xml", b"<svg/>", "one")
    with pytest.raises(NotKept, match="0 bytes"):
        await shelf.illustrate(ME, id, "image/png", b"", "one")
    assert (await shelf.read(ME, id)).current == 1


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
async def test_characters_that_no_database_keeps_are_refused(shelf: Shelf, text: str) -> None:
    with pytest.raises(NotKept, match="The text has an invalid character"):
        await shelf.begin(ME, text)
    with pytest.raises(NotKept, match="search"):
        await shelf.browse(ME, text)


async def test_a_shelf_and_a_plot_have_room_for_so_many(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "PLOTS", 2)
    monkeypatch.setattr(bounds, "PASSAGES", 3)
    id = (await shelf.begin(ME, "One")).id
    with pytest.raises(ShelfFull, match=r"This plot is full: it has 3 passages.*Branch it"):
        await shelf.offer(ME, id, 1, ["a", "b", "c"])
    assert (await shelf.read(ME, id)).children == []
    await shelf.branch(ME, id, 1)
    for begin in (shelf.begin(ME), shelf.branch(ME, id, 1)):
        with pytest.raises(ShelfFull, match=r"The shelf is full: it has 2 plots.*Delete one"):
            await begin
    await shelf.begin(YOU)
