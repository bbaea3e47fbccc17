"""A process for killing: it keeps plots and reports each of them."""

import asyncio
import random
from multiprocessing.connection import Connection

from server.shelf import Shelf


def keep_plots(database: str, owner: str, acknowledged: Connection) -> None:
    """Begin plot after plot, and send each kept text as (id of the plot, text)."""
    asyncio.run(_keep_plots(database, owner, acknowledged))


async def _keep_plots(database: str, owner: str, acknowledged: Connection) -> None:
    async with Shelf.open(database) as shelf:
        while True:
            text = f"{random.random()} "
            id = (await shelf.begin(owner, text)).id
            acknowledged.send((id, text))
            for _ in range(10):
                text = text[: random.randint(0, 2 * len(text))] + "and so on " * random.randint(1, 300)
                await shelf.keep(owner, id, text, "model")
                acknowledged.send((id, text))
