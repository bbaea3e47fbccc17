"""A plot's journal as server-sent events: how they are framed, and where a reader goes on."""

import re
from collections.abc import AsyncIterator

import msgspec

from server.errors import PlotifyError
from server.plots.journal import Event, Journal

# No empty line after these: it would end an event, and there are clients that then see one with nothing in it.

RETRY = b"retry: 1000\n"
"""After so many milliseconds a browser that lost its connection comes back."""

HEARTBEAT = b":\n"
"""A comment: says nothing, and shows whoever stands between that the connection is alive."""


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
    """The events behind the first `after`, each with its number as its id; one piece for all that are ready.

    A comment whenever there were none for `heartbeat` seconds.
    """
    yield RETRY
    async for events in journal.feed.follow(after, heartbeat):
        yield b"".join(_frame(id, event) for id, event in enumerate(events, after + 1)) or HEARTBEAT
        after += len(events)


def _frame(id: int, event: Event) -> bytes:
    # JSON of msgspec is one line.
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (id, event.name.encode(), msgspec.json.encode(event))
