"""What a picture service answers, and what it means. Nothing of it is repeated to a page or to the log as it stands."""

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

AWAY = "The picture service cannot be reached just now. Try again in a while."
BUSY = "The picture service has too much to do just now. Try again in a while."
NOT_CONFIGURED = "The picture service does not let this server in. Tell whoever runs it to look at the log."
REFUSED = "The picture service does not draw what this part of the plot tells. Change its last sentences, or go on."
TOO_LONG = "The picture took too long. Try again in a while."
UNREADABLE = (
    "The picture service and this server do not understand each other. Tell whoever runs it to look at the log."
)

REFUSES_CONTENT = re.compile("moderation|content_?policy|content_?filter|safety", re.IGNORECASE)
NEEDS_MONEY = re.compile("quota|billing|payment|credit", re.IGNORECASE)


@dataclass(frozen=True, repr=False)
class ServiceResponse:
    """What a service answered, all of it; it may repeat the key or what was typed, so it is not shown."""

    headers: Mapping[str, str]
    content: bytes

    def read(self, kind: type[T]) -> T:
        """The JSON that it is. Raises PictureError (BROKEN) for anything else."""
        try:
            return msgspec.json.decode(self.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise unreadable(f"JSON that is none: {type(error).__name__}") from None


class Passing(PictureError):
    """What may have passed by when it is tried again."""


def unreadable(why: str) -> PictureError:
    """The error for an answer that is not what the service's documentation says; why: for the log."""
    return PictureError(Fault.BROKEN, UNREADABLE, why)


def refused(why: str) -> PictureError:
    """The error for content that the service does not draw; why: for the log."""
    return PictureError(Fault.REFUSED, REFUSED, why)


def decoded(base64_text: str) -> bytes:
    """The bytes of a picture that was sent as text. Raises PictureError (BROKEN) where they are none."""
    try:
        return base64.b64decode(base64_text, validate=True)
    except ValueError:
        raise unreadable("base64 that is none") from None


def meaning(response: httpx.Response, content: bytes) -> PictureError:
    """What an answer that is no success says, by its status and by the word for programs in its body."""
    status, code = response.status_code, _code(content)
    why = f"{status} {code}".strip()
    if status == 451 or (400 <= status < 500 and REFUSES_CONTENT.search(code)):
        return refused(why)
    if status in (401, 402, 403, 404, 405) or status < 400 or (status < 500 and NEEDS_MONEY.search(code)):
        return PictureError(Fault.NOT_CONFIGURED, NOT_CONFIGURED, why)
    if status == 429:
        return Passing(Fault.BUSY, BUSY, why, _retry_after(response))
    if status >= 500:
        return Passing(Fault.BROKEN, AWAY, why, _retry_after(response))
    return unreadable(why)


def _code(content: bytes) -> str:
    """The word for programs in an error's body, of the forms that services have; nothing where there is none."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = msgspec.json.decode(content)
        if isinstance(body, dict):
            error = body.get("error")
            known = [error.get("code"), error.get("type")] if isinstance(error, dict) else [body.get("name"), error]
            return next((word for word in known if isinstance(word, str) and re.fullmatch("[A-Za-z_]{3,40}", word)), "")
    return ""


def _retry_after(response: httpx.Response) -> int | None:
    """Seconds, from either form of the header; None where it has none that can be read."""
    value = response.headers.get("Retry-After", "")
    if re.fullmatch("[0-9]{1,6}", value):
        return int(value)
    with suppress(ValueError, TypeError):
        return max(0, round((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()))
    return None
