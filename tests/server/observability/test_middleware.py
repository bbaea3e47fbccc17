"""Failing requests: the app raises, or the client leaves."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from litestar.types import ASGIApp, Receive, Scope, Send

from server.http.access import Access
from server.http.keys import Keys
from server.observability.metrics import HttpCollector
from server.observability.middleware import RequestMiddleware

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}


def scope(path: str = "/") -> Any:
    return {"type": "http", "method": "GET", "path": path, "headers": [], "client": ("::1", 1), "query_string": b""}


def request(app: Callable[[Send], Awaitable[None]], edge: HttpCollector, path: str = "/") -> list[Any]:
    """Send a request to an observed app. Return its messages."""

    async def inner(_: Scope, __: Receive, send: Send) -> None:
        await app(send)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    sent: list[Any] = []
    wrapped: ASGIApp = RequestMiddleware(inner, Access(Keys("", None)), edge, None)
    asyncio.run(wrapped(scope(path), receive, send))  # type: ignore[arg-type]
    return sent


def test_an_app_that_raises_before_it_answers_has_failed() -> None:
    edge = HttpCollector()

    async def fail(_: Send) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        request(fail, edge)
    assert edge.answered == {("GET", "none", 500): 1}


def test_one_that_is_left_before_it_answers_has_not() -> None:
    edge = HttpCollector()

    async def leave(_: Send) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        request(leave, edge)
    assert edge.answered == {("GET", "none", 499): 1}


def test_a_stream_is_open_until_it_ends_however_it_does() -> None:
    edge = HttpCollector()
    seen = []

    async def break_off(send: Send) -> None:
        await send(START)  # type: ignore[arg-type]
        seen.append(edge.streams)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        request(break_off, edge)
    assert (seen, edge.streams) == ([1], 0)
    assert edge.answered == {("GET", "none", 200): 1}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/", "/"),
        ("/favicon.ico", "/favicon.ico"),
        ("/v1/chat/completions", "/v1/chat/…"),
        ("//a\nb/c", "//a%0Ab/…"),
        ("/" + "x" * 999, "/…"),
        ("", "/"),
        ("/shared/NEGRBrbdHuqkFcfC-XpzRg", "/shared/…"),
        ("/shelf/NEGRBrbdHuqkFcfC-XpzRg/favicon.ico", "/shelf/…"),
        ("/NEGRBrbdHuqkFcfC-XpzRg/about", "/…/about"),
        ("//shared/NEGRBrbdHuqkFcfC-XpzRg", "//shared/…"),
    ],
)
def test_a_path_without_a_route_is_told_by_its_beginning(
    caplog: pytest.LogCaptureFixture, path: str, told: str
) -> None:
    async def answer(send: Send) -> None:
        await send(START)  # type: ignore[arg-type]

    with caplog.at_level(logging.INFO, "server.observability.middleware"):
        (start,) = request(answer, HttpCollector(), path)
    (record,) = caplog.records
    assert record.__dict__["fields"]["path"] == told
    assert record.__dict__["fields"]["client"] == "::/64"
    assert [name for name, _ in start["headers"]] == [b"content-type", b"x-request-id"]
