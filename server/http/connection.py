"""Connections and their limits: their number, the size of a request's head, and the time to send it."""

import asyncio
import socket
import sys
from typing import Any

import h11
import uvicorn
from litestar import Litestar
from uvicorn.protocols.http.flow_control import CLOSE_HEADER, FlowControl
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

from server.http.connection_limit import MAX_REFUSED, OVER_LIMIT
from server.http.framing import Framing
from server.settings import Settings, SettingsError

MAX_HEAD = 16 * 1024
"""Bytes of a request's line and headers. The server reads these, but never twice as many."""

MAX_PARSED = 1024
"""Bytes of heads and chunked bodies to parse at once. With chunks of one byte, h11 needs about 1 ms."""

LINGER = 1.0
"""Seconds to respond to a client that has closed its side, and to read on after a refusal."""

LATE_BODY = 5
"""Seconds for the next part of a body that the app has no use for, because it has responded."""

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
        super().__init__(
            app,
            http=Connection,
            ws="none",
            timeout_keep_alive=settings.keep_alive,
            **more,
        )
        self.patience = settings.patience
        self.most = settings.connections


class Reading(FlowControl):
    """Uvicorn's flow control, which also stops reading while the connection has something to parse."""

    held = False

    def hold(self, held: bool) -> None:
        """Stop reading, or go on unless uvicorn has stopped it too."""
        self.held = held
        self._apply()

    def pause_reading(self) -> None:
        self.read_paused = True
        self._apply()

    def resume_reading(self) -> None:
        self.read_paused = False
        self._apply()

    def _apply(self) -> None:
        if self._transport.is_closing():
            return
        if self.read_paused or self.held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


class Connection(H11Protocol):
    """A connection with time limits: for the head of a request, and for the client to read the response.

    The app limits the time of a body (`TimedRequest`), so that its error has the form of the route. Uvicorn's timeout
    between two requests limits the rest of a body after an early response.

    It parses in small parts, between which the event loop serves other connections.
    """

    def __init__(
        self,
        config: ServerConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = Framing(h11.SERVER, MAX_HEAD)
        self.patience, self.most = config.patience, config.most
        self.head_timer: asyncio.TimerHandle | None = None
        self.unparsed = bytearray()
        self.refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection. Mark one over the limit, for the app to refuse; abort those far over it."""
        super().connection_made(transport)
        self.flow: Reading = Reading(transport)
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
        """Parse what has come, in parts."""
        waiting = bool(self.unparsed)
        self.unparsed += data
        if not waiting:
            self._parse()

    def _parse(self) -> None:
        """Parse the next part. If more is left, let other connections go first."""
        if self.refused or self.transport.is_closing():
            self.unparsed.clear()
        else:
            framed = self.conn.their_state is h11.SEND_BODY and b"transfer-encoding" not in dict(self.headers)
            # Not more than a head, because h11 checks the size only of incomplete ones.
            part = bytes(self.unparsed[: MAX_HEAD if framed else MAX_PARSED])
            del self.unparsed[: len(part)]
            super().data_received(part)
        self.flow.hold(bool(self.unparsed))
        if self.unparsed:
            self.loop.call_soon(self._parse)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Return True to keep the connection for the response to a GET, for a second.

        A client that sends nothing more may still read. Most have left, and the work for a POST must end at once.
        """
        cycle = self.cycle
        if self.refused or cycle is None or cycle.more_body or cycle.response_started or self.scope["method"] != "GET":
            return False
        cycle.keep_alive = False
        self.loop.call_later(LINGER, self.transport.close)
        return True

    def on_response_complete(self) -> None:
        """Wait for the next request, or less long for the rest of this one."""
        late = self.conn.their_state is h11.SEND_BODY
        self.timeout_keep_alive = LATE_BODY if late else self.config.timeout_keep_alive
        super().on_response_complete()

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
        # If it closed while the client sends, the client would see a reset in place of the response (RFC 9112, 9.6).
        self.refused = True
        self._stop_head_timer()
        if not self.transport.is_closing():
            self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)

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
