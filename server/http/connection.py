"""Connections and their limits: their number, the size of a request's head, and the time to send it."""

import asyncio
import socket
import sys
from typing import Any

import h11
import uvicorn
from litestar import Litestar
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

from server.http.connection_limit import MAX_REFUSED, OVER_LIMIT
from server.settings import Settings, SettingsError

MAX_HEAD = 16 * 1024
"""Bytes of a request's line and headers. The server reads these, but never twice as many."""

OWN_FILES = 128
"""Open files besides the connections: of the bundle, the engine and the event loop."""

REFUSALS = {
    400: "The server cannot read this HTTP request.",
    408: "The request took too long to arrive; send it again.",
    431: f"The request's address and headers are longer than {MAX_HEAD} bytes; shorten them.",
}


class ServerConfig(uvicorn.Config):
    """The configuration of uvicorn, with the connection limits of the settings."""

    def __init__(self, app: Litestar, settings: Settings, **more: Any) -> None:
        super().__init__(app, http=Connection, ws="none", h11_max_incomplete_event_size=MAX_HEAD, **more)
        self.patience = settings.patience
        self.most = settings.connections


class Connection(H11Protocol):
    """A connection with time limits: for the head of a request, and for the client to read the response.

    The app limits the time of a body (`TimedRequest`), so that its error has the form of the route. Uvicorn's timeout
    between two requests limits the rest of a body after an early response.
    """

    def __init__(
        self,
        config: ServerConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.patience, self.most = config.patience, config.most
        self.head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection. Mark one over the limit, for the app to refuse; abort those far over it."""
        super().connection_made(transport)
        beyond = len(self.connections) - self.most
        if beyond > MAX_REFUSED:
            transport.abort()
            return
        if beyond > 0:
            self.app_state = self.app_state | {OVER_LIMIT: True}
        _end_with_its_reader(transport, self.patience)
        self.head_timer = self.loop.call_later(self.patience, self._end_late_head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # In pieces, because h11 checks the size only of incomplete heads.
        for start in range(0, len(data), MAX_HEAD):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + MAX_HEAD])

    def handle_events(self) -> None:
        """Process the request. Time its head, from the first byte to the last."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._stop_head_timer()
        elif self.head_timer is None and self.conn.trailing_data[0]:
            self.head_timer = self.loop.call_later(self.patience, self._end_late_head)
        if OVER_LIMIT in self.app_state and self.cycle:
            self.cycle.default_headers = [*self.server_state.default_headers, CLOSE_HEADER]

    def send_400_response(self, msg: str) -> None:
        """Answer a request that h11 cannot parse, with h11's status.

        An unknown transfer encoding gets 400 in place of h11's 501, because it is the client's mistake.
        """
        error = sys.exc_info()[1]
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(hint if hint in REFUSALS else 400)

    def _refuse(self, status: int) -> None:
        if self.cycle:
            self.cycle.disconnected = True  # the app may be answering the same request
        # A response that has begun can only break off.
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = f"{REFUSALS[status]}\n".encode()
            headers = [
                *self.server_state.default_headers,
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(body)).encode()),
                CLOSE_HEADER,
            ]
            answer = h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status])
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event))
        self.transport.close()

    def _end_late_head(self) -> None:
        if self.conn.trailing_data[0]:
            self._refuse(408)
        else:
            self.transport.close()  # browsers open spare connections

    def _stop_head_timer(self) -> None:
        if self.head_timer:
            self.head_timer.cancel()
            self.head_timer = None

    def _unset_keepalive_if_required(self) -> None:
        """Keep the timeout while a body trickles in after its response, possibly for ever."""
        if not (self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY):
            super()._unset_keepalive_if_required()

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing. Anyone can ask for an upgrade; the response ignores it."""


def allow_connections(connections: int) -> None:
    """Raise the limit on open files for the connections. Raises SettingsError if that is impossible."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + MAX_REFUSED + OWN_FILES
    if resource.RLIM_INFINITY in (soft, hard) or soft >= needed:
        return
    if hard < needed:
        raise SettingsError(
            f"PLOTIFY_CONNECTIONS is {connections}, which needs {needed} open files, and the limit is {hard}; "
            "set it lower, or raise the limit (ulimit -n)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _end_with_its_reader(transport: asyncio.Transport, seconds: int) -> None:
    """Make the kernel end the connection when its client has read nothing of the sent data for this long.

    Linux only (tcp(7), TCP_USER_TIMEOUT); on other systems, such a client keeps its connection.
    """
    connected = transport.get_extra_info("socket")
    if sys.platform == "linux" and connected is not None and connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)
