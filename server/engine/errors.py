"""Errors of the engine."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from server.errors import PlotifyError


class PicklableError(PlotifyError):
    """An error that survives pickling, whatever arguments its constructor takes.

    Its text is part of a sentence: it begins with a small letter and has no full stop.
    """

    @property
    def message(self) -> str:
        text = str(self)
        return f"{text[:1].upper()}{text[1:]}."

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[PicklableError], arguments: tuple[object, ...]) -> PicklableError:
    error = kind.__new__(kind)
    error.args = arguments
    return error


class EngineError(PicklableError):
    """The engine could not finish a request; other requests are not affected."""


class DeviceError(EngineError):
    """The device cannot be used; the message says what is missing and what to do."""


class RowsDiffer(DeviceError):
    """On this processor, a row of the model in `file` has other logits alone than in a batch."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"{file}: on this processor a text would depend on the other texts in its batch, so a seed would not "
            "give the same text again; choose another precision"
        )


class DeadlineExceeded(EngineError):
    """The request took longer than the deadline, time in the queue included."""

    status = 504

    def __init__(self) -> None:
        super().__init__("the request took longer than the server allows")


class EngineBusy(EngineError):
    """There is no room now; the request may be submitted again.

    retry_after: whole seconds to wait before submitting it again. cause: one word, for metrics.
    """

    status = 503
    cause = "queue"

    def __init__(self, reason: str, retry_after: float = 5) -> None:
        self.retry_after = min(max(math.ceil(retry_after), 1), 60)
        super().__init__(f"{reason}; try again in {self.retry_after} seconds")

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class ClientBusy(EngineBusy):
    """The client has as many sequences as one client may have at once."""

    status = 429
    cause = "client"


class EngineUnavailable(EngineBusy):
    """The engine takes no requests, for now or for good. state: a key of `REASONS`."""

    cause = "unavailable"

    REASONS: ClassVar[Mapping[str, str]] = {
        "restarting": "the model failed, and is being loaded again",
        "draining": "the server is about to stop",
        "closed": "the engine is closed",
    }

    def __init__(self, state: str) -> None:
        super().__init__(self.REASONS[state])


class EngineClosed(EngineError):
    """The engine was closed before the request was finished; another engine may finish it."""

    def __init__(self) -> None:
        super().__init__("the engine was closed")


class InvalidRequest(PicklableError, ValueError):
    """The request can never be served as it is."""

    status = 400


class PromptTooLong(InvalidRequest):
    """The prompt has `tokens` tokens, and the model's context has room for at most `limit`."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(f"the prompt is {tokens} tokens long, this model reads at most {limit}; shorten it")
        self.tokens = tokens
        self.limit = limit
