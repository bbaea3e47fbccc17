"""What can go wrong in the engine, by who can do something about it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Carried(Exception):
    """An error that another process gets as it is, whatever its constructor takes."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[Carried], arguments: tuple[object, ...]) -> Carried:
    error = kind.__new__(kind)
    error.args = arguments
    return error


class EngineError(Carried):
    """The engine could not finish a request; other requests are not affected."""


class DeviceError(EngineError):
    """The device that was asked for cannot be computed on; the message says what is missing and what to do."""


class RowsDiffer(DeviceError):
    """On this processor, a row of the model in `file` gets other logits alone than among others."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"{file}: on this processor a text would depend on those that are written beside it, so that a seed would "
            "not give its text again; choose another precision"
        )


class DeadlineExceeded(EngineError):
    """The request took longer than a request may take, waiting included."""

    def __init__(self) -> None:
        super().__init__("the request took longer than the server allows")


class EngineBusy(EngineError):
    """No room now; the same request may be submitted again, best after `retry_after` seconds, a whole number.

    cause: in a word, for those who count.
    """

    cause = "queue"

    def __init__(self, reason: str, retry_after: float = 5) -> None:
        self.retry_after = min(max(math.ceil(retry_after), 1), 60)
        super().__init__(f"{reason}; try again in {self.retry_after} seconds")


class ClientBusy(EngineBusy):
    """The client has as many texts under way as one may have."""

    cause = "client"


class EngineUnavailable(EngineBusy):
    """The engine takes no requests, for now or for good."""

    cause = "unavailable"


class EngineClosed(EngineError):
    """The engine was closed before the request was finished; another one may finish it."""

    def __init__(self) -> None:
        super().__init__("the engine was closed")


class InvalidRequest(Carried, ValueError):
    """The request can never be served as it stands."""


class PromptTooLong(InvalidRequest):
    """The prompt leaves no room in the model's context. `tokens` it has, `limit` tokens are the most."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(f"the prompt is {tokens} tokens long, this model reads at most {limit}; shorten it")
        self.tokens = tokens
        self.limit = limit
