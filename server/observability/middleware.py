"""Gives each request an id, counts, logs and traces it, and edits the head of its response."""

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from litestar.connection import ASGIConnection
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from server.http.access import Access
from server.http.headers import HeadEdit
from server.http.request import CLIENT_LEFT
from server.http.request_id import HEADER, identify, request_id
from server.http.sse import EVENT_STREAM
from server.observability.metrics import HttpCollector

if TYPE_CHECKING:
    from server.observability.traces import Tracer

logger = logging.getLogger(__name__)

METHODS = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"))
NOWHERE = "none"
"""The route in metrics of requests without a route."""


MAX_SEGMENT = 12
"""Characters of a path's segment in the log, if the path has no route. A secret has 22."""


@dataclass
class ResponseInfo:
    """The response to a client: its status, and the bytes of its body. stream: True for an event stream."""

    status: int = CLIENT_LEFT
    bytes: int = 0
    stream: bool = False


class RequestMiddleware:
    """Wraps the whole app, because Litestar's own middleware sees only requests with a route."""

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        edge: HttpCollector,
        tracer: "Tracer | None",
        edits: Sequence[HeadEdit] = (),
    ) -> None:
        self._app = app
        self._access = access
        self._edge = edge
        self._tracer = tracer
        self._edits = edits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the app, and record the response."""
        if scope["type"] == ScopeType.WEBSOCKET:
            await self._app(scope, receive, send)
            return
        headers = Headers.from_scope(scope)
        id = identify(headers.get(HEADER.lower(), ""))
        # For the rest of the task, which serves only this request, also for logs after the app has answered.
        request_id.set(id)
        answer, start = ResponseInfo(), time.perf_counter()

        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.body":
                answer.bytes += len(message["body"])
            elif message["type"] == "http.response.start":
                told = MutableScopeHeaders.from_message(message)
                told[HEADER] = id
                for edit in self._edits:
                    edit(message, scope)
                answer.status = message["status"]
                if told.get("content-type", "").startswith(EVENT_STREAM):
                    answer.stream = True
                    self._edge.streams += 1
            await send(message)

        with self._tracer.request(scope["path"], headers) if self._tracer else nullcontext():
            try:
                await self._app(scope, receive, pass_on)
            except Exception:
                if answer.status == CLIENT_LEFT:
                    answer.status = 500  # uvicorn's status if the app fails before it answers
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
    """Return the route of a request, to use for the path. A path may be enough to read somebody's plot."""
    return scope.get("path_template") or NOWHERE


def _beginning(path: str) -> str:
    """Return the first two segments of a path without a route, enough to recognise its purpose.

    Longer ones may be the token of a share, or the id of a plot.
    """
    _, *segments = path.split("/")
    told = ["…" if len(segment) > MAX_SEGMENT else quote(segment) for segment in segments[:2]]
    return "/" + "/".join([*told, *(["…"] if len(segments) > 2 and told[-1] != "…" else [])])
