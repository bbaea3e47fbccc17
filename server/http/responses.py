"""Specifications of responses for the OpenAPI document, shared by the routes."""

from collections.abc import Mapping
from functools import partial

from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
"""Media types of bodies."""

response_spec = partial(ResponseSpec, generate_examples=False)
"""Returns the specification of a response."""


ERRORS = {
    401: "The server needs a key, and none was sent, or an invalid one.",
    403: "The key lacks the scope for this.",
    408: "The request took too long to arrive.",
    413: "The body is far longer than any prompt that the model can read.",
    429: "This client has as many texts in progress, or sent as many requests this minute, as one client may."
    " Try again after Retry-After seconds.",
    500: "Something went wrong in the server; its log says what.",
    503: "The queue is full, the server has too many connections, or the engine takes no requests."
    " Try again after Retry-After seconds.",
}
"""Descriptions of errors that several operations have, by status."""


def error_specs(form: type[Struct], own: Mapping[int, str], *shared: int) -> dict[int, ResponseSpec]:
    """Return the specifications of an operation's errors.

    own: descriptions of its own, by status; shared: keys of `ERRORS`.
    """
    described = {status: ERRORS[status] for status in shared} | dict(own)
    return {status: response_spec(form, description=text) for status, text in sorted(described.items())}
