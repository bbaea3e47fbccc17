"""The journal of a plot: every reader gets each event once, from any start, with any cut."""

import asyncio
import re

import pytest
from httpx_sse import ServerSentEvent
from httpx_sse._decoders import SSEDecoder
from hypothesis import given
from hypothesis import strategies as st

from server.engine import EngineError
from server.http.sse import HEARTBEAT, RETRY
from server.plots.events import UnknownEvent, frames, position
from server.plots.journal import Done, Event, Failed, Journal, Token
from server.writing.usage import Usage
from tests.server.dictated import Dictated
from tests.server.virtual_time import run

TEXTS = st.lists(st.text(min_size=1), max_size=20)


async def written(texts: list[str]) -> Journal:
    """Return the journal of a plot that has ended."""
    plot = Dictated()
    for text in texts:
        plot.say(text)
    plot.end("stop")
    journal = Journal("an id", plot)
    await journal.write()
    return journal


def parse(stream: bytes) -> list[ServerSentEvent]:
    """Return the complete events."""
    decoder = SSEDecoder()
    lines = stream.decode(errors="replace").split("\n")[:-1]
    return [event for line in lines if (event := decoder.decode(line)) is not None]


async def read(journal: Journal, after: int = 0, heartbeat: float = 15) -> bytes:
    return b"".join([piece async for piece in frames(journal, after, heartbeat)])


def test_tokens_then_how_it_ended() -> None:
    journal = run(written([" ran", " off."]))
    done = Done("stop", Usage(3, 2, 5), 7)
    assert journal.feed.items == [Token(" ran"), Token(" off."), done]
    assert journal.text == " ran off."
    assert run(read(journal)) == (
        b"retry: 1000\n"
        b'id: 1\nevent: token\ndata: {"text":" ran"}\n\n'
        b'id: 2\nevent: token\ndata: {"text":" off."}\n\n'
        b'id: 3\nevent: done\ndata: {"finish_reason":"stop",'
        b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5},"seed":7}\n\n'
    )


@given(TEXTS, st.lists(st.floats(0, 1), max_size=10))
def test_a_stream_that_is_cut_anywhere_is_resumed_without_loss(texts: list[str], cuts: list[float]) -> None:
    async def cut_again_and_again() -> list[ServerSentEvent]:
        journal, found = await written(texts), list[ServerSentEvent]()
        for cut in [*cuts, 1.0]:
            rest = await read(journal, position(found[-1].id if found else "", journal))
            found += parse(rest[: int(cut * len(rest))])
        return found

    events = run(cut_again_and_again())
    assert [event.id for event in events] == [str(number) for number in range(1, len(texts) + 2)]
    assert [event.json()["text"] for event in events[:-1]] == texts


@given(TEXTS, st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), min_size=1, max_size=5))
def test_every_reader_gets_everything_whenever_it_comes_and_however_slow_it_is(
    texts: list[str], readers: list[tuple[int, int]]
) -> None:
    async def all_follow() -> tuple[list[Event], list[list[Event]]]:
        plot = Dictated()
        journal = Journal("an id", plot)

        async def follow(arrival: int, pause: int) -> list[Event]:
            await asyncio.sleep(arrival)
            found: list[Event] = []
            async for events in journal.feed.follow(0, 1000):
                found += events
                await asyncio.sleep(pause)
            return found

        async def dictate() -> None:
            for text in texts:
                plot.say(text)
                await asyncio.sleep(1)
            plot.end("length")

        async with asyncio.TaskGroup() as group:
            group.create_task(journal.write())
            group.create_task(dictate())
            following = [group.create_task(follow(*reader)) for reader in readers]
        return journal.feed.items, [each.result() for each in following]

    events, found = run(all_follow())
    assert [event.text for event in events if isinstance(event, Token)] == texts
    assert found == [events] * len(readers)


def test_what_is_ready_goes_out_at_once() -> None:
    async def pieces() -> list[bytes]:
        return [piece async for piece in frames(await written(["a", "b", "c"]), 1, 15)]

    first, second = run(pieces())
    assert first == RETRY
    assert [event.id for event in parse(second)] == ["2", "3", "4"]


def test_silence_is_filled_with_comments() -> None:
    async def follow() -> tuple[bytes, float]:
        plot = Dictated()
        journal = Journal("an id", plot)
        async with asyncio.TaskGroup() as group:
            group.create_task(journal.write())
            reading = group.create_task(read(journal, heartbeat=15))
            await asyncio.sleep(50)
            plot.say("a")
            await asyncio.sleep(16)
            plot.end("stop")
        return reading.result(), asyncio.get_running_loop().time()

    stream, seconds = run(follow())
    assert seconds == 66
    assert re.sub(rb"id: .*?\n\n", b"X", stream, flags=re.DOTALL) == RETRY + HEARTBEAT * 3 + b"X" + HEARTBEAT + b"X"
    assert [event.event for event in parse(stream)] == ["token", "done"]


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (EngineError("out of memory"), "The plot broke off: out of memory."),
        (ZeroDivisionError("division by zero"), "The plot broke off: something went wrong in the server."),
    ],
)
def test_a_plot_that_breaks_off_ends_with_an_error(failure: Exception, says: str) -> None:
    async def break_off() -> Journal:
        plot = Dictated()
        journal = Journal("an id", plot)
        plot.say(" ran")
        plot.fail(failure)
        await journal.write()
        return journal

    journal = run(break_off())
    assert journal.feed.items == [Token(" ran"), Failed(says)]


@pytest.mark.parametrize(("typed", "after"), [("", 0), ("0", 0), ("1", 1), ("3", 3), ("003", 3)])
def test_a_reader_goes_on_behind_the_last_event_it_had(typed: str, after: int) -> None:
    assert position(typed, run(written(["a", "b"]))) == after


@given(st.text(min_size=1).filter(lambda text: not re.fullmatch("0*[0-3]", text)))
def test_an_id_that_is_none_is_refused(typed: str) -> None:
    with pytest.raises(UnknownEvent, match=r"(?s)Last-Event-ID is .* the latest is 3\."):
        position(typed, run(written(["a", "b"])))
