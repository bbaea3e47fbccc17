"""Requests whose client may leave while they arrive."""

from collections.abc import AsyncGenerator
from typing import Any

from litestar import Request
from litestar.exceptions import ClientException, InternalServerException

CLIENT_LEFT = 499
"""The status of answers that nobody reads, as nginx logs them."""


class ArrivingRequest(Request[Any, Any, Any]):
    """One whose body may break off, which is no failure of the server."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body's pieces. Raises ClientException where the client leaves in their middle."""
        try:
            async for piece in super().stream():
                yield piece
        except InternalServerException as error:
            raise ClientException("The client left before its request was whole.", status_code=CLIENT_LEFT) from error
