"""The app's end of the channel to a replica."""

import asyncio
from collections.abc import Iterable
from typing import Self

from server.cluster.frames import Frames
from server.cluster.messages import Cancel, Failure, Hello, Step, decode_step, encode
from server.cluster.remote_group import RemoteGroup
from server.engine import DeadlineExceeded, EngineError, Observer, StepStats

GONE = "the replica is gone"


class ReplicaChannel:
    """Has a replica generate the requests of this app. Belongs to one event loop.

    observer: is told about each step.
    """

    def __init__(self, frames: Frames, observer: Observer) -> None:
        self._frames = frames
        self._observer = observer
        self._groups: dict[int, RemoteGroup] = {}
        self._ends: dict[int, asyncio.Future[str | None]] = {}
        self._closed = False

    @classmethod
    async def connect(cls, address: tuple[str, int], key: bytes, app: str, observer: Observer) -> Self:
        """Connect to a replica. app: the name of this app. Raises OSError."""
        frames = await Frames.connect(address, key)
        frames.send(encode(Hello(app)))
        return cls(frames, observer)

    @property
    def rows(self) -> int:
        """The cache rows of the requests on this channel."""
        return sum(group.remote.rows for group in self._groups.values())

    async def run(self) -> None:
        """Deliver the text until the replica ends. Then all requests on the channel are lost."""
        try:
            while (frame := await self._frames.receive()) is not None:
                self._deliver(decode_step(frame))
        finally:
            self._closed = True
            self._frames.close()
            for group in list(self._groups.values()):
                self._end(group, GONE)

    async def generate(self, group: RemoteGroup) -> str | None:
        """Have a group generated. Return the reason if another replica must do it, otherwise None.

        Raises EngineError. The rows of a group whose task is cancelled are free within a step.
        """
        if self._closed:
            return GONE
        id = group.remote.id
        self._groups[id] = group
        end: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._ends[id] = end
        self._frames.send(encode(group.remote))
        if group.ended:  # before another replica was lost
            self._cancel(group, group.ended)
        try:
            return await end
        finally:
            if id in self._groups:  # the task was cancelled
                del self._groups[id], self._ends[id]
                self._cancel(group, range(group.remote.count))

    def _deliver(self, message: Step) -> None:
        step = StepStats()
        for id, seconds in message.begun:
            if (group := self._groups.get(id)) is not None:
                group.begin(seconds, step)
        for id, number, chunk in message.chunks:
            if (group := self._groups.get(id)) is not None:
                try:
                    group.take(number, chunk, step)
                except EngineError as error:
                    self._cancel(group, range(group.remote.count))
                    self._end(group, error)
                else:
                    self._leave(group)
        for failure in message.failures:
            if (group := self._groups.get(failure.id)) is not None:
                self._fail(group, failure, step)
        step.deliver(self._observer)

    def _fail(self, group: RemoteGroup, failure: Failure, step: StepStats) -> None:
        error = DeadlineExceeded() if failure.kind == "deadline" else EngineError(failure.message)
        if failure.number is None:
            self._end(group, failure.message if failure.kind == "lost" else error)
        else:
            group.take(failure.number, error, step)
            self._leave(group)

    def _leave(self, group: RemoteGroup) -> None:
        """Stop the continuations without a reader. End the group after the last continuation."""
        left = group.remove_cancelled()
        if left:
            self._cancel(group, left)
        if not group.running:
            self._end(group, None)

    def _cancel(self, group: RemoteGroup, numbers: Iterable[int]) -> None:
        self._frames.send(encode(Cancel(group.remote.id, list(numbers))))

    def _end(self, group: RemoteGroup, result: str | EngineError | None) -> None:
        del self._groups[group.remote.id]
        end = self._ends.pop(group.remote.id)
        if end.done():  # the task is just being cancelled
            return
        if isinstance(result, EngineError):
            end.set_exception(result)
        else:
            end.set_result(result)
