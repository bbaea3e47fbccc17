"""The addresses of requests and responses, below the path at which a proxy serves this server."""

from litestar.datastructures import MutableScopeHeaders
from litestar.types import ASGIApp, HTTPResponseStartEvent, HTTPScope, Receive, Scope, Send

from server.http.headers import HeadEdit


def below(root_path: str, app: ASGIApp) -> ASGIApp:
    """Return an app that gets paths without the root path, whether or not the proxy has removed it.

    The first line of a request may also hold a whole address (RFC 9112, 3.2.2). Its host replaces the Host header.
    """

    async def found(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "/")
        if path.lower().startswith(("http://", "https://")):
            host, _, path = path.partition("://")[2].partition("/")
            path = f"/{path}"
            others = [header for header in scope["headers"] if header[0] != b"host"]
            scope["headers"] = [*others, (b"host", host.encode())]
        if root_path and f"{path}/".startswith(f"{root_path}/"):
            path = path[len(root_path) :] or "/"
        if "path" in scope:
            scope["path"] = path
        await app(scope, receive, send)

    return found


def rooted(root_path: str) -> HeadEdit:
    """Return a function that puts the root path before the address in `Location`."""

    def add(head: HTTPResponseStartEvent, _: HTTPScope) -> None:
        headers = MutableScopeHeaders.from_message(head)
        if headers.get("location", "").startswith("/"):
            headers["location"] = root_path + headers["location"]

    return add
