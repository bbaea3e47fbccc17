"""A completion's stream, read event by event."""

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import httpx
from httpx_sse import EventSource

from benchmarks.loadtest.record import Asked

DONE = "[DONE]"
"""The data of the last event."""


class Failure(Exception):
    """An answer that is not what was asked for; Locust counts it by its words."""


def events_of(content_type: str, readline: Callable[[bytes], bytes]) -> Iterator[str]:
    """The data of each server-sent event as soon as it is there.

    readline: reads up to a separator, nothing at the end. Line by line, since the iterators of Locust's client wait
    until a block is full, which would be a second of tokens. Raises httpx_sse.SSEError for another content type.
    """
    lines = iter(lambda: bytes(readline(b"\n")), b"")
    response = httpx.Response(200, headers={"Content-Type": content_type}, content=lines)
    for event in EventSource(response).iter_sse():
        yield event.data


class Story:
    """A stream as far as it was read."""

    def __init__(self, submitted: float) -> None:
        self.submitted = submitted
        self.arrivals: list[float] = []
        self.text = ""
        self.usage: dict[str, int] = {}

    def read(self, chunk: dict[str, Any]) -> float | None:
        """Seconds since the last text, or the beginning; None for a chunk without text. Raises Failure for an error."""
        if "error" in chunk:
            raise Failure(str(chunk["error"].get("message", chunk["error"])))
        self.usage = chunk.get("usage") or self.usage
        text = "".join(choice["text"] for choice in chunk["choices"])
        if not text:
            return None
        self.text += text
        before = self.arrivals[-1] if self.arrivals else self.submitted
        self.arrivals.append(perf_counter())
        return self.arrivals[-1] - before

    def asked(self, behaviour: str, ended: float, problem: str | None) -> Asked:
        """What to write down of it."""
        tokens = self.usage.get("completion_tokens", len(self.arrivals))
        read = self.usage.get("prompt_tokens", 0)
        return Asked(behaviour, self.submitted, ended, self.arrivals, read, tokens, problem)
