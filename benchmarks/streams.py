"""Server-sent events, and a completion's stream that is read event by event."""

from collections.abc import AsyncIterable, Iterable
from time import perf_counter
from typing import Any

import httpx
from httpx_sse import EventSource

DONE = "[DONE]"
"""The data of the last event."""


class Failure(Exception):
    """The server says that it failed; Locust counts such answers by their words."""


def events(content_type: str, pieces: Iterable[bytes] | AsyncIterable[bytes]) -> EventSource:
    """The events of a response, each as soon as its last piece is there; other content types are an SSEError."""
    return EventSource(httpx.Response(200, headers={"Content-Type": content_type}, content=pieces))


class Stream:
    """A text as far as it has come. Times are those of `perf_counter`.

    submitted: when it was due. opened: when its headers came. arrivals: of each piece of text. usage: tokens by the
    server's count, once it is there.
    """

    def __init__(self, submitted: float | None = None) -> None:
        self.submitted = perf_counter() if submitted is None else submitted
        self.opened: float | None = None
        self.arrivals: list[float] = []
        self.text = ""
        self.usage: dict[str, int] = {}

    @property
    def tokens(self) -> int:
        """New tokens, as the server counts them, else one for each arrival."""
        return self.usage.get("completion_tokens", len(self.arrivals))

    def add(self, text: str) -> float | None:
        """Takes one more piece; seconds since the last one, or the beginning, and None for an empty piece."""
        if not text:
            return None
        before = self.arrivals[-1] if self.arrivals else self.submitted
        self.arrivals.append(perf_counter())
        self.text += text
        return self.arrivals[-1] - before

    def read(self, chunk: dict[str, Any]) -> float | None:
        """Takes a chunk of /v1/completions; seconds as `add`. Raises Failure for an error."""
        if "error" in chunk:
            raise Failure(str(chunk["error"].get("message", chunk["error"])))
        self.usage = chunk.get("usage") or self.usage
        return self.add("".join(choice["text"] for choice in chunk["choices"]))
