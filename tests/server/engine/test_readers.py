"""Readers on event loops: many at once, on several loops, slow ones, and absent ones."""

import asyncio
import threading
from dataclasses import replace

import pytest

from server.bundle import Bundle
from server.engine import Chunk, Engine, EngineConfig, Request, Sampling, Stream, merged
from tests.server.live import wait_until_idle
from tests.server.reading import GREEDY, PROMPT, one_by_one, text_of, tokens_of

pytestmark = pytest.mark.timeout(60)


async def read(stream: Stream) -> list[int]:
    return [token async for chunk in stream for token in chunk.token_ids]


def test_many_at_once_get_what_one_alone_gets(engine: Engine) -> None:
    alone = [text_of(engine.submit(Request(PROMPT, Sampling(seed=seed)))) for seed in range(4)]
    streams = [engine.submit(Request(PROMPT, Sampling(seed=seed))) for seed in range(4)]

    async def read_all() -> list[str]:
        async def text(index: int) -> str:
            return "".join([chunk.text async for chunk in streams[index]])

        return list(await asyncio.gather(*map(text, reversed(range(4)))))

    assert asyncio.run(read_all())[::-1] == alone


def test_two_event_loops_and_a_thread_read_at_once(bundle: Bundle) -> None:
    requests = [Request(PROMPT, Sampling(max_tokens=30, seed=seed, ignore_end=True)) for seed in range(50)]
    with Engine(bundle, EngineConfig(threads=1, rows=24, queue=50)) as engine:
        expected = one_by_one(engine, requests)
        found: dict[int, list[int]] = {}

        async def ask_and_read(index: int) -> None:
            found[index] = await read(engine.submit(requests[index]))

        async def ask_all(indices: range) -> None:
            await asyncio.gather(*map(ask_and_read, indices))

        loops = [
            threading.Thread(target=lambda part=part: asyncio.run(ask_all(part))) for part in (range(20), range(20, 40))
        ]
        for loop in loops:
            loop.start()
        streams = [engine.submit(requests[index]) for index in range(40, 50)]
        found |= {index: tokens_of(stream) for index, stream in enumerate(streams, start=40)}
        for loop in loops:
            loop.join()
    assert [found[index] for index in range(50)] == expected


def test_a_reader_that_stops_reading_holds_nobody_up(bundle: Bundle) -> None:
    """It finds everything when it comes back."""
    request = Request(PROMPT, Sampling(max_tokens=40, seed=1, ignore_end=True))
    with Engine(bundle, EngineConfig(threads=1, rows=2)) as engine:
        (expected,) = one_by_one(engine, [request])

        async def stop_reading_and_come_back() -> list[int]:
            idle = engine.submit(request)
            first = await anext(idle)
            for seed in range(5):
                assert len(await read(engine.submit(Request(PROMPT, replace(request.sampling, seed=seed))))) == 40
            return [*first.token_ids, *await read(idle)]

        assert asyncio.run(stop_reading_and_come_back()) == expected


def test_several_streams_are_read_by_one_task_and_what_has_piled_up_in_one_piece(engine: Engine) -> None:
    request = Request(PROMPT, Sampling(max_tokens=12, seed=3, ignore_end=True))
    alone = [tokens_of(stream) for stream in engine.submit_several(request, 3)]

    async def read_all() -> tuple[list[list[int]], int]:
        streams, found, pieces = engine.submit_several(request, 3), [list[int]() for _ in range(3)], 0
        async for ready in merged(streams):
            assert len(asyncio.all_tasks()) == 1
            for index, item in ready:
                assert isinstance(item, Chunk)
                found[index] += item.token_ids
            pieces += 1
            await asyncio.to_thread(wait_until_idle, engine)
        return found, pieces

    found, pieces = asyncio.run(read_all())
    assert found == alone
    assert pieces <= 2


def test_a_reader_may_give_up_waiting_and_try_again(engine: Engine, slow_decoding: float) -> None:
    request = Request(PROMPT, replace(GREEDY, max_tokens=5))
    (expected,) = one_by_one(engine, [request])

    async def impatiently() -> list[int]:
        stream, found = engine.submit(request), list[int]()
        while len(found) < len(expected):
            try:
                async with asyncio.timeout(slow_decoding / 5):
                    found += (await anext(stream)).token_ids
            except TimeoutError:
                continue
        return found

    assert asyncio.run(impatiently()) == expected


def test_a_reader_that_gave_up_keeps_nobody_asleep(engine: Engine, slow_decoding: float) -> None:
    """A step wakes all readers on one event loop together."""
    request = Request(PROMPT, replace(GREEDY, max_tokens=10, seed=1))

    async def one_gives_up() -> list[int]:
        leaving, staying = engine.submit_several(request, 2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(slow_decoding / 2):
                await read(leaving)
        return await read(staying)

    assert len(asyncio.run(one_gives_up())) == 10


def test_the_event_loop_stays_free_while_a_stream_is_read(engine: Engine, slow_decoding: float) -> None:
    async def count_while_reading() -> int:
        ticks, reading = 0, asyncio.create_task(read(engine.submit(Request(PROMPT, replace(GREEDY, max_tokens=8)))))
        while not reading.done():
            ticks += 1
            await asyncio.sleep(slow_decoding / 5)
        return ticks

    assert asyncio.run(count_while_reading()) >= 16


def test_a_reader_whose_event_loop_has_ended_is_no_longer_served(engine: Engine, slow_decoding: float) -> None:
    stream = engine.submit(Request(PROMPT, replace(GREEDY, max_tokens=100)))

    async def wait_a_little() -> None:
        async with asyncio.timeout(slow_decoding / 2):
            await read(stream)

    with pytest.raises(TimeoutError):
        asyncio.run(wait_a_little())
    wait_until_idle(engine)
    assert engine.steps < 100
