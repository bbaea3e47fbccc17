"""A proxy between client and server that cuts connections."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

AT_ONCE = b"\x01\x00\x00\x00\x00\x00\x00\x00"
"""SO_LINGER: closing resets the connection."""


@dataclass
class Cuts:
    """address: of the proxy. connections: the number made. cut: the number cut."""

    address: str
    connections: int = 0
    cut: int = 0


@contextmanager
def cutting(address: str, limits: Sequence[int], path: bytes = b"/events") -> Iterator[Cuts]:
    """Cut the n-th connection for such a path after limits[n] bytes of the response.

    It stands before a server. Every other cut connection is reset, the others are closed. Later connections and other
    paths pass through.
    """
    upstream = urlsplit(address)
    left = iter(list(enumerate(limits)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cuts = Cuts(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def relay(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                asked = client.recv(65536)
                number, limit = -1, None
                if path in asked.partition(b"\r\n")[0]:
                    cuts.connections += 1
                    number, limit = next(left, (-1, None))
                with socket.create_connection((upstream.hostname, upstream.port)) as server:
                    # One request for each connection, so that each is seen.
                    server.sendall(asked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
                    threading.Thread(target=send_on, args=(client, server), daemon=True).start()
                    while data := server.recv(65536):
                        client.sendall(data[:limit])
                        if limit is not None and len(data) >= limit:
                            cuts.cut += 1
                            if number % 2:
                                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                            break
                        limit = None if limit is None else limit - len(data)
                client.shutdown(socket.SHUT_RD)  # ends the other thread's reading, so that closing closes

        def serve() -> None:
            with contextlib.suppress(OSError):  # the listener is closed
                while True:
                    threading.Thread(target=relay, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield cuts


def send_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
