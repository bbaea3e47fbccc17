"""Bytes to a server as no HTTP library would send them, and what comes back."""

import socket
from urllib.parse import urlsplit

SECONDS = 30.0
"""After which a test no longer waits for an answer."""


def connected(address: str) -> socket.socket:
    """A connection to the server at an address."""
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname, parts.port), timeout=SECONDS)


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection. Raises TimeoutError where it does not."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def answer(connection: socket.socket) -> bytes:
    """One answer that says how long its body is: its head, and the body."""
    head, found, body = b"", b"", b""
    while not found:
        head += _more(connection)
        start, found, body = head.partition(b"\r\n\r\n")
    (length,) = (
        int(line.split(b":")[1]) for line in start.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += _more(connection)
    return start + found + body


def _more(connection: socket.socket) -> bytes:
    piece = connection.recv(65536)
    assert piece, "the connection ended before its answer was whole"
    return piece
