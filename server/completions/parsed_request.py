"""Parses requests of the API into requests of the engine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from server.completions.errors import RequestError, UnknownModel
from server.completions.schema import CompletionRequest, with_defaults
from server.engine import AnyEngine, InvalidRequest, Request, Sampling
from server.http.request_id import request_id
from server.writing.brief import ANY_GENRE

Prompt = str | list[int]

SAMPLING = [
    name
    for name in CompletionRequest.__struct_fields__
    if name in Sampling.__dataclass_fields__ and name not in ("logit_bias", "logprobs", "stop")
]
"""Fields with the same name, type and meaning in the engine."""

MAX_LOGPROBS_RETURNED = 2**17
"""The most log probabilities in one response. At about 250 bytes each, they take 30 MB of memory."""


@dataclass(frozen=True)
class ParsedRequest:
    """A request of the API as requests of the engine, and the form of the response.

    prompts: their token ids; requests: one for each. best_of: continuations to generate of each; n: the best of these
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
        """Check and translate a request. Raises RequestError, with the field at fault."""
        manifest = engine.bundle.manifest
        given = msgspec.structs.asdict(with_defaults(request))
        if given["model"] != manifest.name:
            raise UnknownModel(given["model"], manifest.name)
        if given["suffix"] is not None:
            raise RequestError("this model only continues prompts; leave suffix out.", "suffix")
        options = given["stream_options"]
        if options is not None and not given["stream"]:
            raise RequestError("these go only with stream; set it, or leave them out.", "stream_options")
        best_of = given["best_of"] or given["n"]
        if str(given["genre"]).casefold() == ANY_GENRE:
            given["genre"] = ANY_GENRE
        guided = given["genre"] not in (None, ANY_GENRE) and manifest.sampling.guidance > 1
        _check_counts(given["n"], best_of, given["stream"], engine.config.rows // (2 if guided else 1))
        prompts = _prompts(given["prompt"], manifest.model.end_of_text)
        most = math.ceil((engine.config.queue + engine.config.rows) / (best_of * (2 if guided else 1)))
        if len(prompts) > most:
            raise RequestError(f"{len(prompts)} prompts; for such a request this server takes {most}.", "prompt")
        sampling, genre = _sampling(given, engine, best_of), given["genre"]
        tokens, against = [], []
        for number, prompt in enumerate(prompts):
            try:
                tokens.append(_tokens(prompt, genre, engine))
                against.append(_tokens(prompt, ANY_GENRE, engine) if guided else None)
            except InvalidRequest as error:
                raise RequestError.of_prompt(error, number if len(prompts) > 1 else None) from error
        _check_logprobs(given, tokens, best_of, manifest.model.context)
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


def _check_counts(n: int, best_of: int, stream: bool, most: int) -> None:
    if best_of < n:
        raise RequestError(f"{best_of} is less than n, which is {n}; set it to n or more.", "best_of")
    if stream and best_of > n:
        raise RequestError("the best ones are known only at the end; leave out best_of or stream.", "best_of")
    if best_of > most:
        name = "n" if best_of == n else "best_of"
        raise RequestError(f"{best_of} continuations of a prompt; this server writes {most} at once.", name)


def _check_logprobs(given: dict[str, Any], prompts: list[Sequence[int]], best_of: int, context: int) -> None:
    if given["logprobs"] is None:
        return
    read = sum(map(len, prompts)) if given["echo"] else 0
    written = len(prompts) * min(given["max_tokens"], context)
    count = (read + written) * best_of * (given["logprobs"] + 1)
    if count > MAX_LOGPROBS_RETURNED:
        raise RequestError(
            f"there may be {count} of them, and one answer holds {MAX_LOGPROBS_RETURNED}; send fewer prompts at once.",
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
            raise RequestError("this is an empty list; give at least one prompt.", "prompt")
        case _:
            raise RequestError("strings, token ids and lists of token ids cannot be mixed.", "prompt")


def _sampling(given: dict[str, Any], engine: AnyEngine, best_of: int) -> Sampling:
    bias = given["logit_bias"] or {}
    size = engine.tokenizer.size
    if any(token >= size for token in bias):
        raise RequestError(f"a token id lies outside the vocabulary (0 to {size - 1}).", "logit_bias")
    stop = given["stop"] or ()
    # Log probabilities decide which continuations are the best.
    logprobs = 0 if given["logprobs"] is None and best_of > given["n"] else given["logprobs"]
    translated = {
        "logit_bias": bias,
        "stop": (stop,) if isinstance(stop, str) else tuple(stop),
        "ignore_end": given["ignore_eos"],
        "logprobs": logprobs,
        "guidance": engine.bundle.manifest.sampling.guidance,
    }
    return Sampling(**{name: given[name] for name in SAMPLING} | translated)


def _tokens(prompt: Prompt, genre: str | None, engine: AnyEngine) -> Sequence[int]:
    if genre is None:
        return engine.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
    if not isinstance(prompt, str):
        raise RequestError("genres go only with prompts of text, not with token ids.", "genre")
    if not prompt:
        raise RequestError("this is empty; write a few words to begin with.", "prompt")
    try:
        template = engine.bundle.manifest.prompt
        filled = template.fill(prompt, None if genre == ANY_GENRE else genre, template.default_length)
    except ValueError as error:
        raise RequestError(f"{error}, and {ANY_GENRE!r}.", "genre") from error
    return engine.tokenizer.encode(filled)
