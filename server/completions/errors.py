"""Errors as OpenAI's clients expect them: a status that says which exception to raise, and an object that says why."""

import re
from typing import Any

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException

from server.completions.schema import ErrorInfo, ErrorResponse
from server.engine import ClientBusy, DeadlineExceeded, EngineBusy, EngineError, InvalidRequest, PromptTooLong
from server.shelf.errors import NotOnShelf, ShelfError, ShelfFull, ShelfUnusable

MESSAGES = {
    400: "This request makes no sense: send a JSON object with the model's name and a prompt.",
    404: "This model completes text and does nothing else: POST /v1/completions. See /v1/models for its name.",
    405: "This address does not work that way: POST /v1/completions completes text, GET /v1/models names the model.",
    413: "The body is far larger than any prompt that this model can read; shorten it, or send fewer prompts.",
}


CODES = {401: "invalid_api_key", 403: "insufficient_permissions", 404: "unknown_url", 429: "rate_limit_exceeded"}


class RequestError(Exception):
    """A request that cannot be served. param: the field at fault; code: for programs."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.status = status

    @classmethod
    def of_json(cls, error: msgspec.DecodeError | UnicodeDecodeError | RecursionError) -> "RequestError":
        """Of a body that is no JSON, or holds something of the wrong type: names the field."""
        if not isinstance(error, msgspec.ValidationError):
            return cls(f"The body is not JSON: {error}.")
        found = re.fullmatch(r"(.*?)(?: - at (?:`key` in )?`\$(?:\.(\w+))?.*`)?", str(error), re.DOTALL)
        what, param = found.groups() if found else (str(error), None)
        missing = re.fullmatch(r"Object missing required field `(\w+)`", what)
        if missing and param is None:
            return cls(f"{missing[1]} is missing; the request needs it.", param=missing[1])
        return cls(f"{param or 'The body'}: {what[0].lower()}{what[1:]}.", param=param)

    @classmethod
    def of_prompt(cls, error: InvalidRequest, number: int | None) -> "RequestError":
        """Of a prompt that the engine refuses; number: which of several it is, from 0 on."""
        code = "context_length_exceeded" if isinstance(error, PromptTooLong) else None
        return cls(f"prompt{'' if number is None else f'[{number}]'}: {error}.", "prompt", code)


def status_of(error: Exception) -> int:
    """The HTTP status that stands for an error."""
    match error:
        case RequestError():
            return error.status
        case InvalidRequest():
            return 400
        case ClientBusy():
            return 429
        case EngineBusy():
            return 503
        case DeadlineExceeded():
            return 504
        case NotOnShelf():
            return 404
        case ShelfFull():
            return 409
        case ShelfUnusable():
            return 503
        case ShelfError():
            return 422
        case HTTPException():
            return error.status_code
        case _:
            return 500


def headers_of(error: Exception) -> dict[str, str]:
    """The headers that go with an error: when to come back, which methods there are, that the connection ends."""
    match error:
        case EngineBusy():
            return {"Retry-After": str(error.retry_after)}
        case HTTPException():
            return dict(error.headers or {})
        case _:
            return {}


def error_response(error: Exception) -> ErrorResponse:
    """The body that tells a client of an error; of one that is not its business, no more than that there was one."""
    match error:
        case RequestError():
            return _invalid(str(error), error.param, error.code)
        case InvalidRequest():
            return _invalid(_sentence(error))
        case ClientBusy():
            return _invalid(_sentence(error), code=CODES[429])
        case EngineBusy():
            return ErrorResponse(ErrorInfo(_sentence(error), "server_error", code="server_busy"))
        case DeadlineExceeded():
            return ErrorResponse(ErrorInfo(_sentence(error), "server_error", code="deadline_exceeded"))
        case EngineError():
            return ErrorResponse(ErrorInfo(_sentence(error), "server_error"))
        case HTTPException() if error.status_code < 500:
            message = MESSAGES.get(error.status_code, error.detail)
            return _invalid(message, code=CODES.get(error.status_code))
        case _:
            return ErrorResponse(ErrorInfo("Something went wrong here.", "server_error"))


def refusal(error: Exception) -> Response[Any]:
    """The whole answer for an error."""
    return Response(error_response(error), status_code=status_of(error), headers=headers_of(error))


def _invalid(message: str, param: str | None = None, code: str | None = None) -> ErrorResponse:
    return ErrorResponse(ErrorInfo(message, "invalid_request_error", param, code))


def _sentence(error: Exception) -> str:
    message = str(error)
    return f"{message[:1].upper()}{message[1:]}."
