"""Requests with a time limit for their body."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from litestar import Request
from litestar.exceptions import ClientException, InternalServerException

CLIENT_LEFT = 499
"""The status of a response without a reader, as nginx logs it."""


class TimedRequest(Request[Any, Any, Any]):
    """A request whose body may break off or take too long, which is no failure of the server."""

    async def body(self) -> bytes:
        """The body. Raises ClientException (408) where it is not whole within the patience of the app, if any."""
        try:
            async with asyncio.timeout(self.app.state.get("patience")):
                return await super().body()
        except TimeoutError as error:
            message = "The request took too long to arrive; send it again."
            raise ClientException(message, status_code=408, headers={"Connection": "close"}) from error

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body's pieces. Raises ClientException where the client leaves in their middle."""
        try:
            async for piece in super().stream():
                yield piece
        except InternalServerException as error:
            raise ClientException("The client left before its request was whole.", status_code=CLIENT_LEFT) from error
