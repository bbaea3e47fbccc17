"""A plot's journal as server-sent events."""

import re
from collections.abc import AsyncIterator

from server.errors import PlotifyError
from server.http import sse
from server.http.sse import HEARTBEAT, RETRY
from server.plots.journal import Journal

EVENT_ID = "^[0-9]{0,9}$"
"""The pattern of an event's id, which may be empty."""


class UnknownEvent(PlotifyError):
    """The Last-Event-ID is not an event of the plot."""

    status = 400


def position(last_event_id: str, journal: Journal) -> int:
    """Return the number of events up to this one; 0 for "". Raises UnknownEvent."""
    there = len(journal.feed.items)
    if not re.fullmatch(EVENT_ID, last_event_id) or int(last_event_id or 0) > there:
        raise UnknownEvent(
            f"Last-Event-ID is {last_event_id[:40]!r}; it must be the id of an event of this plot, "
            f"and the latest is {there}. Leave it out to get all events."
        )
    return int(last_event_id or 0)


async def frames(journal: Journal, after: int, heartbeat: float) -> AsyncIterator[bytes]:
    """Yield the events after the first `after`, with their numbers as ids; all ready ones in one piece.

    Yield a comment after `heartbeat` seconds without an event.
    """
    yield RETRY
    async for events in journal.feed.follow(after, heartbeat):
        yield b"".join(sse.event(each, each.name, id) for id, each in enumerate(events, after + 1)) or HEARTBEAT
        after += len(events)
