"""What is passed on while a picture is made, and what those who make pictures have in common."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Fault(Enum):
    """Why there is no picture; the value is the HTTP status that stands for it."""

    NOT_CONFIGURED = 501
    """The service does not let this server in, or is not where the settings say: for whoever runs it to mend."""
    REFUSED = 422
    """The service does not draw such content."""
    BUSY = 429
    """Too many at once, here or there."""
    OVER_CAP = 503
    """The server has had its pictures of this hour."""
    BROKEN = 502
    """The service failed, or what it answered is no picture."""


class PictureError(Exception):
    """There is no picture; the message tells a writer why, and what to do, in a whole sentence.

    why: for the log, without a key and without what was typed. retry_after: seconds after which it is worth asking
    again, where that is known.
    """

    def __init__(self, fault: Fault, message: str, why: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.fault = fault
        self.why = why
        self.retry_after = retry_after


@dataclass(frozen=True)
class Progress:
    """How far a picture is: what is being done, in words, and how much of it, from 0 to 1, where that is known."""

    stage: str
    share: float | None = None


@dataclass(frozen=True)
class Picture:
    """A picture. prompt: what was asked for, nothing for a drawn cover; maker: who made it, to be named beside it."""

    media_type: str
    content: bytes
    prompt: str
    maker: str


class Provider(Protocol):
    """Somebody who makes pictures. at_once: how many at the same time."""

    maker: str
    at_once: int

    def draw(self, prompt: str) -> AsyncGenerator[Progress | bytes, None]:
        """Progress, then the bytes of the picture. Raises PictureError; to close it stops the work, where it can."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...


SIGNATURES = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))


def media_type_of(content: bytes) -> str:
    """The type of a picture by its first bytes, whatever its sender says: PNG, JPEG or WebP.

    Raises PictureError (BROKEN) for anything else. SVG is not among them: it can hold scripts.
    """
    for signature, media_type in SIGNATURES:
        if content.startswith(signature):
            return media_type
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    raise PictureError(
        Fault.BROKEN, "What the picture service sent is no picture. Try again in a while.", "neither PNG, JPEG nor WebP"
    )
