"""A plot's journal as server-sent events."""

from collections.abc import AsyncIterator

from server.http import sse
from server.http.sse import HEARTBEAT, RETRY
from server.plots.journal import Failed, Journal, Token
from server.plots.place import END, LastEvent, TextDiffers, UnknownEvent


async def frames(journal: Journal, last: LastEvent, heartbeat: float) -> AsyncIterator[bytes]:
    """Yield the events after the last one that a client has; all ready ones in one piece.

    Yield a comment after `heartbeat` seconds without an event. If the client has another text, or an event that the
    plot does not have, yield an error.
    """
    yield RETRY
    if last.ended:
        return
    try:
        async for events in journal.until(last, heartbeat):
            if not events:
                yield HEARTBEAT
        position = journal.position(last)
    except (TextDiffers, UnknownEvent) as error:
        place = last.place or journal.place
        yield sse.event(Failed(error.message), Failed.name, f"{place.id}{END}")
        return
    if position is None:  # the client comes back for the rest, perhaps to another server
        return
    after, characters = position
    async for events in journal.feed.follow(after, heartbeat):
        first = events[0] if events else None
        if characters and isinstance(first, Token):
            events[0], characters = Token(first.text[characters:]), 0
        ids = journal.ids[after : after + len(events)]
        yield b"".join(sse.event(each, each.name, id) for id, each in zip(ids, events, strict=True)) or HEARTBEAT
        after += len(events)
