"""Changes that come at about the same time are one transaction, and none is lost."""

import asyncio
from collections.abc import Sequence

import pytest

from server.plots.shared_transaction import SharedTransaction

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_what_comes_during_a_transaction_waits_for_the_next_one() -> None:
    made: list[list[int]] = []
    go_on = asyncio.Event()

    async def make(changes: Sequence[int]) -> int:
        made.append(list(changes))
        await go_on.wait()
        return len(made)

    shared = SharedTransaction(make, lambda: 0, 100)
    first = [asyncio.create_task(shared.make(number)) for number in (1, 2)]
    while not made:
        await asyncio.sleep(0)
    then = [asyncio.create_task(shared.make(number)) for number in (3, 4, 5)]
    go_on.set()
    assert await asyncio.gather(*first, *then) == [1, 1, 2, 2, 2]
    assert made == [[1, 2], [3, 4, 5]]


async def test_enough_changes_wait_no_longer() -> None:
    made: list[list[int]] = []

    async def make(changes: Sequence[int]) -> None:
        made.append(list(changes))

    shared = SharedTransaction(make, lambda: 3600, 2)
    await asyncio.gather(*(shared.make(number) for number in range(4)))
    await asyncio.gather(shared.make(4), shared.make(5))
    assert made == [[0, 1, 2, 3], [4, 5]]


async def test_an_error_is_that_of_each_change_and_the_next_transaction_works() -> None:
    async def make(changes: Sequence[int]) -> None:
        if 1 in changes:
            raise OSError("the disk is full")

    shared = SharedTransaction(make, lambda: 0, 100)
    found = await asyncio.gather(shared.make(1), shared.make(2), return_exceptions=True)
    assert list(map(str, found)) == ["the disk is full"] * 2
    await shared.make(3)


async def test_the_change_of_a_caller_who_is_cancelled_is_made() -> None:
    made: list[int] = []

    async def make(changes: Sequence[int]) -> None:
        made.extend(changes)

    shared = SharedTransaction(make, lambda: 0, 100)
    leaving, staying = (asyncio.create_task(shared.make(number)) for number in (1, 2))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert made == [1, 2]
    assert leaving.cancelled()
