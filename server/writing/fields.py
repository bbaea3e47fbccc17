"""Reads the fields of a form from a request."""

import asyncio
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from litestar import Request
from litestar.enums import RequestEncodingType
from litestar.exceptions import ClientException, SerializationException

from server.http.request import TimedRequest
from server.writing.brief import DEFAULTS

MOST = 100
"""Fields of a form; no page has as many."""

SHORT = 16 * 1024
"""Characters of a form to read at once, in the event loop."""

STEERING = tuple(name for name in DEFAULTS if name != "prompt")
"""The fields besides the text: genre, length and so on."""


async def form_fields(request: Request[Any, Any, Any]) -> dict[str, str]:
    """Return the fields of a posted form. The last field of a name counts.

    Any other body, or a form with more than `MOST` fields, has none.
    """
    if request.content_type[0] != RequestEncodingType.URL_ENCODED:
        return {}
    # Litestar's `form` takes long for a long text, in the event loop, and keeps a thousand of them in a cache.
    body = (await request.body()).decode("utf-8", "replace")
    parsing = partial(parse_qsl, body, keep_blank_values=True, errors="replace", max_num_fields=MOST)
    try:
        return dict(await asyncio.to_thread(parsing) if len(body) > SHORT else parsing())
    except ValueError:
        return {}


def query_fields(request: Request[Any, Any, Any]) -> dict[str, str]:
    """Return the fields of the desk in the query."""
    return {name: value for name, value in request.query_params.multi_items() if name in (*STEERING, "text")}


class BriefCarrier(TimedRequest):
    """A request with a brief, as JSON or as a form."""

    async def body(self) -> bytes:
        """Return the body. An empty one is a brief without fields, to be refused with an explanation."""
        return await super().body() or b"{}"

    async def json(self) -> Any:
        """Return the brief's fields. Raises ClientException: 415 for another media type, 400 for bad JSON."""
        kind, known = self.content_type[0], (RequestEncodingType.JSON.value, RequestEncodingType.URL_ENCODED.value)
        if kind not in known:
            raise ClientException(f"The body's type is {kind[:80]!r}; send {' or '.join(known)}.", status_code=415)
        if kind == RequestEncodingType.URL_ENCODED:
            return {name: value for name, value in (await form_fields(self)).items() if name in DEFAULTS}
        try:
            return await super().json()
        except (SerializationException, UnicodeDecodeError, RecursionError) as error:
            raise ClientException(f"The body is not JSON: {error}.") from error
