"""What goes over the wire: https://platform.openai.com/docs/api-reference/completions, and this server's extra fields.

A field of a request that is null has its default. Fields that are not named here are ignored, as other servers do.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from server.engine.request import MAX_LOGIT_BIAS, MAX_LOGPROBS, MAX_STOP_LENGTH, MAX_STOP_STRINGS
from server.writing.usage import Usage

Whole = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
StopString = Annotated[str, Meta(min_length=1, max_length=MAX_STOP_LENGTH)]
FinishReason = Literal["stop", "length"]
TOKEN_ID = {"pattern": "^[0-9]+$"}
"""The schema of a token id that is a key: JSON has no others than text."""


class StreamOptions(Struct, frozen=True):
    """What a stream tells beside its text."""

    include_usage: Annotated[
        bool | None, Meta(description="Send one more chunk before the end, without choices: the usage.")
    ] = False


class CompletionRequest(Struct, frozen=True):
    """A prompt, or several, and how to continue them."""

    model: Annotated[str, Meta(description="The model's name, as GET /v1/models tells it.")]
    prompt: Annotated[
        str | list[str | Whole | list[Whole]] | None,
        Meta(
            description="A string, strings, token ids or lists of token ids, not mixed. "
            "Absent or null: the beginning of a new document."
        ),
    ] = None
    max_tokens: Annotated[
        Whole | None,
        Meta(description="New tokens at most, 0 or more; the end of the model's context may come first."),
    ] = 16
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=10)] | None,
        Meta(description="0 (always the likeliest token) to 10; higher is wilder."),
    ] = 1.0
    top_p: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        Meta(description="Draw from the likeliest tokens that together reach this probability, over 0 to 1."),
    ] = 1.0
    n: Annotated[Count | None, Meta(description="Continuations of each prompt, 1 or more.")] = 1
    best_of: Annotated[
        Count | None,
        Meta(description="Write so many and give the n with the highest mean log probability of a token. Null: n."),
    ] = None
    stream: Annotated[bool | None, Meta(description="Answer with server-sent events, as tokens come.")] = False
    stream_options: Annotated[StreamOptions | None, Meta(description="Only with stream.")] = None
    logprobs: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_LOGPROBS)] | None,
        Meta(description=f"Tell log probabilities: of each token, and of the k likeliest, 0 to {MAX_LOGPROBS}."),
    ] = None
    echo: Annotated[bool | None, Meta(description="Begin text and log probabilities with the prompt.")] = False
    stop: Annotated[
        StopString | Annotated[list[StopString], Meta(max_length=MAX_STOP_STRINGS)] | None,
        Meta(description=f"The text ends before this string, or any of {MAX_STOP_STRINGS} at most."),
    ] = None
    seed: Annotated[
        Whole | None,
        Meta(description="The same gives the same text; n continuations take the seeds from here on. Null draws one."),
    ] = None
    presence_penalty: Annotated[
        Penalty | None, Meta(description="-2 to 2: makes tokens less likely that the continuation has already.")
    ] = 0.0
    frequency_penalty: Annotated[
        Penalty | None, Meta(description="-2 to 2: the same, once for each time that it has them.")
    ] = 0.0
    logit_bias: Annotated[
        Annotated[dict[Whole, Bias], Meta(max_length=MAX_LOGIT_BIAS, extra_json_schema={"propertyNames": TOKEN_ID})]
        | None,
        Meta(description=f"Token ids, {MAX_LOGIT_BIAS} at most, and what to add to their logits, -100 to 100."),
    ] = None
    suffix: Annotated[str | None, Meta(description="Not served: null only.", extra_json_schema={"enum": [None]})] = None
    user: Annotated[str | None, Meta(description="Accepted; of no effect, and not logged.")] = None
    top_k: Annotated[Whole | None, Meta(description="Extra: only the k likeliest tokens; 0 for all.")] = 0
    min_p: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="Extra: only tokens at least this share as probable as the likeliest, 0 to 1."),
    ] = 0.0
    repetition_penalty: Annotated[
        Annotated[float, Meta(ge=0.1, le=10)] | None,
        Meta(description="Extra: 0.1 to 10; over 1 makes tokens of prompt and continuation less likely."),
    ] = 1.0
    genre: Annotated[
        str | None,
        Meta(
            description="Extra: one of the model's genres, or \"any\". The prompt is then a writer's words, which the "
            "model is led to continue in the genre. Null: the prompt as it is."
        ),
    ] = None
    ignore_eos: Annotated[bool | None, Meta(description="Extra: never end before max_tokens. For load tests.")] = False


def with_defaults(request: CompletionRequest) -> CompletionRequest:
    """The request, with the default of each field that is null."""
    nulls = [field for field in msgspec.structs.fields(request) if getattr(request, field.name) is None]
    return msgspec.structs.replace(request, **{field.name: field.default for field in nulls})


class Logprobs(Struct):
    """One entry for each token; a token that is no whole character reads bytes:\\xe2\\x80."""

    tokens: list[str] = msgspec.field(default_factory=list)
    token_logprobs: list[float | None] = msgspec.field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] = msgspec.field(default_factory=list)
    text_offset: list[int] = msgspec.field(default_factory=list)


class Choice(Struct):
    """A continuation, or in a stream some more of one."""

    text: str
    index: Annotated[int, Meta(description="Which of the continuations, from 0 on: prompt by prompt, n of each.")]
    logprobs: Logprobs | None = None
    finish_reason: Annotated[
        FinishReason | None,
        Meta(description="stop at the end of the text or a stop string, length where it ran out of room; null before."),
    ] = None


class Completion(Struct, frozen=True, kw_only=True):
    """An answer, or a chunk of one that is streamed."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: Annotated[int, Meta(description="Seconds since 1970.")]
    model: str
    choices: list[Choice]
    usage: Annotated[
        Usage | UnsetType | None, Meta(description="Of a stream only where stream_options ask, in its last chunk.")
    ] = UNSET


class Model(Struct, frozen=True, kw_only=True):
    """A model that is served."""

    id: Annotated[str, Meta(description="The name to ask for it by.")]
    object: Literal["model"] = "model"
    created: Annotated[int, Meta(description="Since when it is served, in seconds since 1970.")]
    owned_by: str = "plotify"


class ModelList(Struct, frozen=True, kw_only=True):
    """All models that are served: one."""

    object: Literal["list"] = "list"
    data: list[Model]


class ErrorInfo(Struct, frozen=True):
    """What is wrong."""

    message: Annotated[str, Meta(description="A sentence for people.")]
    type: Literal["invalid_request_error", "server_error"]
    param: Annotated[str | None, Meta(description="The field at fault.")] = None
    code: Annotated[str | None, Meta(description="For programs, where there is one for this.")] = None


class ErrorResponse(Struct, frozen=True):
    """The body of every error."""

    error: ErrorInfo
