"""Server-sent events, and the text of a stream as it arrives."""

from collections.abc import AsyncIterable, Iterable
from time import perf_counter
from typing import Any

import httpx
from httpx_sse import EventSource

DONE = "[DONE]"
"""The data of the last event."""


class Failure(Exception):
    """The server has answered with an error. Locust counts these by message."""


def events(content_type: str, pieces: Iterable[bytes] | AsyncIterable[bytes]) -> EventSource:
    """Return the events of a response, each as soon as it is complete.

    Raises:
        SSEError: the content type is another one.
    """
    return EventSource(httpx.Response(200, headers={"Content-Type": content_type}, content=pieces))


class Stream:
    """The text of a stream so far. Times are those of `perf_counter`.

    Attributes:
        submitted: the time the request was due.
        opened: the time of its headers.
        arrivals: the time of each piece of text.
        usage: the server's counts of tokens, once they have arrived.
    """

    def __init__(self, submitted: float | None = None) -> None:
        self.submitted = perf_counter() if submitted is None else submitted
        self.opened: float | None = None
        self.arrivals: list[float] = []
        self.text = ""
        self.usage: dict[str, int] = {}

    @property
    def tokens(self) -> int:
        """The number of new tokens: the server's count, or one for each arrival without it."""
        return self.usage.get("completion_tokens", len(self.arrivals))

    def add(self, text: str) -> float | None:
        """Add a piece of text. Return the seconds since the previous one or the beginning; None if empty."""
        if not text:
            return None
        before = self.arrivals[-1] if self.arrivals else self.submitted
        self.arrivals.append(perf_counter())
        self.text += text
        return self.arrivals[-1] - before

    def read(self, chunk: dict[str, Any]) -> float | None:
        """Add a chunk of /v1/completions. Return the same as `add`.

        Raises:
            Failure: the chunk is an error.
        """
        if "error" in chunk:
            raise Failure(str(chunk["error"].get("message", chunk["error"])))
        self.usage = chunk.get("usage") or self.usage
        return self.add("".join(choice["text"] for choice in chunk["choices"]))
