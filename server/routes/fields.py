"""The form's fields, however a request carries them."""

from typing import Any

from litestar import Request
from litestar.enums import RequestEncodingType

from server.brief import DEFAULTS


async def typed_fields(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The fields of the form as they were typed: from the body of a POST, else from the query; the last one counts."""
    carried: list[tuple[str, Any]]
    if request.method == "POST" and request.content_type[0] == RequestEncodingType.URL_ENCODED:
        carried = list((await request.form()).multi_items())
    else:
        carried = list(request.query_params.multi_items())
    return {name: value for name, value in carried if name in DEFAULTS and isinstance(value, str)}
