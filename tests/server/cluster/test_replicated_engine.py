"""The engine's interface over scripted replicas, with channels but without Ray."""

import asyncio
import dataclasses
import pickle
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from server.bundle import Bundle
from server.cluster import replicated_engine
from server.cluster.messages import Cancel, Failure, RemoteRequest, Step
from server.cluster.replicated_engine import ReplicatedEngine
from server.engine import (
    Chunk,
    ClientBusy,
    DeadlineExceeded,
    Engine,
    EngineBusy,
    EngineClosed,
    EngineError,
    InvalidRequest,
    PromptTooLong,
    Request,
    Sampling,
    Stream,
)
from server.settings import Settings
from tests.server.cluster.handles import STATS, Death, Handle, begun, forever, saying, writing
from tests.server.reading import text_of, tokens_of

REQUEST = Request("A fox", Sampling(max_tokens=20, seed=5, ignore_end=True), client="me")


def run(check: Callable[[ReplicatedEngine], Any], handle: Handle, bundle: Bundle, **settings: Any) -> None:
    async def opened() -> None:
        engine = await ReplicatedEngine(handle, Settings(model=bundle.path, **settings)).opened()  # type: ignore[arg-type]
        try:
            await check(engine)
        finally:
            await asyncio.to_thread(engine.close)
            await handle.close()
        assert engine.running == engine.queued == 0

    asyncio.run(opened())


async def read(stream: Stream) -> str:
    return text_of([chunk async for chunk in stream])


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicated_engine, "MIN_PAUSE", 0.001)
    monkeypatch.setattr(replicated_engine, "LOOK", 0.01)
    monkeypatch.setattr(replicated_engine, "ASK", 0.01)


@pytest.mark.parametrize("end", ["died", "lost"])
@pytest.mark.parametrize("items", [0, 1, 7])
def test_another_replica_goes_on_where_one_was_lost(end: str, items: int, engine: Engine, bundle: Bundle) -> None:
    texts = [text_of(stream) for stream in engine.submit_several(REQUEST, 2)]
    handle = Handle(writing(engine, items, end), writing(engine, items + 2, end), writing(engine))

    async def check(remote: ReplicatedEngine) -> None:
        streams = remote.submit_several(REQUEST, 2)
        assert [stream.seed for stream in streams] == [5, 6]
        assert list(await asyncio.gather(*map(read, streams))) == texts
        assert remote.generated == 40

    run(check, handle, bundle)
    first, second, third = (remote.request for remote in handle.remotes)
    assert (first.drawn_with, second.drawn_with, third.drawn_with) == ("", "bits", "bits")
    without = [replace(each, drawn=(), drawn_with="") for each in (second, third)]
    assert without == [first] * 2, "the same text and seed"
    assert (first.drawn, bool(second.drawn) and any(second.drawn)) == ((), items > 0)
    for number, tokens in enumerate(tokens_of(stream) for stream in engine.submit_several(REQUEST, 2)):
        earlier, later = (list(request.drawn[number]) for request in (second, third))
        assert tokens[: len(later)] == later
        assert later[: len(earlier)] == earlier


def test_another_replica_writes_only_what_had_not_ended(engine: Engine, bundle: Bundle) -> None:
    chunks = [list(stream) for stream in engine.submit_several(REQUEST, 2)]

    async def ends_one(_: RemoteRequest) -> AsyncIterator[Step]:
        steps = [(0, 0, chunk) for chunk in chunks[0]] + [(0, 1, chunk) for chunk in chunks[1][:3]]
        yield Step(steps, [(0, 0.1)], [])
        raise Death

    handle = Handle(ends_one, writing(engine))

    async def check(remote: ReplicatedEngine) -> None:
        streams = remote.submit_several(REQUEST, 2)
        assert list(await asyncio.gather(*map(read, streams))) == [text_of(each) for each in chunks]

    run(check, handle, bundle)
    delivered = tuple(token for chunk in chunks[1][:3] for token in chunk.token_ids)
    assert handle.remotes[1].request.drawn == ((), delivered)
    assert Cancel(0, [0]) in handle.messages


def test_a_seed_is_drawn_before_anything_is_sent(engine: Engine, bundle: Bundle) -> None:
    handle = Handle(writing(engine, 3, "died"), writing(engine))

    async def check(remote: ReplicatedEngine) -> None:
        stream = remote.submit(Request("A fox", Sampling(max_tokens=20)))
        text = await read(stream)
        assert {remote.request.sampling.seed for remote in handle.remotes} == {stream.seed}
        assert text == text_of(engine.submit(Request("A fox", Sampling(max_tokens=20, seed=stream.seed))))

    run(check, handle, bundle)


def test_two_texts_are_never_mixed(engine: Engine, bundle: Bundle) -> None:
    async def check(remote: ReplicatedEngine) -> None:
        with pytest.raises(EngineError, match="a different one"):
            await read(remote.submit(REQUEST))

    run(check, Handle(writing(engine, 3, "died"), saying((0, Chunk("x", (1,))))), bundle)


@pytest.mark.parametrize(
    ("failure", "error", "says"),
    [
        (Failure(0, 0, "failed", "the model failed"), EngineError, "the model failed"),
        (Failure(0, 0, "deadline", "too long"), DeadlineExceeded, "longer than the server allows"),
        (Failure(0, None, "failed", "the prompt is too long"), EngineError, "the prompt is too long"),
    ],
)
def test_a_failure_that_no_other_replica_can_help_ends_the_text(
    failure: Failure, error: type[EngineError], says: str, bundle: Bundle
) -> None:
    async def fail(_: RemoteRequest) -> AsyncIterator[Step]:
        yield Step([], [], [failure])

    handle = Handle(fail)

    async def check(remote: ReplicatedEngine) -> None:
        with pytest.raises(error, match=says):
            await read(remote.submit(REQUEST))

    run(check, handle, bundle)
    assert len(handle.remotes) == 1


def test_a_request_that_loses_one_after_the_other_ends_with_an_error(engine: Engine, bundle: Bundle) -> None:
    handle = Handle(writing(engine, 2, "died"))

    async def check(remote: ReplicatedEngine) -> None:
        with pytest.raises(EngineError, match="one after another"):
            await read(remote.submit(REQUEST))

    run(check, handle, bundle)
    assert len(handle.remotes) == replicated_engine.ATTEMPTS


def test_a_request_may_take_so_long_wherever_it_is(bundle: Bundle) -> None:
    async def check(remote: ReplicatedEngine) -> None:
        with pytest.raises(DeadlineExceeded):
            await read(remote.submit(REQUEST))

    run(check, Handle(forever), bundle, deadline=1)


def test_errors_of_a_request_come_at_once(engine: Engine, bundle: Bundle) -> None:
    async def check(remote: ReplicatedEngine) -> None:
        with pytest.raises(PromptTooLong):
            remote.submit(Request("fox " * 500))
        with pytest.raises(InvalidRequest, match="1 to 4"):
            remote.submit_several(REQUEST, 5)
        stream = remote.submit(REQUEST)
        with pytest.raises(ClientBusy, match="you have 1 already"):
            remote.submit_several(REQUEST, 2)
        stream.cancel()
        remote.submit_several(REQUEST, 2)

    run(check, Handle(forever), bundle, rows=4, per_client=2)


def test_all_rows_and_the_queue_of_all_replicas_are_given_away(bundle: Bundle) -> None:
    handle = Handle(forever)
    handle.stats = [STATS, dataclasses.replace(STATS, id="b")]

    async def check(remote: ReplicatedEngine) -> None:
        kept = [remote.submit(REQUEST) for _ in range(2 * (4 + 1))]
        with pytest.raises(EngineBusy, match="too many requests are waiting already; try again in 3 seconds"):
            remote.submit(REQUEST)
        kept[0].cancel()
        remote.submit(REQUEST)

    run(check, handle, bundle, rows=4, queue=1)


def test_the_queue_stays_bounded_where_a_replica_is_lost(bundle: Bundle) -> None:
    """More rows are then in use than exist."""
    handle = Handle(*[begun] * 8, forever)
    handle.stats = [STATS, dataclasses.replace(STATS, id="b")]

    async def check(remote: ReplicatedEngine) -> None:
        streams = [remote.submit(REQUEST) for _ in range(8)]
        while remote.running < 8:
            await asyncio.sleep(0.01)
        handle.stats = [STATS]
        while remote.replicas > 1:
            await asyncio.sleep(0.01)
        for client, let_in in (*((client, True) for client in "abcd"), ("a", False), ("e", False)):
            request = dataclasses.replace(REQUEST, client=client)
            if let_in:
                streams.append(remote.submit(request))
            else:
                with pytest.raises(EngineBusy, match="too many requests are waiting already"):
                    remote.submit(request)

    run(check, handle, bundle, rows=4, queue=1)


def test_whoever_leaves_is_not_written_any_longer(engine: Engine, bundle: Bundle) -> None:
    handle = Handle(forever)

    async def check(remote: ReplicatedEngine) -> None:
        stream = remote.submit(REQUEST)
        while not handle.remotes:
            await asyncio.sleep(0.01)
        stream.cancel()
        assert (await anext(stream)).finish_reason == "cancelled"
        while Cancel(0, [0]) not in handle.messages:
            await asyncio.sleep(0.01)

    run(check, handle, bundle)


def test_one_of_several_leaves_and_the_others_are_written(bundle: Bundle) -> None:
    handle = Handle(saying((0, Chunk("a", (1,))), (1, Chunk("b", (2,)))))

    async def check(remote: ReplicatedEngine) -> None:
        left, other = remote.submit_several(REQUEST, 2)
        await anext(left)
        left.cancel("stop")
        while Cancel(0, [0]) not in handle.messages:
            assert (await anext(other)).text == "b"
        assert remote.running == 1

    run(check, handle, bundle)


def test_rows_of_other_apps_count(bundle: Bundle) -> None:
    handle = Handle(forever)
    handle.stats = [dataclasses.replace(STATS, rows={"another app": 3})]

    async def check(remote: ReplicatedEngine) -> None:
        kept = [remote.submit(REQUEST) for _ in range(4 + 1 - 3)]
        with pytest.raises(EngineBusy, match="too many requests are waiting already"):
            remote.submit(REQUEST)
        kept[0].cancel()
        remote.submit(REQUEST)

    run(check, handle, bundle, rows=4, queue=1)


def test_a_lost_request_goes_to_a_replica_that_did_not_lose_it(engine: Engine, bundle: Bundle) -> None:
    handle = Handle(writing(engine, 2, "lost"), writing(engine))
    handle.stats = [STATS, dataclasses.replace(STATS, id="b")]

    async def check(remote: ReplicatedEngine) -> None:
        stream = remote.submit(REQUEST)
        await read(stream)
        while remote._groups:
            await asyncio.sleep(0.01)

    run(check, handle, bundle)
    assert len(set(handle.channels)) == len(handle.channels) == 2


def test_it_is_ready_while_a_replica_is(bundle: Bundle) -> None:
    handle = Handle(forever)

    async def check(remote: ReplicatedEngine) -> None:
        for answer, state in ((ActorDiedError(), "restarting"), (STATS, "ready")):
            handle.stats = [ActorDiedError(), answer]
            while remote.state != state:
                await asyncio.sleep(0.01)
            assert remote.ready == (state == "ready")
        remote.drain()
        assert remote.state == "draining"
        with pytest.raises(EngineBusy, match="about to stop"):
            remote.submit(REQUEST)

    run(check, handle, bundle)


def test_closing_ends_what_is_under_way(bundle: Bundle) -> None:
    async def check(remote: ReplicatedEngine) -> None:
        stream = remote.submit(REQUEST)
        await asyncio.to_thread(remote.close)
        with pytest.raises(EngineClosed):
            await read(stream)

    run(check, Handle(forever), bundle)


@pytest.mark.parametrize(
    "error",
    [EngineBusy("full", 7), ClientBusy("yours"), PromptTooLong(9, 3), DeadlineExceeded(), InvalidRequest("no")],
    ids=lambda error: type(error).__name__,
)
def test_errors_arrive_as_they_are(error: Exception) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), str(arrived), vars(arrived)) == (type(error), str(error), vars(error))
