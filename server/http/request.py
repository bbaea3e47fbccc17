"""Requests with a time limit for their body."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from litestar import Request
from litestar.exceptions import ClientException, InternalServerException

CLIENT_LEFT = 499
"""The status of a response to a client that has left, as nginx logs it."""


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
        """Yield the pieces of the body. Raises ClientException (499) if the client leaves before its end."""
        try:
            async for piece in super().stream():
                yield piece
        except InternalServerException as error:
            raise ClientException("The client left before the end of its request.", status_code=CLIENT_LEFT) from error
