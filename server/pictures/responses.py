"""The responses of picture services, and their meaning. Neither pages nor logs repeat their text."""

import base64
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
import msgspec

from server.pictures.picture import Fault, PictureError

T = TypeVar("T")

AWAY = "The picture service cannot be reached right now. Try again later."
BUSY = "The picture service is busy right now. Try again later."
NOT_CONFIGURED = "The picture service rejects this server. Ask the server's operator to look at the log."
REFUSED = "The picture service refuses to draw this part of the plot. Change its last sentences, or go on."
TOO_LONG = "The picture took too long. Try again later."
UNREADABLE = "The picture service sent an unexpected response. Ask the server's operator to look at the log."

REFUSES_CONTENT = re.compile("moderation|content_?policy|content_?filter|safety", re.IGNORECASE)
NEEDS_MONEY = re.compile("quota|billing|payment|credit", re.IGNORECASE)


@dataclass(frozen=True, repr=False)
class ServiceResponse:
    """A service's whole response. Its repr hides it, because it may repeat the key or the writer's words."""

    headers: Mapping[str, str]
    content: bytes

    def read(self, kind: type[T]) -> T:
        """Decode it as JSON. Raises PictureError (BROKEN) for anything else."""
        try:
            return msgspec.json.decode(self.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise unreadable(f"not JSON: {type(error).__name__}") from None


class Temporary(PictureError):
    """A temporary failure, worth a retry."""


def unreadable(why: str) -> PictureError:
    """Return the error for a response against the service's documentation. why: for the log."""
    return PictureError(Fault.BROKEN, UNREADABLE, why)


def refused(why: str) -> PictureError:
    """Return the error for content refused by the service. why: for the log."""
    return PictureError(Fault.REFUSED, REFUSED, why)


def decoded(base64_text: str) -> bytes:
    """Return the bytes of a picture in base64. Raises PictureError (BROKEN) for anything else."""
    try:
        return base64.b64decode(base64_text, validate=True)
    except ValueError:
        raise unreadable("not base64") from None


def meaning(response: httpx.Response, content: bytes) -> PictureError:
    """Return the error for an unsuccessful response, by its status and the error code in its body."""
    status, code = response.status_code, _code(content)
    why = f"{status} {code}".strip()
    if status == 451 or (400 <= status < 500 and REFUSES_CONTENT.search(code)):
        return refused(why)
    if status in (401, 402, 403, 404, 405) or status < 400 or (status < 500 and NEEDS_MONEY.search(code)):
        return PictureError(Fault.NOT_CONFIGURED, NOT_CONFIGURED, why)
    if status == 429:
        return Temporary(Fault.BUSY, BUSY, why, _retry_after(response))
    if status >= 500:
        return Temporary(Fault.BROKEN, AWAY, why, _retry_after(response))
    return unreadable(why)


def _code(content: bytes) -> str:
    """Return the error code in a body, in any of the services' forms; "" if there is none."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = msgspec.json.decode(content)
        if isinstance(body, dict):
            error = body.get("error")
            known = [error.get("code"), error.get("type")] if isinstance(error, dict) else [body.get("name"), error]
            return next((word for word in known if isinstance(word, str) and re.fullmatch("[A-Za-z_]{3,40}", word)), "")
    return ""


def _retry_after(response: httpx.Response) -> int | None:
    """Return the seconds from either form of the header; None if it cannot be read."""
    value = response.headers.get("Retry-After", "")
    if re.fullmatch("[0-9]{1,6}", value):
        return int(value)
    with suppress(ValueError, TypeError):
        return max(0, round((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()))
    return None
