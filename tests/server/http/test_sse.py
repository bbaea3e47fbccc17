"""Server-sent events are framed as the standard says."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from litestar.testing import RequestFactory

from server.http.sse import EVENT_STREAM, HEARTBEAT, RETRY, EventStream, event


@pytest.mark.parametrize(
    ("framed", "expected"),
    [
        (event({"text": "a"}), b'data: {"text":"a"}\n\n'),
        (event([], "done"), b"event: done\ndata: []\n\n"),
        (event("a", "token", "7"), b'id: 7\nevent: token\ndata: "a"\n\n'),
        (event("a", id="0"), b'id: 0\ndata: "a"\n\n'),
        (event(msgspec.Raw(b"[DONE]")), b"data: [DONE]\n\n"),
    ],
)
def test_fields_come_in_order_and_an_empty_line_ends_them(framed: bytes, expected: bytes) -> None:
    assert framed == expected


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\n\nb", "ü\u2028\u0085"])
def test_data_stays_on_one_line(text: str) -> None:
    framed = event({"text": text})
    assert framed.count(b"\n") == 2
    assert json.loads(framed.removeprefix(b"data: "))["text"] == text


def test_heartbeat_and_retry_end_no_event() -> None:
    for line in (HEARTBEAT, RETRY):
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")


async def answered(events: AsyncIterator[bytes], *, leaves: bool) -> tuple[list[Any], int]:
    """Send events to a client. Return the messages to it, and how often the end was announced.

    leaves: at once.
    """
    sent: list[Any] = []
    ends: list[None] = []

    async def receive() -> Any:
        if not leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    response = EventStream(events, lambda: ends.append(None))
    sender = response.to_asgi_response(None, RequestFactory().get(), headers={"X-Route": "its own"})
    try:
        await sender({}, receive, send)  # type: ignore[arg-type]
    except RuntimeError as error:
        sent.append(error)
    return sent, len(ends)


async def ending(error: Exception | None = None) -> AsyncIterator[bytes]:
    yield b"data: 1\n\n"
    yield b"data: 2\n\ndata: 3\n\n"
    if error:
        raise error


async def endless() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


def test_a_stream_is_sent_piece_by_piece_and_its_end_is_announced_once() -> None:
    (head, *body), ends = asyncio.run(answered(ending(), leaves=False))
    headers = {name.decode(): value.decode() for name, value in head["headers"]}
    assert headers["content-type"].split(";")[0] == EVENT_STREAM
    assert (head["status"], headers["x-route"], headers["cache-control"]) == (200, "its own", "no-store")
    assert [message["body"] for message in body] == [b"data: 1\n\n", b"data: 2\n\ndata: 3\n\n", b""]
    assert [message["more_body"] for message in body] == [True, True, False]
    assert ends == 1


def test_the_end_is_announced_if_the_client_leaves_before_the_first_event() -> None:
    (_, *body), ends = asyncio.run(answered(endless(), leaves=True))
    assert (body, ends) == ([], 1)


def test_the_end_is_announced_if_the_events_fail() -> None:
    failure = RuntimeError("the engine is gone")
    (_, *body), ends = asyncio.run(answered(ending(failure), leaves=False))
    assert (body[-1], len(body), ends) == (failure, 3, 1)
