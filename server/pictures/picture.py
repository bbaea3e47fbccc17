"""A picture, the progress towards it, and the faults in its place."""

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """The reason why there is no picture. Its value is the matching HTTP status."""

    NOT_CONFIGURED = 501
    """The service rejects the key, or is not at the address in the settings. The operator must act."""
    REFUSED = 422
    """The service does not draw such content."""
    BUSY = 429
    """There are too many requests at once, here or there."""
    OVER_CAP = 503
    """The server has used up its pictures for this hour."""
    BROKEN = 502
    """The service failed, or its response is not a picture."""


class PictureError(Exception):
    """There is no picture. The message, a whole sentence, tells a writer why and what to do.

    why: for the log, without the key and the writer's words. retry_after: seconds to wait before the next request, if
    known.
    """

    def __init__(self, fault: Fault, message: str, why: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.fault = fault
        self.why = why
        self.retry_after = retry_after


@dataclass(frozen=True)
class Progress:
    """The progress of a picture: the stage in words, and the share done, from 0 to 1, if known."""

    stage: str
    share: float | None = None


@dataclass(frozen=True)
class Picture:
    """A picture. prompt: the prompt sent, empty for a drawn cover. maker: the name to show beside it."""

    media_type: str
    content: bytes
    prompt: str
    maker: str


def media_type_of(content: bytes) -> str:
    """Return the type of a picture by its first bytes, whatever its sender says: PNG, JPEG or WebP.

    Raises PictureError (BROKEN) for anything else, also for SVG, because it can hold scripts.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    raise PictureError(
        Fault.BROKEN, "The picture service did not send a picture. Try again later.", "neither PNG, JPEG nor WebP"
    )
