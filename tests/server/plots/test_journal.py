"""The journal of a plot: every reader gets each event once, from any start, with any cut."""

import asyncio
import re

import pytest
from httpx_sse import ServerSentEvent
from httpx_sse._decoders import SSEDecoder
from hypothesis import given
from hypothesis import strategies as st

from server.engine import EngineClosed, EngineError, FinishReason
from server.http.sse import HEARTBEAT, RETRY
from server.plots.events import frames
from server.plots.journal import Done, Ending, EndReason, Event, Failed, Journal, Token
from server.plots.place import FIRST, START, Digest, LastEvent, Place, TextDiffers, UnknownEvent
from server.writing.usage import Usage
from tests.server.dictated import Dictated
from tests.server.virtual_time import run

TEXTS = st.lists(st.text(min_size=1), max_size=20)


def journal_of(plot: Dictated, known: Ending | None = None, again: bool = False) -> Journal:
    return Journal("an id", plot.opening, plot.seed, plot.prompt_tokens, known, again)


async def write(journal: Journal, plot: Dictated) -> None:
    """Write a plot to its end."""
    journal.finish(await journal.write(plot))


async def written(texts: list[str], reason: FinishReason = "stop", known: Ending | None = None) -> Journal:
    """Return the journal of a plot that has ended."""
    plot = Dictated()
    for text in texts:
        plot.say(text)
    plot.end(reason)
    journal = journal_of(plot, known)
    await write(journal, plot)
    return journal


def place(*texts: str) -> Place:
    """Return the place after these tokens."""
    return Place(len(texts), Digest("".join(texts)).value)


def parse(stream: bytes) -> list[ServerSentEvent]:
    """Return the complete events."""
    decoder = SSEDecoder()
    lines = stream.decode(errors="replace").split("\n")[:-1]
    return [event for line in lines if (event := decoder.decode(line)) is not None]


async def read(journal: Journal, last: LastEvent = FIRST, heartbeat: float = 15) -> bytes:
    return b"".join([piece async for piece in frames(journal, last, heartbeat)])


def test_tokens_then_how_it_ended() -> None:
    journal = run(written([" ran", " off."]))
    done = Done("stop", Usage(3, 2, 5), 7)
    assert journal.feed.items == [Token(" ran"), Token(" off."), done]
    assert journal.text == " ran off."
    assert run(read(journal)) == (
        b"retry: 1000\n"
        b'id: 1-14c9832860\nevent: token\ndata: {"text":" ran"}\n\n'
        b'id: 2-6f36850388\nevent: token\ndata: {"text":" off."}\n\n'
        b'id: 2-6f36850388-end\nevent: done\ndata: {"finish_reason":"stop",'
        b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5},"seed":7}\n\n'
    )


@given(TEXTS, st.lists(st.floats(0, 1), max_size=10))
def test_a_stream_that_is_cut_anywhere_is_resumed_without_loss(texts: list[str], cuts: list[float]) -> None:
    async def cut_again_and_again() -> list[ServerSentEvent]:
        journal, found = await written(texts), list[ServerSentEvent]()
        for cut in [*cuts, 1.0]:
            rest = await read(journal, LastEvent.read(found[-1].id if found else ""))
            found += parse(rest[: int(cut * len(rest))])
        return found

    events = run(cut_again_and_again())
    assert [event.id.split("-")[0] for event in events] == [*map(str, range(1, len(texts) + 1)), str(len(texts))]
    assert [event.json()["text"] for event in events[:-1]] == texts


@given(TEXTS, st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), min_size=1, max_size=5))
def test_every_reader_gets_everything_whenever_it_comes_and_however_slow_it_is(
    texts: list[str], readers: list[tuple[int, int]]
) -> None:
    async def all_follow() -> tuple[list[Event], list[list[Event]]]:
        plot = Dictated()
        journal = journal_of(plot)

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
            group.create_task(write(journal, plot))
            group.create_task(dictate())
            following = [group.create_task(follow(*reader)) for reader in readers]
        return journal.feed.items, [each.result() for each in following]

    events, found = run(all_follow())
    assert [event.text for event in events if isinstance(event, Token)] == texts
    assert found == [events] * len(readers)


def test_what_is_ready_goes_out_at_once() -> None:
    async def pieces() -> list[bytes]:
        return [piece async for piece in frames(await written(["a", "b", "c"]), LastEvent(1), 15)]

    first, second = run(pieces())
    assert first == RETRY
    assert [event.id for event in parse(second)] == [
        place("a", "b").id,
        place("a", "b", "c").id,
        f"{place('a', 'b', 'c').id}-end",
    ]


def test_silence_is_filled_with_comments() -> None:
    async def follow() -> tuple[bytes, float]:
        plot = Dictated()
        journal = journal_of(plot)
        async with asyncio.TaskGroup() as group:
            group.create_task(write(journal, plot))
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
        journal = journal_of(plot)
        plot.say(" ran")
        plot.fail(failure)
        await write(journal, plot)
        return journal

    journal = run(break_off())
    assert journal.feed.items == [Token(" ran"), Failed(says)]


@pytest.mark.parametrize(
    ("typed", "after"),
    [
        ("", (0, 0)),
        ("0", (0, 0)),
        ("1", (1, 0)),
        ("3", (3, 0)),
        ("003", (3, 0)),
        (START.id, (0, 0)),
        (place("a").id, (1, 0)),
        (place("a", "bc").id, (2, 0)),
    ],
)
def test_a_reader_goes_on_behind_the_last_event_it_had(typed: str, after: tuple[int, int]) -> None:
    """Earlier versions gave numbers of events as ids."""
    assert run(written(["a", "bc"])).position(LastEvent.read(typed)) == after


def test_a_reader_goes_on_in_the_middle_of_an_event_if_another_server_has_cut_the_text_elsewhere() -> None:
    async def merged() -> bytes:
        plot = Dictated()
        plot.tokens = 2
        plot.say("abc")
        plot.say("d")
        plot.end("stop")
        journal = journal_of(plot)
        await write(journal, plot)
        return await read(journal, LastEvent(0, Place(2, Digest("ab").value)))

    events = parse(run(merged()))
    assert [event.json().get("text") for event in events] == ["c", "d", None]


@given(st.text(min_size=1).filter(lambda text: not re.fullmatch("0*[0-3]", text)))
def test_an_id_that_is_none_is_refused(typed: str) -> None:
    with pytest.raises(UnknownEvent, match=r"(?s)Last-Event-ID is "):
        run(written(["a", "b"])).position(LastEvent.read(typed))


def test_a_reader_with_another_text_is_told_and_gets_no_other_words() -> None:
    async def follow(last: Place) -> list[ServerSentEvent]:
        return parse(await read(await written(["a", "b"]), LastEvent(0, last)))

    for last in (Place(1, Digest("x").value), Place(2, Digest("xb").value), Place(3, Digest("abc").value)):
        [event] = run(follow(last))
        assert (event.event, event.id) == ("error", f"{last.id}-end")
        assert "its text differs from the one that was begun" in event.json()["message"]
        assert LastEvent.read(event.id).ended


def test_a_number_without_an_event_is_told_at_the_end_of_a_plot_that_is_generated_again() -> None:
    async def follow() -> list[ServerSentEvent]:
        plot = Dictated()
        plot.say("a")
        plot.end("stop")
        journal = journal_of(plot, again=True)
        await write(journal, plot)
        return parse(await read(journal, LastEvent(3)))

    [event] = run(follow())
    assert event.event == "error"
    assert "it must be the id of an event of this plot" in event.json()["message"]


def test_a_text_that_is_generated_again_reaches_the_reader_behind_its_place() -> None:
    async def catch_up() -> list[bytes]:
        plot = Dictated()
        journal = journal_of(plot, again=True)
        pieces: list[bytes] = []

        async def follow() -> None:
            async for piece in frames(journal, LastEvent(0, place("a", "b")), 15):
                pieces.append(piece)

        async with asyncio.TaskGroup() as group:
            group.create_task(write(journal, plot))
            group.create_task(follow())
            for text in "abc":
                await asyncio.sleep(20)
                plot.say(text)
            plot.end("stop")
        return pieces

    pieces = run(catch_up())
    assert pieces[:2] == [RETRY, HEARTBEAT]
    events = parse(b"".join(pieces))
    assert [event.json().get("text") for event in events] == ["c", None]


@pytest.mark.parametrize("reason", ["cancelled", "deadline", "failed"])
def test_generated_again_a_text_ends_where_it_ended_before(reason: EndReason) -> None:
    known = Ending(reason, place("a", "b"), "It took too long.")
    journal = run(written(["a", "b", "c"], known=known))
    assert (journal.text, journal.ending) == ("ab", known)
    merged = run(written(["a", "bc"], known=Ending(reason, Place(2, Digest("ab").value))))
    assert merged.text == "ab"


@pytest.mark.parametrize(
    ("texts", "known"),
    [
        (["a", "x"], Ending("stop", place("a", "b"))),
        (["a"], Ending("stop", place("a", "b"))),
        (["a", "b", "c"], Ending("stop", place("a", "b"))),
        (["a", "x", "c"], Ending("cancelled", place("a", "b"))),
        (["a"], Ending("cancelled", place("a", "b"))),
    ],
)
def test_a_text_that_comes_out_differently_is_noticed_at_its_end(texts: list[str], known: Ending) -> None:
    with pytest.raises(TextDiffers):
        run(written(texts, known=known))


def test_after_a_failure_of_the_engine_the_text_goes_on_where_it_was() -> None:
    async def fail_and_go_on(second: str) -> list[Event]:
        first, again = Dictated(), Dictated()
        journal = journal_of(first)
        first.say("ab")
        first.fail(EngineError("out of memory"))
        ending = await journal.write(first)
        assert ending is not None
        assert (ending.reason, ending.place.tokens) == ("failed", 1)
        for text in second:
            again.say(text)
        again.end("stop")
        await write(journal, again)
        return journal.feed.items

    assert run(fail_and_go_on("abc"))[:2] == [Token("ab"), Token("c")]
    for other in ("axc", "a"):
        with pytest.raises(TextDiffers):
            run(fail_and_go_on(other))


@pytest.mark.parametrize(
    ("elsewhere", "ending"),
    [
        (Ending("cancelled", START), Ending("cancelled", place("a", "b"))),
        (Ending("cancelled", place("a", "b", "c")), Ending("cancelled", place("a", "b"))),
        (Ending("deadline", place("a"), "Too long."), Ending("deadline", place("a", "b"), "Too long.")),
        (Ending("deadline", place("a", "b"), "Too long."), Ending("deadline", place("a", "b"), "Too long.")),
        (Ending("stop", place("a", "b", "c")), Ending("stop", place("a", "b", "c"))),
    ],
)
def test_a_text_that_has_ended_on_another_server_ends_here(elsewhere: Ending, ending: Ending) -> None:
    """The text that was there by then is still read."""

    async def learn() -> Journal:
        plot = Dictated()
        journal = journal_of(plot)

        async def dictate() -> None:
            plot.say("a")
            await asyncio.sleep(1)
            plot.say("b")
            journal.end_at(elsewhere)
            await asyncio.sleep(1)
            plot.say("c")
            plot.end("stop")

        async with asyncio.TaskGroup() as group:
            group.create_task(dictate())
            group.create_task(write(journal, plot))
        return journal

    assert run(learn()).ending == ending


def test_a_text_that_is_cut_off_by_the_end_of_its_server_has_no_end() -> None:
    async def close() -> tuple[bytes, Journal]:
        plot = Dictated()
        journal = journal_of(plot)
        plot.say("a")
        plot.fail(EngineClosed())
        await write(journal, plot)
        return await read(journal), journal

    stream, journal = run(close())
    assert [event.event for event in parse(stream)] == ["token"]
    assert (journal.end, journal.feed.ended) == (None, True)
    assert run(read(journal, LastEvent(0, place("a", "b")))) == RETRY
