"""Raw sockets: send bytes that need not be HTTP, and judge the server's answers."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmarks.process import Serving

FORM, JSON = b"application/x-www-form-urlencoded", b"application/json"

SILENCE = 1.0
"""Seconds without data until the client closes its sending side: the server may be waiting for more."""

PATIENCE = 30.0
"""Seconds after which a connection without an answer counts as hanging."""

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n(.*?)\r\n\r\n", re.DOTALL)


@dataclass(frozen=True)
class Outcome:
    """The statuses of the answers to an input, if any, and the problem: None if there is none."""

    statuses: tuple[int, ...]
    problem: str | None


def raw_request(
    path: bytes,
    body: bytes | None = None,
    kind: bytes = JSON,
    headers: Sequence[bytes] = (),
    method: bytes | None = None,
    version: bytes = b"HTTP/1.1",
) -> bytes:
    """Return a request with `Connection: close`."""
    lines = [b"%b %b %b" % (method or (b"GET" if body is None else b"POST"), path, version), b"Host: 127.0.0.1"]
    lines += [b"Connection: close", *headers]
    if body is not None:
        lines += [b"Content-Type: " + kind, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


async def send(server: Serving, content: bytes) -> Outcome:
    """Send these bytes on a new connection, and read until the server closes it."""
    host = urlsplit(server.address)
    received = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host.hostname, host.port)
            try:
                writer.write(content)
                try:
                    async with asyncio.timeout(SILENCE) as silence:
                        while piece := await reader.read(65536):
                            received += piece
                            silence.reschedule(asyncio.get_running_loop().time() + SILENCE)
                except TimeoutError:
                    writer.write_eof()
                    while piece := await reader.read(65536):
                        received += piece
            finally:
                writer.close()
    except TimeoutError:
        return Outcome((), f"neither answered nor closed in {PATIENCE:g} seconds")
    except ConnectionRefusedError:
        return Outcome((), "the server is gone")
    except OSError:  # the server has closed it during sending
        pass
    return judge(bytes(received))


async def exchange(server: Serving, content: bytes) -> Outcome:
    """Send these bytes on a new connection, keep it open, and read until the server closes it."""
    host, received = urlsplit(server.address), bytearray()
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(content)
            while piece := await reader.read(65536):
                received += piece
    except TimeoutError:
        return Outcome((), f"neither answered nor closed in {PATIENCE:g} seconds")
    except ConnectionError:  # the server has closed it during sending
        pass
    finally:
        writer.close()
    return judge(bytes(received))


def judge(received: bytes) -> Outcome:
    """Return the outcome of these answers. Any refusal is fine except a 5xx; a 503 needs Retry-After."""
    answers = STATUS.findall(received)
    problem = None
    if received and not answers:
        problem = f"no answer in HTTP: {received[:40]!r}"
    for status, head in answers:
        busy = status == b"503" and re.search(rb"(?im)^retry-after: \d+\r?$", head)
        if status >= b"500" and not busy and problem is None:
            problem = f"answered {status.decode()}"
    return Outcome(tuple(int(status) for status, _ in answers), problem)
