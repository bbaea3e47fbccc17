"""Gives each request an id, counts it, logs it, and traces it if traces are on."""

import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from litestar.connection import ASGIConnection
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from server.http.access import Access
from server.http.request import CLIENT_LEFT
from server.http.request_id import HEADER, identify, request_id
from server.http.sse import EVENT_STREAM
from server.observability.metrics import HttpCollector

if TYPE_CHECKING:
    from server.observability.traces import Tracer

logger = logging.getLogger(__name__)

METHODS = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"))
NOWHERE = "none"
"""The route of requests that have none."""


@dataclass
class ResponseInfo:
    """The response to a client: its status, the bytes of its body. stream: it is a stream of events."""

    status: int = CLIENT_LEFT
    bytes: int = 0
    stream: bool = False


class RequestMiddleware:
    """Wraps a whole app, since Litestar's own middleware sees only requests that have a route."""

    def __init__(self, app: ASGIApp, access: Access, edge: HttpCollector, tracer: "Tracer | None") -> None:
        self._app = app
        self._access = access
        self._edge = edge
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request to the app, and records the response."""
        if scope["type"] == ScopeType.WEBSOCKET:
            await self._app(scope, receive, send)
            return
        headers = Headers.from_scope(scope)
        id = identify(headers.get(HEADER.lower(), ""))
        # For the rest of the task, which is this request's own: what is logged of it after the app is done, too.
        request_id.set(id)
        answer, start = ResponseInfo(), time.perf_counter()

        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = MutableScopeHeaders.from_message(message)
                told[HEADER] = id
                answer.status = message["status"]
                if told.get("content-type", "").startswith(EVENT_STREAM):
                    answer.stream = True
                    self._edge.streams += 1
            elif message["type"] == "http.response.body":
                answer.bytes += len(message["body"])
            await send(message)

        with self._tracer.request(scope["path"], headers) if self._tracer else nullcontext():
            try:
                await self._app(scope, receive, pass_on)
            except Exception:
                if answer.status == CLIENT_LEFT:
                    answer.status = 500  # what uvicorn says where the app has said nothing
                raise
            finally:
                if answer.stream:
                    self._edge.streams -= 1
                self._tell(scope, answer, time.perf_counter() - start)

    def _tell(self, scope: HTTPScope, answer: ResponseInfo, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = route_of(scope)
        self._edge.answered[method, route, answer.status] += 1
        if self._tracer:
            self._tracer.answered(method, route, answer.status)
        if logger.isEnabledFor(logging.INFO):
            connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
            fields = {
                "method": method,
                "path": route if route != NOWHERE else _beginning(scope["path"]),
                "status": answer.status,
                "ms": round(seconds * 1000, 1),
                "bytes": answer.bytes,
                "client": self._access.client_of(connection),
            }
            told = "{method} {path} {status}, {ms} ms, {bytes} bytes, {client}".format(**fields)
            logger.info(told, extra={"fields": fields})


def route_of(scope: Scope) -> str:
    """The route of a request, in place of its path: what stands in that may be all it takes to read somebody's plot."""
    return scope.get("path_template") or NOWHERE


def _beginning(path: str) -> str:
    """Enough of a path that has no route to see what was meant: its first two segments."""
    _, *segments = path.split("/")
    return quote("/" + "/".join(segments[:2]))[:80] + ("/…" if len(segments) > 2 else "")
