"""The responses to failed requests. Each router gives them its own form."""

from collections.abc import Mapping, Sequence
from os.path import commonpath
from typing import Any

from litestar import MediaType, Request, Response, Router
from litestar.exceptions import HTTPException
from litestar.response import Stream
from litestar.types import ExceptionHandler

from server.errors import PlotifyError
from server.http.sse import EVENT_STREAM

FAILED = "Something went wrong here."
"""The message of an unexpected exception. Only the log has the details."""

MESSAGES = {
    404: "There is nothing at this address.",
    405: "This address does not support this method.",
    413: "That is far more text than the model can read. Shorten it, and try again.",
}
"""Messages in place of Litestar's own."""

PAGE_MESSAGES = MESSAGES | {400: "The server cannot read this request."}


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error: 500 for an unexpected one."""
    match error:
        case PlotifyError():
            return error.status
        case HTTPException():
            return error.status_code
    return 500


def headers_of(error: Exception) -> dict[str, str]:
    """Return the headers of an error's response, such as Retry-After and Allow."""
    return dict(error.headers or {}) if isinstance(error, PlotifyError | HTTPException) else {}


def message_of(error: Exception, messages: Mapping[int, str] = MESSAGES) -> str:
    """Return a sentence for the client. messages: by status, in place of Litestar's own."""
    match error:
        case PlotifyError():
            return error.message
        case HTTPException() if error.status_code < 500:
            return messages.get(error.status_code, error.detail)
    return FAILED


def json_error(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, str]]:
    """Answer with {"message": …}."""
    return Response({"message": message_of(error)}, status_code=status_of(error), headers=headers_of(error))


def for_script(request: Request[Any, Any, Any]) -> bool:
    """Return True if a request comes from a script: `Accept` prefers JSON or events to a page."""
    return request.accept.best_match([MediaType.HTML, MediaType.JSON, EVENT_STREAM]) in (MediaType.JSON, EVENT_STREAM)


def page_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer with a page, or with {"message": …} for a script.

    The page is streamed because an exception handler of Litestar cannot await.
    """
    if for_script(request):
        return json_error(request, error)
    return Stream(
        request.app.state.pages.stream("refusal.html", message=message_of(error, PAGE_MESSAGES)),
        status_code=status_of(error),
        media_type=MediaType.HTML,
        headers=headers_of(error),
    )


def nearest(routers: Sequence[Router]) -> "ExceptionHandler[Exception]":
    """Return a handler for errors outside of all routers: 404, 405, and a bad Host header.

    It passes them to the router of the route with the longest common path with the request, the first of several.
    """

    def handle(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        path = f"/{request.scope['path']}"  # of OPTIONS it may be *

        def shared(router: Router) -> int:
            return max(len(commonpath([path, route.path])) for route in router.routes)

        return max(routers, key=shared).exception_handlers[Exception](request, error)

    return handle
