"""As many requests at once as a server has rows for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from benchmarks.trust.asking import Order


async def fill(rows: int, orders: Iterable[Order], come: Callable[[Order], Awaitable[None]]) -> None:
    """Has the orders come in their turn, each once the rows that it takes are free; returns when all have ended.

    So nobody waits for rows, and nobody is refused. One that takes more than there are has all of them.
    """
    free, freed = rows, asyncio.Event()

    async def come_and_leave(order: Order, taken: int) -> None:
        nonlocal free
        await come(order)
        free += taken
        freed.set()

    async with asyncio.TaskGroup() as group:
        for order in orders:
            taken = min(order.rows, rows)
            while taken > free:
                freed.clear()
                await freed.wait()
            free -= taken
            group.create_task(come_and_leave(order, taken))
