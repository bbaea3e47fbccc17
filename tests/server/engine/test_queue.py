"""The engine's queue: order, limits, cancelling, draining and closing."""

import gc
import random
import threading
from dataclasses import replace

import pytest

from server.bundle import Bundle
from server.engine import (
    Chunk,
    DeadlineExceeded,
    Engine,
    EngineBusy,
    EngineConfig,
    EngineError,
    Request,
    Sampling,
    Stream,
)
from tests.server.live import wait_until_idle
from tests.server.reading import GREEDY, PROMPT, one_by_one, some_requests, tokens_of
from tests.server.runs import Run

ENDLESS = Sampling(max_tokens=100, ignore_end=True)


def test_cancelling_stops_within_one_decode_step(engine: Engine, slow_decoding: float, runs: list[Run]) -> None:
    stream = engine.submit(Request(PROMPT, ENDLESS))
    next(stream)
    stream.cancel()
    begun = len(runs)
    assert list(stream)[-1] == Chunk("", (), "cancelled")
    wait_until_idle(engine)
    assert len(runs) <= begun + 1
    assert list(stream) == []


def test_a_stream_that_nobody_holds_stops(engine: Engine, slow_decoding: float, runs: list[Run]) -> None:
    stream = engine.submit(Request(PROMPT, ENDLESS))
    next(stream)
    begun = len(runs)
    del stream
    gc.collect()
    wait_until_idle(engine)
    assert len(runs) <= begun + 1


def test_cancelling_wakes_a_reader(bundle: Bundle, slow_decoding: float) -> None:
    with Engine(bundle, EngineConfig(threads=1, rows=1)) as engine:
        blocking, waiting = (engine.submit(Request(PROMPT, ENDLESS)) for _ in range(2))
        next(blocking)
        threading.Timer(0.1, waiting.cancel).start()
        assert [chunk.finish_reason for chunk in waiting] == ["cancelled"]
        assert (engine.running, engine.queued) == (1, 0)
        blocking.cancel()


def test_one_continuation_may_leave_and_the_others_go_on(engine: Engine, slow_decoding: float) -> None:
    request = Request(PROMPT, replace(ENDLESS, max_tokens=12, seed=1))
    expected = [tokens_of(stream) for stream in engine.submit_several(request, 3)]
    streams = engine.submit_several(request, 3)
    next(streams[1])
    streams[1].cancel()
    assert [tokens_of(streams[0]), tokens_of(streams[2])] == [expected[0], expected[2]]
    early = engine.submit_several(request, 3)
    early[0].cancel()
    assert [tokens_of(stream) for stream in early[1:]] == expected[1:]


def test_the_queue_is_bounded_and_frees_itself(bundle: Bundle, slow_decoding: float) -> None:
    with Engine(bundle, EngineConfig(threads=1, queue=4, rows=1)) as engine:
        running = engine.submit(Request(PROMPT, ENDLESS))
        next(running)
        waiting = [engine.submit(Request(PROMPT, GREEDY)) for _ in range(engine.config.queue)]
        assert (engine.running, engine.queued) == (1, engine.config.queue)
        with pytest.raises(EngineBusy, match="too many requests are waiting already; try again"):
            engine.submit(Request(PROMPT, GREEDY))
        waiting[1].cancel()
        assert engine.queued == engine.config.queue - 1
        last = engine.submit(Request(PROMPT, replace(GREEDY, max_tokens=2)))
        for stream in (running, *waiting):
            stream.cancel()
        assert len(tokens_of(last)) == 2


def test_the_queue_is_as_long_as_the_rows_that_are_waited_for(bundle: Bundle, slow_decoding: float) -> None:
    """A request may need more rows than are left if a one-row request fits: otherwise it never could run."""
    with Engine(bundle, EngineConfig(threads=1, queue=4, rows=4)) as engine:
        request = Request(PROMPT, ENDLESS)
        running = engine.submit_several(request, 4)
        next(running[0])
        assert (engine.running, engine.queued) == (4, 0)
        three, four = engine.submit_several(request, 3), engine.submit_several(request, 4)
        assert engine.queued == 2
        for stream in three:
            with pytest.raises(EngineBusy, match="too many requests are waiting already"):
                engine.submit(request)
            stream.cancel()
        with pytest.raises(EngineBusy, match="too many requests are waiting already"):
            engine.submit(request)
        for stream in four:
            stream.cancel()
        assert engine.queued == 0
        alone = engine.submit(request)
        assert engine.queued == 1
        for stream in (*running, alone):
            stream.cancel()


def test_a_client_who_fills_the_queue_keeps_nobody_out(bundle: Bundle, slow_decoding: float) -> None:
    """A client with nothing queued is let in until as many clients wait as there are rows."""
    requests = {client: Request(PROMPT, ENDLESS, client=client) for client in "abcde"}
    with Engine(bundle, EngineConfig(threads=1, queue=2, rows=4)) as engine:
        streams = engine.submit_several(requests["a"], 4)
        next(streams[0])
        streams += engine.submit_several(requests["a"], 4)
        for client, let_in in (*((client, True) for client in "bcd"), ("b", False), ("e", False), ("a", False)):
            if let_in:
                streams.append(engine.submit(requests[client]))
            else:
                with pytest.raises(EngineBusy, match="too many requests are waiting already"):
                    engine.submit(requests[client])
        for stream in streams:
            stream.cancel()


def test_queued_requests_are_served_in_their_order(bundle: Bundle) -> None:
    """Also behind a request for all rows."""
    with Engine(bundle, EngineConfig(threads=1, queue=20, rows=4)) as engine:
        sampling = replace(ENDLESS, max_tokens=40)
        first = engine.submit_several(Request(PROMPT, sampling), 4)
        guided = Request(PROMPT, replace(sampling, guidance=2.0), against="A detective in Lisbon")
        wide = engine.submit_several(guided, 2)
        last = engine.submit(Request(PROMPT, replace(sampling, max_tokens=1)))
        assert len(tokens_of(last)) == 1
        assert (engine.running, engine.queued) == (0, 0), "the others ended before"
        assert [len(tokens_of(stream)) for stream in (*first, *wide)] == [40] * 6


def test_a_client_with_many_requests_starves_nobody(bundle: Bundle) -> None:
    """Another client's request is next, not behind the two hundred."""
    with Engine(bundle, EngineConfig(threads=1, queue=300, rows=1)) as engine:
        many = [engine.submit(Request(PROMPT, ENDLESS, client="a")) for _ in range(200)]
        next(many[0])
        assert len(tokens_of(engine.submit(Request(PROMPT, replace(ENDLESS, max_tokens=2), client="b")))) == 2
        assert engine.queued > 190
        for stream in many:
            stream.cancel()


def test_a_request_ends_at_its_deadline_wherever_it_is(bundle: Bundle, slow_decoding: float) -> None:
    with Engine(bundle, EngineConfig(threads=1, queue=4, rows=2, deadline=1)) as engine:
        streams = [
            *engine.submit_several(Request(PROMPT, ENDLESS), 2),
            *(engine.submit(Request(PROMPT, ENDLESS)) for _ in range(2)),
        ]
        for stream in streams:
            with pytest.raises(DeadlineExceeded, match="took longer than the server allows"):
                list(stream)
            assert list(stream) == []
        wait_until_idle(engine)
        assert len(tokens_of(engine.submit(Request(PROMPT, replace(ENDLESS, max_tokens=2))))) == 2


def test_a_refused_request_is_told_when_to_come_again(bundle: Bundle, slow_decoding: float) -> None:
    """The hint is the time to empty the queue, at the pace of the latest sequences."""
    with Engine(bundle, EngineConfig(threads=1, queue=10, rows=1)) as engine:
        for _ in range(4):
            tokens_of(engine.submit(Request(PROMPT, replace(ENDLESS, max_tokens=20))))
        streams = [engine.submit(Request(PROMPT, ENDLESS)) for _ in range(11)]
        with pytest.raises(EngineBusy) as caught:
            engine.submit(Request(PROMPT, ENDLESS))
        assert str(caught.value).endswith(f"try again in {caught.value.retry_after} seconds")
        assert 8 <= caught.value.retry_after <= 60, "ten are queued, about a second each"
        for stream in streams:
            stream.cancel()


def test_draining_finishes_what_there_is_and_takes_nothing_more(bundle: Bundle, slow_decoding: float) -> None:
    with Engine(bundle, EngineConfig(threads=1, queue=4, rows=1)) as engine:
        assert (engine.state, engine.ready) == ("ready", True)
        streams = [engine.submit(Request(PROMPT, replace(ENDLESS, max_tokens=5))) for _ in range(3)]
        engine.drain()
        assert (engine.state, engine.ready) == ("draining", False)
        with pytest.raises(EngineBusy, match="the server is about to stop; try again in 5 seconds"):
            engine.submit(Request(PROMPT, GREEDY))
        assert [len(tokens_of(stream)) for stream in streams] == [5, 5, 5]
    assert engine.state == "closed"


@pytest.mark.timeout(60)
def test_closing_ends_every_stream(bundle: Bundle, slow_decoding: float) -> None:
    """Running, queued, and with a reader waiting for the next chunk."""
    engine = Engine(bundle, EngineConfig(threads=1, rows=20))
    streams = [engine.submit(Request(PROMPT, ENDLESS)) for _ in range(26)]
    for stream in streams[:20]:
        next(stream)
    assert (engine.running, engine.queued) == (20, 6)
    ends: list[str] = []

    def read(stream: Stream) -> None:
        try:
            list(stream)
        except EngineError as error:
            ends.append(str(error))

    readers = [threading.Thread(target=read, args=(stream,)) for stream in streams[:8] + streams[20:23]]
    for reader in readers:
        reader.start()
    engine.close()
    for reader in readers:
        reader.join()
    assert ends == ["the engine was closed"] * 11
    for stream in streams[8:20] + streams[23:]:
        with pytest.raises(EngineError, match="closed"):
            list(stream)
        assert list(stream) == []
    assert (engine.running, engine.queued) == (0, 0)
    with pytest.raises(EngineError, match="closed"):
        engine.submit(Request(PROMPT, GREEDY))
    engine.close()


@pytest.mark.timeout(120)
def test_a_storm_of_those_who_come_and_go_leaves_the_others_as_they_were(bundle: Bundle) -> None:
    """Six threads submit and cancel at random, while one reads all its streams to the end."""
    asked = some_requests(30, seed=11)
    with Engine(bundle, EngineConfig(threads=1, kept=0)) as engine:
        expected = one_by_one(engine, asked)
    with Engine(bundle, EngineConfig(threads=1, rows=4, kept=3, queue=1)) as engine:
        calm = threading.Event()
        busy = 0

        def come_and_go(seed: int) -> None:
            nonlocal busy
            chance = random.Random(seed)
            while not calm.is_set():
                request = chance.choice(asked)
                try:
                    streams = engine.submit_several(request, chance.randint(1, 2))
                except EngineBusy:
                    busy += 1
                    continue
                for stream in streams:
                    for _ in range(chance.choice((0, 0, 1, 3))):
                        next(stream, None)
                    if chance.random() < 0.7:
                        stream.cancel()

        storm = [threading.Thread(target=come_and_go, args=(seed,)) for seed in range(6)]
        for thread in storm:
            thread.start()
        found: list[list[int]] = []
        try:
            while len(found) < len(asked):
                try:
                    found.append(tokens_of(engine.submit(asked[len(found)])))
                except EngineBusy:
                    continue
        finally:
            calm.set()
            for thread in storm:
                thread.join()
        wait_until_idle(engine)
        assert found == expected
        assert busy > 0
        assert one_by_one(engine, asked[:3]) == expected[:3]
