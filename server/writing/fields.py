"""The form's fields, however a request carries them."""

from typing import Any

from litestar import Request
from litestar.enums import RequestEncodingType
from litestar.exceptions import ClientException, SerializationException

from server.http.request import TimedRequest
from server.writing.brief import DEFAULTS

STEERING = tuple(name for name in DEFAULTS if name != "prompt")
"""What goes with a text: genre, length and so on."""


async def form_fields(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The fields of a posted form as they were typed; of those of one name the last. None, for another kind of body."""
    if request.content_type[0] != RequestEncodingType.URL_ENCODED:
        return {}
    return {name: value for name, value in (await request.form()).multi_items() if isinstance(value, str)}


def query_fields(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The fields of the desk that the address has."""
    return {name: value for name, value in request.query_params.multi_items() if name in (*STEERING, "text")}


class BriefCarrier(TimedRequest):
    """A request whose brief comes as JSON or as the fields of a form."""

    async def body(self) -> bytes:
        """The body; an empty one is a brief without fields, to be told what it lacks."""
        return await super().body() or b"{}"

    async def json(self) -> Any:
        """The brief's fields. Raises ClientException: 415 for a body of another kind, 400 for one that is not JSON."""
        kind, known = self.content_type[0], (RequestEncodingType.JSON.value, RequestEncodingType.URL_ENCODED.value)
        if kind not in known:
            raise ClientException(f"The body's type is {kind[:80]!r}; send {' or '.join(known)}.", status_code=415)
        if kind == RequestEncodingType.URL_ENCODED:
            return {name: value for name, value in (await form_fields(self)).items() if name in DEFAULTS}
        try:
            return await super().json()
        except (SerializationException, UnicodeDecodeError, RecursionError) as error:
            raise ClientException(f"The body is not JSON that can be read: {error}.") from error
