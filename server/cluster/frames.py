"""Frames: messages on a TCP connection between an app and a replica, which both know a key."""

import asyncio
import hmac
import secrets
import socket
from typing import Self

LONGEST = 64 * 1024 * 1024
"""Bytes of a frame, at most: many times the log probabilities of a whole context."""

NUMBER_BYTES, PROOF_BYTES = 32, 32
PATIENCE = 5.0
"""Seconds for the other end to connect and to prove that it knows the key."""

PROBES = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
"""A machine that is gone is noticed after 20 seconds. A process that ends is noticed at once."""

APP, REPLICA = b"app", b"replica"


class Frames:
    """Sends and receives frames. Belongs to one event loop.

    A frame is its length in four bytes, the highest first, then as many bytes. Nothing is encrypted.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, address: tuple[str, int], key: bytes) -> Self:
        """Return the app's end of a new connection to a replica. Raises OSError."""
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(*address)
            return await cls._proved(reader, writer, key, APP, REPLICA)

    @classmethod
    async def accept(cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes) -> Self:
        """Return the replica's end of a connection. Raises OSError."""
        async with asyncio.timeout(PATIENCE):
            return await cls._proved(reader, writer, key, REPLICA, APP)

    @classmethod
    async def _proved(
        cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes, this: bytes, other: bytes
    ) -> Self:
        """Prove to the other end that this one knows the key, and check its proof. Raises OSError."""
        try:
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in PROBES.items():
                if hasattr(socket, name):
                    connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            mine = secrets.token_bytes(NUMBER_BYTES)
            writer.write(mine)
            theirs = await reader.readexactly(NUMBER_BYTES)
            writer.write(_proof(key, this, theirs))
            if not hmac.compare_digest(await reader.readexactly(PROOF_BYTES), _proof(key, other, mine)):
                raise ConnectionError("the other end does not know the key of the channel")
        except asyncio.IncompleteReadError as error:
            writer.close()
            raise ConnectionError("the other end has closed the channel") from error
        except BaseException:
            writer.close()
            raise
        return cls(reader, writer)

    def send(self, frame: bytes) -> None:
        """Send a frame, unless the connection is closed. It waits in memory; see `sent`."""
        if not self._writer.is_closing():
            self._writer.write(len(frame).to_bytes(4) + frame)

    async def sent(self) -> None:
        """Wait until most of the frames are sent. Raises OSError if the connection is lost."""
        await self._writer.drain()

    async def receive(self) -> bytes | None:
        """Return the next frame; None if the other end has ended, closed the connection or sent too much."""
        try:
            length = int.from_bytes(await self._reader.readexactly(4))
            return await self._reader.readexactly(length) if length <= LONGEST else None
        except (asyncio.IncompleteReadError, OSError):
            return None

    def close(self) -> None:
        """Close the connection. The other end notices at once."""
        self._writer.close()


def _proof(key: bytes, end: bytes, number: bytes) -> bytes:
    return hmac.digest(key, end + number, "sha256")
