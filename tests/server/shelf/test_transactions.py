"""Each transaction begins in time or never runs, and closing a shelf loses none."""

import asyncio
from threading import Event

import pytest

from server.shelf import Shelf, ShelfUnusable
from server.shelf.transactions import THREADS

pytestmark = pytest.mark.anyio


async def test_a_transaction_that_waits_too_long_never_runs(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = Event()
    with monkeypatch.context() as impatient:
        impatient.setattr("server.shelf.transactions.BUSY", 0.1)
        running = (shelf.transactions.run(lambda _: go_on.wait(60), writes=True) for _ in range(THREADS))
        long = [asyncio.create_task(each) for each in running]
        await asyncio.sleep(0)
        with pytest.raises(ShelfUnusable, match="too many requests are waiting for it"):
            await shelf.begin("me", "Too late")
    assert (await shelf.browse("me"))[1] == 0, "reads do not wait for writes"
    go_on.set()
    assert True in await asyncio.gather(*long, return_exceptions=True)
    await shelf.begin("me", "In time")
    assert [entry.opening for entry in (await shelf.browse("me"))[0]] == ["In time"]


async def test_closing_a_shelf_completes_its_transactions(database: str) -> None:
    async with Shelf.open(database) as shelf:
        begun = [asyncio.create_task(shelf.begin("me", f"Plot {number}")) for number in range(20)]
        await asyncio.sleep(0)
    with pytest.raises(ShelfUnusable, match="it is closed"):
        await shelf.begin("me", "Afterwards")
    await asyncio.gather(*begun)
    async with Shelf.open(database) as shelf:
        assert (await shelf.browse("me"))[1] == 20
