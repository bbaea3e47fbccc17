"""What a reader asks for: a prompt, and how to choose each next token."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from server.engine.errors import InvalidRequest


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. Applied in this order: repetition penalty, temperature, top-k, top-p.

    max_tokens: new tokens at most, 1 or more; the end of the model's context may come first.
    temperature: 0 (greedy, always the likeliest token) to 10; logits are divided by it.
    top_k: only the k likeliest tokens; 0 for all.
    top_p: only the likeliest tokens that together reach this probability, over 0 up to 1 (Holtzman et al. 2020).
    repetition_penalty: 0.1 to 10; over 1 makes tokens that occurred less likely (CTRL, Keskar et al. 2019).
    guidance: 1 to 10; over 1 strengthens what sets a prompt apart from its `against` (server/engine/guidance.py).
    seed: 0 or more; the same seed gives the same text. None lets the engine draw one.

    Raises InvalidRequest for a value outside these.
    """

    max_tokens: int = 128
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    guidance: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        _check_whole("max_tokens", self.max_tokens, 1)
        _check_number("temperature", self.temperature, 0.0, 10.0)
        _check_whole("top_k", self.top_k, 0)
        _check_number("top_p", self.top_p, 0.0, 1.0)
        if self.top_p == 0:
            raise InvalidRequest("top_p must be over 0, got 0; for the likeliest token alone, set temperature to 0")
        _check_number("repetition_penalty", self.repetition_penalty, 0.1, 10.0)
        _check_number("guidance", self.guidance, 1.0, 10.0)
        if self.seed is not None:
            _check_whole("seed", self.seed, 0)


@dataclass(frozen=True)
class Request:
    """A prompt, as text or as token ids, and the sampling of its continuation.

    against: the prompt that the continuation is led away from, by `Sampling.guidance`; None for none. It doubles the
    work of each token.
    """

    prompt: str | Sequence[int]
    sampling: Sampling = field(default_factory=Sampling)
    against: str | Sequence[int] | None = None


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidRequest(f"{name} must be a whole number, {least} or more; got {value!r}")


def _check_number(name: str, value: object, least: float, most: float) -> None:
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not numeric or not math.isfinite(value) or not least <= value <= most:  # type: ignore[arg-type,operator]
        raise InvalidRequest(f"{name} must be a number from {least:g} to {most:g}; got {value!r}")
