"""Requests with a time limit for their body."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.exceptions import ClientException, InternalServerException

from server.engine import EngineBusy

MAX_ARRIVING = 64 * 2**20
"""Bytes of bodies that have not ended, of all clients, before the server refuses large ones."""

SMALL_BODY = 16 * 1024
"""Bytes of a body that the server always takes."""

CLIENT_LEFT = 499
"""The status of a response to a client that has left, as nginx logs it."""


@dataclass
class Arriving:
    """The bytes of all bodies that have not ended."""

    bytes: int = 0


class TimedRequest(Request[Any, Any, Any]):
    """A request with a time limit for its body. A body that breaks off is not the server's failure."""

    async def body(self) -> bytes:
        """Return the body. Raises ClientException (408) after the patience of the app."""
        try:
            async with asyncio.timeout(self.app.state.get("patience")):
                return await super().body()
        except TimeoutError as error:
            message = "The request took too long to arrive; send it again."
            raise ClientException(message, status_code=408, headers={"Connection": "close"}) from error

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the pieces of the body.

        Raises ClientException (499) if the client leaves before its end, EngineBusy if too many large bodies arrive.
        """
        arriving: Arriving = self.app.state.setdefault("arriving", Arriving())
        held = 0
        try:
            async for piece in super().stream():
                held += len(piece)
                arriving.bytes += len(piece)
                if held > SMALL_BODY and arriving.bytes > MAX_ARRIVING:
                    raise EngineBusy("too many large requests are arriving")
                yield piece
        except InternalServerException as error:
            raise ClientException("The client left before the end of its request.", status_code=CLIENT_LEFT) from error
        finally:
            arriving.bytes -= held
