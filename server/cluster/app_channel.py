"""The replica's ends of its channels, one for each app."""

import asyncio
import logging
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Literal, Self

from server.cluster.frames import Frames
from server.cluster.messages import Cancel, Failure, Hello, RemoteRequest, Step, decode_app_message, encode
from server.engine import (
    AnyEngine,
    DeadlineExceeded,
    EngineBusy,
    EngineClosed,
    EngineError,
    InvalidRequest,
    Item,
    Observer,
    SequenceStats,
    Status,
    StreamSet,
)

logger = logging.getLogger(__name__)

SPACING = 0.002
"""Seconds between two messages to an app, times its texts in progress.

Each text in a message costs the app and its proxy a fraction of this. Under light load each step's tokens are sent at
once, under heavy load those of several steps together.
"""

KEY_BYTES = 32


class QueuedObserver(Observer):
    """Observes an engine. all_stats: those of the last request."""

    def __init__(self) -> None:
        self.all_stats: list[SequenceStats] = []

    def queued(self, all_stats: list[SequenceStats]) -> None:
        """Remember the sequences. `submit_several` calls this before it returns."""
        self.all_stats = all_stats


@dataclass
class Progress:
    """A request in progress.

    running: the numbers of its unfinished continuations. stats: of the first one. begun: its first text is sent.
    """

    remote: RemoteRequest
    stats: SequenceStats
    running: set[int]
    begun: bool = False


class AppChannel:
    """Generates what an app asks for. Belongs to one event loop. app: its name."""

    def __init__(self, frames: Frames, engine: AnyEngine, observer: QueuedObserver) -> None:
        self.app = ""
        self._frames = frames
        self._engine = engine
        self._observer = observer
        self._requests: dict[int, Progress] = {}
        self._streams = StreamSet[tuple[int, int]]()

    @property
    def rows(self) -> int:
        """The cache rows in use or in the queue."""
        return sum(each.remote.rows for each in self._requests.values())

    async def run(self) -> None:
        """Serve the app until it ends or closes the channel. Then free its rows, within a step."""
        sending = asyncio.create_task(self._send_steps())
        try:
            while (frame := await self._frames.receive()) is not None:
                match decode_app_message(frame):
                    case Hello(app):
                        self.app = app
                    case RemoteRequest() as remote:
                        self._begin(remote)
                    case Cancel(id, numbers):
                        for number in numbers:
                            self._end(id, number)
        finally:
            sending.cancel()
            self._streams.cancel()
            self._requests.clear()
            self._frames.close()

    def _begin(self, remote: RemoteRequest) -> None:
        try:
            streams = self._engine.submit_several(remote.request, remote.count)
        except (EngineBusy, InvalidRequest) as error:
            kind: Literal["lost", "failed"] = "lost" if isinstance(error, EngineBusy) else "failed"
            self._frames.send(encode(Step([], [], [Failure(remote.id, None, kind, str(error))])))
            return
        self._requests[remote.id] = Progress(remote, self._observer.all_stats[0], set(range(remote.count)))
        for number, stream in enumerate(streams):
            self._streams.add((remote.id, number), stream)

    async def _send_steps(self) -> None:
        try:
            while True:
                self._frames.send(encode(self._step(await self._streams.take())))
                await self._frames.sent()
                await asyncio.sleep(SPACING * len(self._streams))
        except OSError:
            pass  # the app has ended, which `run` sees, too
        finally:
            self._frames.close()

    def _step(self, items: list[tuple[tuple[int, int], Item]]) -> Step:
        step = Step([], [], [])
        for (id, number), item in items:
            progress = self._requests.get(id)
            if progress is None:  # another continuation was lost with the engine
                continue
            if isinstance(item, EngineError):
                step.failures.append(_failure(id, number, item))
            else:
                step.chunks.append((id, number, item))
                if not progress.begun:
                    progress.begun = True
                    stats = progress.stats
                    step.begun.append((id, max(stats.first_token_at - stats.scheduled_at, 0.0)))
            if isinstance(item, EngineClosed):
                for each in set(progress.running):
                    self._end(id, each)
            elif Status.after(item).final:
                self._end(id, number)
        return step

    def _end(self, id: int, number: int) -> None:
        """Stop a continuation, if it is running."""
        self._streams.remove((id, number))
        if id in self._requests:
            self._requests[id].running.discard(number)
            if not self._requests[id].running:
                del self._requests[id]


class AppChannels:
    """Listens for apps, and has a channel for each. Belongs to one event loop.

    address: host and port. key: what an app must know to be served.
    """

    def __init__(self, engine: AnyEngine) -> None:
        self.key = secrets.token_bytes(KEY_BYTES)
        self._engine = engine
        self._observer = QueuedObserver()
        self._channels: set[AppChannel] = set()
        engine.observers.add(self._observer)

    async def listen(self, host: str) -> Self:
        """Listen on any free port, and return self. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, 0)
        self.address: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return self

    @property
    def rows(self) -> dict[str, int]:
        """The cache rows in use or in the queue, by the names of the apps that have any."""
        rows = Counter[str]()
        for channel in self._channels:
            rows[channel.app] += channel.rows
        return dict(+rows)

    def close(self) -> None:
        """Listen no more. Apps notice the end of their channels when this process ends."""
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            frames = await Frames.accept(reader, writer, self.key)
        except OSError as error:
            logger.warning("A connection to the channel was refused: %s", error or "it is silent")
            return
        channel = AppChannel(frames, self._engine, self._observer)
        self._channels.add(channel)
        try:
            await channel.run()
        finally:
            self._channels.remove(channel)


def _failure(id: int, number: int, error: EngineError) -> Failure:
    if isinstance(error, EngineClosed):
        return Failure(id, None, "lost", str(error))
    return Failure(id, number, "deadline" if isinstance(error, DeadlineExceeded) else "failed", str(error))
