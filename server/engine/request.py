"""A request: a prompt, and the rules by which each next token is sampled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from server.engine.errors import InvalidRequest

MAX_LOGIT_BIAS, MAX_STOP_STRINGS, MAX_STOP_LENGTH, MAX_LOGPROBS = 1024, 16, 256, 20
MAX_BAD_WORDS, MAX_BAD_WORD_LENGTH = 32, 64


@dataclass(frozen=True)
class Sampling:
    """The rules by which tokens are sampled.

    They apply in vLLM's order: logit bias; repetition, frequency and presence penalty; temperature; min-p; top-k;
    top-p, a share of the tokens that min-p and top-k have left.

    max_tokens: new tokens at most; the end of the model's context may come first. 0 for none: the prompt is read only,
    and may then fill the whole context.
    temperature: 0 (greedy, always the likeliest token) to 10; logits are divided by it. Greedy below 0.00001.
    top_k: only the k likeliest tokens; 0 for all.
    top_p: only the likeliest tokens that together reach this probability, over 0 up to 1 (Holtzman et al. 2020).
    min_p: only tokens at least this share, 0 to 1, as probable as the likeliest; 0 for all (Nguyen et al. 2024,
    arXiv:2407.01082).
    repetition_penalty: 0.1 to 10; over 1 makes tokens of prompt and continuation less likely (CTRL, Keskar et al.
    2019).
    presence_penalty: -2 to 2, subtracted from the logits of tokens that the continuation has already (OpenAI's API).
    frequency_penalty: -2 to 2, the same, once for each time that the continuation has the token.
    logit_bias: token ids and what to add to their logits, -100 to 100; at most 1024. It is no part of the hash.
    stop: strings before which the text ends; at most 16, of 1 to 256 characters each.
    bad_words: words, or several in a row, to keep out of the text; at most 32, of 1 to 64 characters each. They are
    matched as the tokenizer spells them: a model that spells one otherwise gets past.
    min_tokens: the text does not end before so many new tokens.
    ignore_end: never end the text before max_tokens. For benchmarks.
    logprobs: give the log probability of each token and of the k likeliest in its place, k from 0 to 20; None for none.
    guidance: 1 to 10; over 1 strengthens what sets a prompt apart from its `against` (engine/sampling/guidance.py).
    seed: 0 or more; the same seed gives the same text. None lets the engine draw one.

    Raises InvalidRequest for a value outside these. The engine checks that the ids of
    logit_bias are in the vocabulary.
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
        # Copies, so that what was checked is what stays.
        object.__setattr__(self, "logit_bias", _checked_bias(self.logit_bias))
        object.__setattr__(self, "stop", _checked_strings("stop", self.stop, MAX_STOP_STRINGS, MAX_STOP_LENGTH))
        object.__setattr__(
            self, "bad_words", _checked_strings("bad_words", self.bad_words, MAX_BAD_WORDS, MAX_BAD_WORD_LENGTH)
        )
        _check_whole("min_tokens", self.min_tokens, 0)
        if not isinstance(self.ignore_end, bool):
            raise InvalidRequest(f"ignore_end must be true or false; got {self.ignore_end!r}")
        if self.logprobs is not None:
            _check_whole("logprobs", self.logprobs, 0, MAX_LOGPROBS)
        _check_number("guidance", self.guidance, 1.0, 10.0)
        if self.seed is not None:
            _check_whole("seed", self.seed, 0)


@dataclass(frozen=True)
class Request:
    """A prompt, as text or as token ids, and the sampling of its continuation.

    against: the prompt that the continuation is led away from, by `Sampling.guidance`; None for none. It doubles the
    work of each token.
    prompt_logprobs: give the log probability of each token of `prompt` and of the k likeliest in its place, k from 0 to
    20; None for none. `against` has no part in them. Raises InvalidRequest for another k.
    client: the one that asks; the queue is fair between clients. id: the name of the request in logs.
    """

    prompt: str | Sequence[int]
    sampling: Sampling = field(default_factory=Sampling)
    against: str | Sequence[int] | None = None
    prompt_logprobs: int | None = None
    client: str = field(default="", compare=False)
    id: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.prompt_logprobs is not None:
            _check_whole("prompt_logprobs", self.prompt_logprobs, 0, MAX_LOGPROBS)


def _checked_bias(bias: object) -> dict[int, float]:
    if not isinstance(bias, Mapping):
        raise InvalidRequest(f"logit_bias must be a mapping from token ids to numbers; got {bias!r:.60}")
    if len(bias) > MAX_LOGIT_BIAS:
        raise InvalidRequest(f"logit_bias must be of {MAX_LOGIT_BIAS} tokens at most; got {len(bias)}")
    for token, value in bias.items():
        _check_whole("logit_bias: a token id", token, 0)
        _check_number(f"logit_bias of token {token}", value, -100.0, 100.0)
    return dict(bias)


def _checked_strings(name: str, strings: object, most: int, longest: int) -> tuple[str, ...]:
    if not isinstance(strings, (tuple, list)) or not all(isinstance(string, str) for string in strings):
        raise InvalidRequest(f"{name} must be a tuple of strings, also where it is only one; got {strings!r:.60}")
    if len(strings) > most:
        raise InvalidRequest(f"{name} must be of {most} strings at most; got {len(strings)}")
    for string in strings:
        if not 1 <= len(string) <= longest:
            raise InvalidRequest(f"{name} must be of strings of 1 to {longest} characters; got one of {len(string)}")
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
