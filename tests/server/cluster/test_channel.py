"""The channel between an app and an engine, without Ray."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from server.cluster import app_channel, frames
from server.cluster.app_channel import AppChannels
from server.cluster.frames import Frames
from server.cluster.messages import RemoteRequest, Step, encode
from server.cluster.remote_group import RemoteGroup
from server.cluster.replica_channel import GONE, ReplicaChannel
from server.engine import Chunk, Engine, Observers, Request, Sampling, SequenceStats, Stream
from tests.server.reading import text_of

LOCAL = "127.0.0.1"
Check = Callable[[AppChannels], Awaitable[None]]


def run(engine: Engine, check: Check) -> None:
    async def listening() -> None:
        channels = await AppChannels(engine).listen(LOCAL)
        try:
            await check(channels)
        finally:
            channels.close()

    asyncio.run(listening())


def request(engine: Engine, max_tokens: int = 20, logprobs: int | None = None) -> Request:
    prompt = engine.tokenizer.encode_prompt("A fox", 50)
    return Request(prompt, Sampling(max_tokens, seed=5, ignore_end=True, logprobs=logprobs))


class App:
    """An app with a channel, and the streams of its requests."""

    def __init__(self, channel: ReplicaChannel) -> None:
        self.channel = channel
        self.running = asyncio.create_task(channel.run())
        self._next = 0

    @classmethod
    async def of(cls, channels: AppChannels, name: str = "app") -> "App":
        return cls(await ReplicaChannel.connect(channels.address, channels.key, name, Observers()))

    def submit(self, request: Request, count: int = 1) -> tuple[list[Stream], "asyncio.Task[str | None]"]:
        remote = RemoteRequest(self._next, request, count, count)
        self._next += 1
        group = RemoteGroup(remote, [SequenceStats(Observers()) for _ in range(count)])
        streams = [Stream(channel, 0, 0) for channel in group.channels]
        return streams, asyncio.create_task(self.channel.generate(group))

    async def leave(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


async def read(stream: Stream) -> list[Chunk]:
    return [chunk async for chunk in stream]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def test_what_comes_over_a_channel_is_what_the_engine_generates(engine: Engine) -> None:
    asked = request(engine, logprobs=2)
    here = [list(stream) for stream in engine.submit_several(asked, 2)]

    async def check(channels: AppChannels) -> None:
        app = await App.of(channels)
        streams, end = app.submit(asked, 2)
        assert list(await asyncio.gather(*map(read, streams))) == here
        assert await end is None
        assert channels.rows == {}
        await app.leave()

    run(engine, check)


def test_the_texts_of_an_app_share_one_message_a_step(
    engine: Engine, slow_decoding: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With time between steps, each message has a token of each text."""
    monkeypatch.setattr(app_channel, "SPACING", 0)
    sent: list[int] = []

    def counting(message: object) -> bytes:
        if isinstance(message, Step):
            sent.append(len(message.chunks))
        return encode(message)

    monkeypatch.setattr(app_channel, "encode", counting)

    async def check(channels: AppChannels) -> None:
        app = await App.of(channels)
        before = engine.steps
        streams, end = app.submit(request(engine), 3)
        await asyncio.gather(*map(read, streams))
        assert await end is None
        assert len(sent) <= engine.steps - before + 1
        assert max(sent) >= 3
        await app.leave()

    run(engine, check)


def test_an_app_that_ends_frees_its_rows_and_no_others(engine: Engine, slow_decoding: float) -> None:
    expected = text_of(engine.submit(request(engine)))

    async def check(channels: AppChannels) -> None:
        leaving, staying = await App.of(channels, "leaving"), await App.of(channels, "staying")
        _, lost = leaving.submit(request(engine), 2)
        (stream,), end = staying.submit(request(engine))
        await anext(stream_of_chunks := aiter(stream))
        assert channels.rows == {"leaving": 2, "staying": 1}
        await leaving.leave()
        assert await lost == GONE
        await until(lambda: channels.rows == {"staying": 1} and engine.running == 1)
        text = text_of([chunk async for chunk in stream_of_chunks])
        assert expected.endswith(text)
        assert await end is None
        await staying.leave()

    run(engine, check)


def test_a_reader_that_leaves_frees_the_row_and_its_neighbour_goes_on(engine: Engine, slow_decoding: float) -> None:
    async def check(channels: AppChannels) -> None:
        app = await App.of(channels)
        (leaving, staying), end = app.submit(request(engine), 2)
        await anext(leaving)
        leaving.cancel()
        await until(lambda: engine.running == 1)
        assert await read(staying)
        assert await end is None
        await app.leave()

    run(engine, check)


def test_a_request_whose_task_is_cancelled_is_not_generated_any_longer(engine: Engine, slow_decoding: float) -> None:
    async def check(channels: AppChannels) -> None:
        app = await App.of(channels)
        (stream, _), end = app.submit(request(engine), 2)
        await anext(stream)
        end.cancel()
        await until(lambda: engine.running == 0 and channels.rows == {})
        await app.leave()

    run(engine, check)


def test_an_engine_that_closes_loses_its_requests_to_another(engine: Engine, slow_decoding: float) -> None:
    async def check(channels: AppChannels) -> None:
        app = await App.of(channels)
        (stream, _), end = app.submit(request(engine, max_tokens=100), 2)
        await anext(stream)
        await asyncio.to_thread(engine.close)
        assert await end == "the engine was closed"
        _, refused = app.submit(request(engine))
        assert "the engine is closed" in str(await refused)
        assert channels.rows == {}
        await app.leave()

    run(engine, check)


def test_who_does_not_know_the_key_is_refused(engine: Engine) -> None:
    async def check(channels: AppChannels) -> None:
        with pytest.raises(ConnectionError):
            await ReplicaChannel.connect(channels.address, b"a guess", "app", Observers())
        assert not channels._channels

    run(engine, check)


def test_a_stranger_who_took_over_the_address_gets_no_prompt() -> None:
    async def check() -> None:
        came = asyncio.get_running_loop().create_future()

        async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(bytes(frames.NUMBER_BYTES + frames.PROOF_BYTES))
            came.set_result(await reader.read())
            writer.close()

        async with await asyncio.start_server(stranger, LOCAL, 0) as server:
            with pytest.raises(ConnectionError, match="does not know the key"):
                await Frames.connect(server.sockets[0].getsockname(), b"the key")
            assert len(await came) == frames.NUMBER_BYTES + frames.PROOF_BYTES

    asyncio.run(check())


def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "PATIENCE", 0.05)

    async def check() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(silent, LOCAL, 0) as server:
            with pytest.raises(TimeoutError):
                await Frames.connect(server.sockets[0].getsockname(), b"the key")

    asyncio.run(check())


def test_frames_come_whole_until_the_other_end_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [b"", b"a", bytes(1_000_000)]

    async def check(too_long: bytes | None) -> None:
        async def replica(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            end = await Frames.accept(reader, writer, b"the key")
            for frame in sent:
                end.send(frame)
            if too_long is not None:
                end.send(too_long)
            end.close()
            end.send(b"nobody gets this")

        async with await asyncio.start_server(replica, LOCAL, 0) as server:
            end = await Frames.connect(server.sockets[0].getsockname(), b"the key")
            assert [await end.receive() for _ in sent] == sent
            assert await end.receive() is None
            end.close()

    asyncio.run(check(None))
    monkeypatch.setattr(frames, "LONGEST", 1_000_000)
    asyncio.run(check(bytes(1_000_001)))
