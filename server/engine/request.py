"""Requests: a prompt and its sampling parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from server.engine.errors import InvalidRequest

MAX_LOGIT_BIAS, MAX_STOP_STRINGS, MAX_STOP_LENGTH, MAX_LOGPROBS = 1024, 16, 256, 20
MAX_BAD_WORDS, MAX_BAD_WORD_LENGTH = 32, 64


@dataclass(frozen=True)
class Sampling:
    """The sampling parameters of a request.

    They apply in vLLM's order: logit bias; repetition, frequency and presence penalty; temperature; min-p; top-k;
    top-p. The share in top-p is of the tokens left by min-p and top-k.

    Attributes:
        max_tokens: the most new tokens; the end of the model's context may come first. With 0 the engine only prefills
            the prompt, and the prompt may fill the whole context.
        temperature: 0 to 10; logits are divided by it. Below 0.00001 sampling is greedy: it takes the likeliest token.
        top_k: keep only the k likeliest tokens; 0 keeps all.
        top_p: over 0 up to 1; keep only the likeliest tokens that together reach this probability (Holtzman et al.
            2020).
        min_p: 0 to 1; keep only tokens with at least this share of the likeliest token's probability; 0 keeps all
            (Nguyen et al. 2024, arXiv:2407.01082).
        repetition_penalty: 0.1 to 10; over 1 makes the tokens of prompt and continuation less likely (CTRL, Keskar et
            al. 2019). `Request.unpenalised` does not count.
        presence_penalty: -2 to 2; is subtracted from the logits of tokens already in the continuation (OpenAI's API).
        frequency_penalty: -2 to 2; is subtracted likewise, once for each occurrence in the continuation.
        logit_bias: token ids and the values to add to their logits, -100 to 100; at most 1024. Not part of the hash.
        stop: the text ends before any of these strings; at most 16, of 1 to 256 characters each.
        bad_words: words or phrases to keep out of the text; at most 32, of 1 to 64 characters each. Only the
            tokenizer's own tokens for a word are matched, so the model can still spell it with others.
        min_tokens: the text does not end before it has this many new tokens.
        min_lengthening: 0 to 1; the first token lengthens the last word of the prompt only if all tokens that would do
            so have more than this probability together. 0 always lets it do so, and 1 never.
        ignore_end: never end the text before `max_tokens`. For benchmarks.
        logprobs: return the log probabilities of each token and of the k likeliest in its place; k is 0 to 20. None
            returns none.
        guidance: 1 to 10; over 1 strengthens the difference between the prompt and the request's `against`
            (server/engine/sampling/guidance.py).
        seed: 0 or more; the same seed gives the same text. None lets the engine draw one.

    Raises:
        InvalidRequest: a value is outside these bounds. The engine checks the token ids of `logit_bias` later.
    """

    max_tokens: int = 128
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    stop: tuple[str, ...] = ()
    bad_words: tuple[str, ...] = ()
    min_tokens: int = 0
    min_lengthening: float = 0.0
    ignore_end: bool = False
    logprobs: int | None = None
    guidance: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        _check_whole("max_tokens", self.max_tokens, 0)
        _check_number("temperature", self.temperature, 0.0, 10.0)
        _check_whole("top_k", self.top_k, 0)
        _check_number("top_p", self.top_p, 0.0, 1.0)
        if self.top_p == 0:
            raise InvalidRequest("top_p must be over 0, got 0; for the likeliest token alone, set temperature to 0")
        _check_number("min_p", self.min_p, 0.0, 1.0)
        _check_number("repetition_penalty", self.repetition_penalty, 0.1, 10.0)
        _check_number("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _check_number("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        # Copy them, so the caller cannot change them after the check.
        object.__setattr__(self, "logit_bias", _checked_bias(self.logit_bias))
        object.__setattr__(self, "stop", _checked_strings("stop", self.stop, MAX_STOP_STRINGS, MAX_STOP_LENGTH))
        object.__setattr__(
            self, "bad_words", _checked_strings("bad_words", self.bad_words, MAX_BAD_WORDS, MAX_BAD_WORD_LENGTH)
        )
        _check_whole("min_tokens", self.min_tokens, 0)
        _check_number("min_lengthening", self.min_lengthening, 0.0, 1.0)
        if not isinstance(self.ignore_end, bool):
            raise InvalidRequest(f"ignore_end must be true or false; got {self.ignore_end!r}")
        if self.logprobs is not None:
            _check_whole("logprobs", self.logprobs, 0, MAX_LOGPROBS)
        _check_number("guidance", self.guidance, 1.0, 10.0)
        if self.seed is not None:
            _check_whole("seed", self.seed, 0)


@dataclass(frozen=True)
class Request:
    """A prompt, as text or as token ids, and the sampling parameters of its continuation.

    Attributes:
        against: the prompt to guide away from, by `Sampling.guidance`; None for none. It doubles the work of each
            token.
        prompt_logprobs: return the log probabilities of each token of `prompt` and of the k likeliest in its place; k
            is 0 to 20. None returns none. `against` does not change them.
        client: the name of the client; the queue is fair between clients, and each has its own prefix cache.
        id: the name of the request in logs.
        openings: the token ids that each continuation begins with, as if it had drawn them; () lets them begin freely.
        drawn: the token ids that each continuation has drawn already, on another engine. They are prefilled if this
            engine computes the same bits, and drawn again if not. The streams are the same.
        drawn_with: the arithmetic of the engine that drew them; see `Runner`.
        unpenalised: the beginning of the prompt, as text. The repetition penalty leaves out its tokens.

    Raises:
        InvalidRequest: `prompt_logprobs` is outside its bounds.
    """

    prompt: str | Sequence[int]
    sampling: Sampling = field(default_factory=Sampling)
    against: str | Sequence[int] | None = None
    prompt_logprobs: int | None = None
    client: str = field(default="", compare=False)
    id: str = field(default="", compare=False)
    openings: tuple[tuple[int, ...], ...] = ()
    drawn: tuple[tuple[int, ...], ...] = ()
    drawn_with: str = ""
    unpenalised: str = ""

    def __post_init__(self) -> None:
        if self.prompt_logprobs is not None:
            _check_whole("prompt_logprobs", self.prompt_logprobs, 0, MAX_LOGPROBS)


def _checked_bias(bias: object) -> dict[int, float]:
    if not isinstance(bias, Mapping):
        raise InvalidRequest(f"logit_bias must be a mapping from token ids to numbers; got {bias!r:.60}")
    if len(bias) > MAX_LOGIT_BIAS:
        raise InvalidRequest(f"logit_bias must be of at most {MAX_LOGIT_BIAS} tokens; got {len(bias)}")
    for token, value in bias.items():
        _check_whole("logit_bias: a token id", token, 0)
        _check_number(f"logit_bias of token {token}", value, -100.0, 100.0)
    return dict(bias)


def _checked_strings(name: str, strings: object, most: int, longest: int) -> tuple[str, ...]:
    if not isinstance(strings, (tuple, list)) or not all(isinstance(string, str) for string in strings):
        raise InvalidRequest(f"{name} must be a tuple of strings, even if it is only one; got {strings!r:.60}")
    if len(strings) > most:
        raise InvalidRequest(f"{name} must be at most {most} strings; got {len(strings)}")
    for string in strings:
        if not 1 <= len(string) <= longest:
            raise InvalidRequest(f"{name} must be strings of 1 to {longest} characters; got one of {len(string)}")
    return tuple(strings)


def _check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):  # type: ignore[operator]
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise InvalidRequest(f"{name} must be a whole number, {bounds}; got {value!r}")


def _check_number(name: str, value: object, least: float, most: float) -> None:
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not numeric or not least <= value <= most:  # type: ignore[operator]
        raise InvalidRequest(f"{name} must be a number from {least:g} to {most:g}; got {value!r}")
