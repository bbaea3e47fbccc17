"""Hooks for schemathesis: they limit its requests, and add a check."""

from typing import Any

import schemathesis
from schemathesis import Case
from schemathesis.checks import CheckContext
from schemathesis.core.transport import Response
from schemathesis.hooks import HookContext

MAX_TOKENS = 4
"""New tokens of a completion."""

TOGETHER = {"n", "best_of", "stream_options", "genre", "logprobs", "prompt"}
"""Fields of a completion that may be right alone, but wrong with another one or for this model."""


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Keep the work small: short responses show the same as long ones."""
    body = case.body
    if isinstance(body, dict) and isinstance(tokens := body.get("max_tokens"), int) and tokens > MAX_TOKENS:
        body["max_tokens"] = MAX_TOKENS


@schemathesis.check
def what_is_described_is_accepted(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Requests that fit the schemas are refused only for mistakes that schemas cannot describe."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code in (404, 405, 503):
        return
    if response.status_code >= 400:
        answer = response.json()
        match case.operation.definition.raw["operationId"]:
            case "createCompletion":
                # In JSON Schema, 1.0 is an integer.
                whole = "got `float`" in answer["error"]["message"]
                assert answer["error"]["param"] in TOGETHER or whole, answer
            case "startPlot":
                problems = answer["problems"]
                assert set(problems) == {"prompt"}, answer
                assert problems["prompt"].startswith("Too long for the model"), answer
            case "readPlot" | "followPlot":
                reasons = ("it must be the id of an event of this plot", "its text differs from the one that was begun")
                assert any(reason in answer["message"] for reason in reasons), answer
            case other:
                raise AssertionError(f"{other} is refused: {answer}")
