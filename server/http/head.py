"""Answers HEAD with the head of the response to GET (RFC 9110, 9.3.2)."""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send


def answer_head(app: ASGIApp) -> ASGIApp:
    """Return an app that answers HEAD: it asks `app` with GET, and drops the body of the response.

    For `app`, the client leaves after the head, so a stream of events ends then.
    """

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD":
            await app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        scope["method"] = "GET"
        try:
            await app(scope, receive, send_head)
        finally:
            scope["method"] = "HEAD"

    return asked
