"""Sends raw bytes to a server, and reads the response."""

import socket
from urllib.parse import urlsplit

SECONDS = 30.0
"""Seconds until a test stops waiting for a response."""


def connected(address: str) -> socket.socket:
    """Connect to the server at an address."""
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname, parts.port), timeout=SECONDS)


def rest(connection: socket.socket) -> bytes:
    """Return all bytes until the server ends the connection. Raises TimeoutError if it does not."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def answer(connection: socket.socket) -> bytes:
    """Return the head and the body of one response with a Content-Length."""
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
