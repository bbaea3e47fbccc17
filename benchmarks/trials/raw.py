"""Requests on raw sockets, which need not be HTTP, and the server's answers to them."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmarks.process import Serving

FORM, JSON = b"application/x-www-form-urlencoded", b"application/json"

SILENCE = 1.0
"""Seconds without an answer after which the client says that nothing more comes: the server may wait for the rest."""

PATIENCE = 30.0
"""Seconds after which a connection that is neither answered nor closed hangs."""

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n(.*?)\r\n\r\n", re.DOTALL)


@dataclass(frozen=True)
class Outcome:
    """The statuses of the answers to an input, if any, and its problem: None where all is well."""

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
    """A request that asks the server to close the connection after its answer."""
    lines = [b"%b %b %b" % (method or (b"GET" if body is None else b"POST"), path, version), b"Host: 127.0.0.1"]
    lines += [b"Connection: close", *headers]
    if body is not None:
        lines += [b"Content-Type: " + kind, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


async def send(server: Serving, content: bytes) -> Outcome:
    """Sends these bytes on a connection of their own, and reads until the server closes it."""
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
    except OSError:  # closed while more was being sent
        pass
    return judge(bytes(received))


def judge(received: bytes) -> Outcome:
    """The outcome of these answers: a server may refuse bad input in any way but 5xx without a time to come back."""
    answers = STATUS.findall(received)
    problem = None
    if received and not answers:
        problem = f"no answer in HTTP: {received[:40]!r}"
    for status, head in answers:
        busy = status == b"503" and re.search(rb"(?im)^retry-after: \d+\r?$", head)
        if status >= b"500" and not busy and problem is None:
            problem = f"answered {status.decode()}"
    return Outcome(tuple(int(status) for status, _ in answers), problem)
