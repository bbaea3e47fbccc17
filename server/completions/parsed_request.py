"""From a request of the API to requests of the engine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from server.bundle import Manifest
from server.completions.errors import RequestError
from server.completions.schema import CompletionRequest, with_defaults
from server.engine import AnyEngine, InvalidRequest, Request, Sampling
from server.http.request_id import request_id
from server.writing.brief import ANY_GENRE

Prompt = str | list[int]

SAMPLING = (
    "max_tokens",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
)
"""The fields that mean to the engine what they mean here."""

MAX_TOLD_LOGPROBS = 2**17
"""Log probabilities that one answer tells at most. Each is some 250 bytes of objects until it is sent: 30 MB in all."""


@dataclass(frozen=True)
class ParsedRequest:
    """A request of the API as requests of the engine, and the form of the response.

    prompts: their token ids; requests: one for each. best_of: continuations to generate of each; n: of these, the best
    to return. logprobs: return log probabilities. include_usage: end a stream with the usage.
    """

    prompts: list[Sequence[int]]
    requests: list[Request]
    n: int
    best_of: int
    echo: bool
    logprobs: bool
    stream: bool
    include_usage: bool

    @classmethod
    def read(cls, request: CompletionRequest, engine: AnyEngine, client: str = "") -> "ParsedRequest":
        """Checks and translates a request. Raises RequestError, which names the field at fault."""
        manifest = engine.bundle.manifest
        given = msgspec.structs.asdict(with_defaults(request))
        check_model(given["model"], manifest)
        if given["suffix"] is not None:
            raise RequestError("suffix: this model only writes on from a prompt; leave suffix out.", "suffix")
        options = given["stream_options"]
        if options is not None and not given["stream"]:
            raise RequestError("stream_options: only with stream; set it, or leave the options out.", "stream_options")
        best_of = given["best_of"] or given["n"]
        guided = given["genre"] not in (None, ANY_GENRE) and manifest.sampling.guidance > 1
        _check_counts(given["n"], best_of, given["stream"], engine.config.rows // (2 if guided else 1))
        prompts = _prompts(given["prompt"], manifest.model.end_of_text)
        most = math.ceil((engine.config.queue + engine.config.rows) / (best_of * (2 if guided else 1)))
        if len(prompts) > most:
            raise RequestError(
                f"prompt: {len(prompts)} prompts; with such a request this server takes {most}.", "prompt"
            )
        sampling, genre = _sampling(given, engine, best_of), given["genre"]
        tokens, against = [], []
        for number, prompt in enumerate(prompts):
            try:
                tokens.append(_tokens(prompt, genre, engine))
                against.append(_tokens(prompt, ANY_GENRE, engine) if guided else None)
            except InvalidRequest as error:
                raise RequestError.of_prompt(error, number if len(prompts) > 1 else None) from error
        _check_told(given, tokens, best_of, manifest.model.context)
        scored = given["logprobs"] if given["echo"] else None
        return cls(
            tokens,
            [
                Request(prompt, sampling, other, scored, client, request_id.get())
                for prompt, other in zip(tokens, against, strict=True)
            ],
            n=given["n"],
            best_of=best_of,
            echo=given["echo"],
            logprobs=given["logprobs"] is not None,
            stream=given["stream"],
            include_usage=options is not None and bool(options.include_usage),
        )


def check_model(name: str, manifest: Manifest) -> None:
    """Raises RequestError, which a client makes NotFoundError of, for a model that is not the one that is served."""
    if name != manifest.name:
        raise RequestError(
            f"model: there is no {name!r:.80} here; this server has {manifest.name!r}.", "model", "model_not_found", 404
        )


def _check_counts(n: int, best_of: int, stream: bool, most: int) -> None:
    if best_of < n:
        raise RequestError(
            f"best_of: {best_of} is less than n, which is {n}; write as many as you want given.", "best_of"
        )
    if stream and best_of > n:
        raise RequestError("best_of: the best are known only at the end; leave best_of or stream out.", "best_of")
    if best_of > most:
        name = "n" if best_of == n else "best_of"
        raise RequestError(f"{name}: {best_of} continuations of a prompt; this server writes {most} at once.", name)


def _check_told(given: dict[str, Any], prompts: list[Sequence[int]], best_of: int, context: int) -> None:
    if given["logprobs"] is None:
        return
    read = sum(map(len, prompts)) if given["echo"] else 0
    written = len(prompts) * min(given["max_tokens"], context)
    told = (read + written) * best_of * (given["logprobs"] + 1)
    if told > MAX_TOLD_LOGPROBS:
        raise RequestError(
            f"logprobs: there may be {told} of them, and one answer tells {MAX_TOLD_LOGPROBS}; "
            "send fewer prompts at once.",
            "logprobs",
        )


def _prompts(given: Any, end_of_text: int) -> list[Prompt]:
    match given:
        case None:
            return [[end_of_text]]
        case str():
            return [given]
        case [int(), *_] if all(isinstance(token, int) for token in given):
            return [given]
        case [str() | list(), *rest] if all(isinstance(prompt, type(given[0])) for prompt in rest):
            return list(given)
        case []:
            raise RequestError("prompt: an empty list; give at least one prompt.", "prompt")
        case _:
            raise RequestError("prompt: strings, token ids and lists of token ids cannot be mixed.", "prompt")


def _sampling(given: dict[str, Any], engine: AnyEngine, best_of: int) -> Sampling:
    bias = given["logit_bias"] or {}
    size = engine.tokenizer.size
    if any(token >= size for token in bias):
        raise RequestError(f"logit_bias: a token id lies outside the vocabulary (0 to {size - 1}).", "logit_bias")
    stop = given["stop"] or ()
    # The best are those with the highest log probabilities, so these are needed to choose.
    logprobs = 0 if given["logprobs"] is None and best_of > given["n"] else given["logprobs"]
    return Sampling(
        **{name: given[name] for name in SAMPLING},
        logit_bias=bias,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        ignore_end=given["ignore_eos"],
        logprobs=logprobs,
        guidance=engine.bundle.manifest.sampling.guidance,
    )


def _tokens(prompt: Prompt, genre: str | None, engine: AnyEngine) -> Sequence[int]:
    if genre is None:
        return engine.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
    if not isinstance(prompt, str):
        raise RequestError("genre: only for a prompt that is text; token ids are taken as they are.", "genre")
    if not prompt:
        raise RequestError("prompt: empty; write a few words to begin with.", "prompt")
    try:
        template = engine.bundle.manifest.prompt
        filled = template.fill(prompt, None if genre == ANY_GENRE else genre, template.default_length)
    except ValueError as error:
        raise RequestError(f"genre: {error}, and {ANY_GENRE!r}.", "genre") from error
    return engine.tokenizer.encode(filled)
