"""A plot's journal as server-sent events: how they are framed, and where a reader goes on."""

import re
from collections.abc import AsyncIterator

from server.errors import PlotifyError
from server.http import sse
from server.http.sse import HEARTBEAT, RETRY
from server.plots.journal import Journal

EVENT_ID = "^[0-9]{0,9}$"
"""What the id of an event looks like, or none."""


class UnknownEvent(PlotifyError):
    """The Last-Event-ID is not an event of the plot."""

    status = 400


def position(last_event_id: str, journal: Journal) -> int:
    """How many events a reader has, who had this one last; "" or "0" for none. Raises UnknownEvent."""
    there = len(journal.feed.items)
    if not re.fullmatch(EVENT_ID, last_event_id) or int(last_event_id or 0) > there:
        raise UnknownEvent(
            f"Last-Event-ID is {last_event_id[:40]!r}; it must be the id of an event of this plot, "
            f"and the latest is {there}. Leave it out to begin at the beginning."
        )
    return int(last_event_id or 0)


async def frames(journal: Journal, after: int, heartbeat: float) -> AsyncIterator[bytes]:
    """Yield the events after the first `after`, all that are ready in one piece. Each has its number as its id.

    Yield a comment when there were none for `heartbeat` seconds.
    """
    yield RETRY
    async for events in journal.feed.follow(after, heartbeat):
        yield b"".join(sse.event(each, each.name, id) for id, each in enumerate(events, after + 1)) or HEARTBEAT
        after += len(events)
