"""Connections: how many there are, how large a request's head is, and how long a client may keep the server waiting."""

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
"""Bytes of a request's line and headers that are always read; of twice as many, none is."""

OWN_FILES = 128
"""Files that the process opens besides its connections: the bundle's, the engine's, the event loop's."""

REFUSALS = {
    400: "This is no HTTP request that can be read.",
    408: "The request took too long to arrive; send it again.",
    431: f"The request's address and headers are longer than {MAX_HEAD} bytes; send less of them.",
}


class ServerConfig(uvicorn.Config):
    """Uvicorn, with the limits of the settings on its connections."""

    def __init__(self, app: Litestar, settings: Settings, **more: Any) -> None:
        super().__init__(app, http=Connection, ws="none", h11_max_incomplete_event_size=MAX_HEAD, **more)
        self.patience = settings.patience
        self.most = settings.connections


class Connection(H11Protocol):
    """One that does not wait for ever: for a request's head, nor for the reader of an answer.

    The time for a body is the app's to measure (`TimedRequest`), which can answer it in the form of its addresses.
    A body that nobody reads, because its answer was given already, has uvicorn's time between two requests.
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
        """Counts the connection; those over the most are marked for the app to turn away, or ended unheard."""
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
        # In pieces, because h11 looks at the size only of heads that are not whole.
        for start in range(0, len(data), MAX_HEAD):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + MAX_HEAD])

    def handle_events(self) -> None:
        """Goes on with the request, and looks at the clock: from the first byte of a head until it is whole."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._stop_head_timer()
        elif self.head_timer is None and self.conn.trailing_data[0]:
            self.head_timer = self.loop.call_later(self.patience, self._end_late_head)
        if OVER_LIMIT in self.app_state and self.cycle:
            self.cycle.default_headers = [*self.server_state.default_headers, CLOSE_HEADER]

    def send_400_response(self, msg: str) -> None:
        """Uvicorn's answer to what h11 cannot read, with the status that h11 gives it.

        But for its 501, where a transfer encoding is unknown: that is the client's fault, too.
        """
        error = sys.exc_info()[1]
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(hint if hint in REFUSALS else 400)

    def _refuse(self, status: int) -> None:
        if self.cycle:
            self.cycle.disconnected = True  # the app may be about to answer the same request
        # An answer that has begun can only break off.
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
            self.transport.close()  # a browser that connected in case it would need to

    def _stop_head_timer(self) -> None:
        if self.head_timer:
            self.head_timer.cancel()
            self.head_timer = None

    def _unset_keepalive_if_required(self) -> None:
        """Not where a body trickles in after its answer, which would keep the connection for as long as it likes."""
        if not (self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY):
            super()._unset_keepalive_if_required()

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: anybody can ask for an upgrade, and is answered without."""


def allow_connections(connections: int) -> None:
    """Lets the process have so many at once. Raises SettingsError where its limit on open files is too low for them."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + MAX_REFUSED + OWN_FILES
    if resource.RLIM_INFINITY in (soft, hard) or soft >= needed:
        return
    if hard < needed:
        raise SettingsError(
            f"PLOTIFY_CONNECTIONS is {connections}, for which the server has to open {needed} files, and it may open "
            f"{hard}; set it lower, or raise the limit (ulimit -n)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _end_with_its_reader(transport: asyncio.Transport, seconds: int) -> None:
    """Ends a connection whose client does not take in, for so long, what it is sent; the kernel watches it.

    Linux only (tcp(7), TCP_USER_TIMEOUT); elsewhere such a client keeps its connection.
    """
    connected = transport.get_extra_info("socket")
    if sys.platform == "linux" and connected is not None and connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)
