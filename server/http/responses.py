"""What answers have in common: how they are described, and how those that grow are sent."""

from collections.abc import Callable
from functools import partial

from litestar.openapi.datastructures import ResponseSpec

JSON, FORM, EVENT_STREAM = "application/json", "application/x-www-form-urlencoded", "text/event-stream"
"""The types of bodies."""

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""For answers that grow: to be kept by no cache and held back by no proxy."""

Answered = partial(ResponseSpec, generate_examples=False)
"""An answer, as its operation describes it."""


def keyed(form: Callable[..., ResponseSpec]) -> dict[int, ResponseSpec]:
    """What those hear who lack the key that is needed."""
    return {
        401: form(description="A key is needed, and none was sent, or none that is valid."),
        403: form(description="The key is not for this."),
    }


def counted(form: Callable[..., ResponseSpec]) -> dict[int, ResponseSpec]:
    """What a client hears who asks for more than its share."""
    return {429: form(description="More than one client may ask for; try again after Retry-After seconds.")}
