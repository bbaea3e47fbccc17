"""Specifications of responses for the OpenAPI document, shared by the routes."""

from collections.abc import Callable
from functools import partial

from litestar.openapi.datastructures import ResponseSpec

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
"""The types of bodies."""

response_spec = partial(ResponseSpec, generate_examples=False)
"""The specification of a response, for the OpenAPI document."""


def key_errors(form: Callable[..., ResponseSpec]) -> dict[int, ResponseSpec]:
    """The responses to requests without the key that they need."""
    return {
        401: form(description="A key is needed, and none was sent, or none that is valid."),
        403: form(description="The key is not for this."),
    }


def server_errors(form: Callable[..., ResponseSpec]) -> dict[int, ResponseSpec]:
    """The response to a request that fails unexpectedly."""
    return {500: form(description="Something went wrong in the server; its log says what.")}


def rate_errors(form: Callable[..., ResponseSpec]) -> dict[int, ResponseSpec]:
    """The response to a client that asks for more than its share."""
    return {429: form(description="More than one client may ask for; try again after Retry-After seconds.")}
