"""The requests and responses of /v1: OpenAI's, with this server's extra fields.

https://platform.openai.com/docs/api-reference/completions. A field of a request with null has its default. The server
ignores unknown fields, as others do.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from server.engine.request import MAX_LOGIT_BIAS, MAX_LOGPROBS, MAX_STOP_LENGTH, MAX_STOP_STRINGS
from server.writing.usage import Usage

Whole = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
MinP = Annotated[float, Meta(ge=0, le=1)]
TopP = Annotated[float, Meta(gt=0, le=1)]
Temperature = Annotated[float, Meta(ge=0, le=10)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Factor = Annotated[float, Meta(ge=0.1, le=10)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
OrAny = Annotated[int, Meta(ge=-1)]
TopCount = Annotated[int, Meta(ge=0, le=MAX_LOGPROBS)]
StopString = Annotated[str, Meta(min_length=1, max_length=MAX_STOP_LENGTH)]
StopStrings = Annotated[list[StopString], Meta(max_length=MAX_STOP_STRINGS)]
FinishReason = Literal["stop", "length"]
TOKEN_ID = {"pattern": "^[0-9]+$"}
"""The schema of a token id as a key: in JSON, keys are text."""

Biases = Annotated[dict[Whole, Bias], Meta(max_length=MAX_LOGIT_BIAS, extra_json_schema={"propertyNames": TOKEN_ID})]


OFF = {"seed": (-1,), "top_k": (-1,)}
"""Values besides null that stand for the default."""


class StreamOptions(Struct, frozen=True):
    """Options of a stream."""

    include_usage: Annotated[bool | None, Meta(description="End with a chunk with the usage and no choices.")] = False


class CompletionRequest(Struct, frozen=True):
    """One or several prompts, and the parameters of their continuations."""

    model: Annotated[str, Meta(description="The model's name; GET /v1/models returns it.")]
    prompt: Annotated[
        str | list[str | Whole | list[Whole]] | None,
        Meta(description="Strings, or lists of token ids, not mixed. Absent or null: the model begins a new text."),
    ] = None
    max_tokens: Annotated[Whole | None, Meta(description="New tokens at most. The context may end earlier.")] = 16
    temperature: Annotated[Temperature | None, Meta(description="0: the likeliest tokens. Higher is wilder.")] = 1.0
    top_p: Annotated[TopP | None, Meta(description="Sample from the likeliest tokens up to this probability.")] = 1.0
    n: Annotated[Count | None, Meta(description="Continuations of each prompt.")] = 1
    best_of: Annotated[
        Count | None,
        Meta(description="Generate this many, and return the n with the highest mean log probability. Null: n."),
    ] = None
    stream: Annotated[bool | None, Meta(description="Respond with server-sent events, as tokens come.")] = False
    stream_options: Annotated[StreamOptions | None, Meta(description="Only with stream.")] = None
    logprobs: Annotated[TopCount | None, Meta(description="Give logprobs of tokens, and of the k likeliest.")] = None
    echo: Annotated[bool | None, Meta(description="Begin text and log probabilities with the prompt.")] = False
    stop: Annotated[StopString | StopStrings | None, Meta(description="The text ends before any of these.")] = None
    seed: Annotated[
        OrAny | None,
        Meta(description="The same seed gives the same text; n continuations have consecutive seeds. -1: random."),
    ] = None
    presence_penalty: Annotated[Penalty | None, Meta(description="Makes tokens of the continuation less likely.")] = 0.0
    frequency_penalty: Annotated[Penalty | None, Meta(description="The same, for each time a token occurs.")] = 0.0
    logit_bias: Annotated[Biases | None, Meta(description="Token ids, and numbers to add to their logits.")] = None
    suffix: Annotated[str | None, Meta(description="Only null.", extra_json_schema={"enum": [None]})] = None
    user: Annotated[str | None, Meta(description="Accepted; it has no effect, and is not logged.")] = None
    top_k: Annotated[OrAny | None, Meta(description="Extra: only the k likeliest tokens; 0 or -1 for all.")] = 0
    min_p: Annotated[MinP | None, Meta(description="Extra: the least share of the likeliest's probability.")] = 0.0
    repetition_penalty: Annotated[
        Factor | None,
        Meta(description="Extra: over 1 makes tokens of the prompt and the continuation less likely."),
    ] = 1.0
    genre: Annotated[
        str | None,
        Meta(
            description="Extra: one of the model's genres, or \"any\". The server puts the prompt into the model's "
            "template, and leads the continuation to the genre. Null: the prompt as it is, mostly for worse."
        ),
    ] = None
    ignore_eos: Annotated[bool | None, Meta(description="Extra: never end before max_tokens. For load tests.")] = False


FIELDS = msgspec.structs.fields(CompletionRequest)
"""Found once, because finding them takes longer than reading a request."""


def with_defaults(request: CompletionRequest) -> CompletionRequest:
    """Replace null by the default of each field, and -1, with which editors mean any seed, or no limit."""
    nulls = [field for field in FIELDS if getattr(request, field.name) in (None, *OFF.get(field.name, ()))]
    return msgspec.structs.replace(request, **{field.name: field.default for field in nulls})


class Logprobs(Struct):
    """One entry for each token. Part of a character looks like bytes:\\xe2\\x80."""

    tokens: list[str] = msgspec.field(default_factory=list)
    token_logprobs: list[float | None] = msgspec.field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] = msgspec.field(default_factory=list)
    text_offset: list[int] = msgspec.field(default_factory=list)


class Choice(Struct):
    """A continuation, or in a stream a piece of one."""

    text: str
    index: Annotated[int, Meta(description="The number of the continuation, from 0: prompt by prompt, n of each.")]
    logprobs: Logprobs | None = None
    finish_reason: Annotated[
        FinishReason | None,
        Meta(description="stop at the end of the text or a stop string, length at a limit; null before the end."),
    ] = None


class Completion(Struct, frozen=True, kw_only=True):
    """A completion, or in a stream a chunk of one."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: Annotated[int, Meta(description="Seconds since 1970.")]
    model: str
    choices: list[Choice]
    usage: Annotated[
        Usage | UnsetType | None,
        Meta(description="In a stream, only the last chunk has it, if stream_options.include_usage is set."),
    ] = UNSET


class Model(Struct, frozen=True, kw_only=True):
    """The model of the server."""

    id: Annotated[str, Meta(description="The name for requests.")]
    object: Literal["model"] = "model"
    created: Annotated[int, Meta(description="The start of the server, in seconds since 1970.")]
    owned_by: str = "plotify"


class ModelList(Struct, frozen=True, kw_only=True):
    """The list of the one model."""

    object: Literal["list"] = "list"
    data: list[Model]


class ErrorInfo(Struct, frozen=True):
    """An explanation of an error."""

    message: Annotated[str, Meta(description="A sentence for people.")]
    type: Literal["invalid_request_error", "server_error"]
    param: Annotated[str | None, Meta(description="The field at fault.")] = None
    code: Annotated[str | None, Meta(description="A code for programs, if this error has one.")] = None


class ErrorResponse(Struct, frozen=True):
    """The body of every error."""

    error: ErrorInfo
