"""Errors in the form of OpenAI's API."""

import re
from typing import Any, Literal

import msgspec
from litestar import Request, Response

from server.completions.schema import ErrorInfo, ErrorResponse
from server.engine import InvalidRequest, PromptTooLong
from server.errors import PlotifyError
from server.http.errors import headers_of, message_of, status_of

MESSAGES = {
    400: "The server cannot read this request: send a JSON object with the model's name and a prompt.",
    404: "This model completes text and does nothing else: POST /v1/completions. See /v1/models for its name.",
    405: "This address does not support this method. POST /v1/completions completes text, GET /v1/models lists models.",
    413: "The body is far larger than any prompt that this model can read; shorten it, or send fewer prompts.",
}

CODES = {
    401: "invalid_api_key",
    403: "insufficient_permissions",
    404: "unknown_url",
    429: "rate_limit_exceeded",
    503: "server_busy",
    504: "deadline_exceeded",
}
"""The `code` of errors, by status."""


class RequestError(PlotifyError):
    """The request cannot be served. Its message begins with the field `param`; programs read `code`."""

    status = 400

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message if param is None else f"{param}: {message}")
        self.param = param
        self.code = code

    @classmethod
    def of_json(cls, error: msgspec.DecodeError | UnicodeDecodeError | RecursionError) -> "RequestError":
        """Describe a body that is not JSON, or a field of the wrong type."""
        if not isinstance(error, msgspec.ValidationError):
            return cls(f"The body is not JSON: {error}.")
        found = re.fullmatch(r"(.*?)(?: - at (?:`key` in )?`\$(?:\.(\w+))?.*`)?", str(error), re.DOTALL)
        what, param = found.groups() if found else (str(error), None)
        missing = re.fullmatch(r"Object missing required field `(\w+)`", what)
        if missing and param is None:
            return cls("this field is missing.", missing[1])
        text = f"{what[0].lower()}{what[1:]}."
        return cls(text if param else f"The body: {text}", param)

    @classmethod
    def of_prompt(cls, error: InvalidRequest, number: int | None) -> "RequestError":
        """Describe a prompt refused by the engine. number: its index, if there are several."""
        code = "context_length_exceeded" if isinstance(error, PromptTooLong) else None
        refused = cls(f"{error}.", "prompt" if number is None else f"prompt[{number}]", code)
        refused.param = "prompt"
        return refused


class UnknownModel(RequestError):
    """The server has another model than the one in the request."""

    status = 404

    def __init__(self, name: str, known: str) -> None:
        super().__init__(f"there is no {name!r:.80} here; this server has {known!r}.", "model", "model_not_found")


def error_response(error: Exception) -> ErrorResponse:
    """Return the body of the response to a failed request."""
    status = status_of(error)
    kind: Literal["invalid_request_error", "server_error"] = "invalid_request_error" if status < 500 else "server_error"
    param, code = (error.param, error.code) if isinstance(error, RequestError) else (None, CODES.get(status))
    return ErrorResponse(ErrorInfo(message_of(error, MESSAGES), kind, param, code))


def openai_error(_: Request[Any, Any, Any], error: Exception) -> Response[ErrorResponse]:
    """Answer with OpenAI's error object."""
    return Response(error_response(error), status_code=status_of(error), headers=headers_of(error))
