"""Log probabilities of tokens."""

from typing import NamedTuple


class TokenLogprobs(NamedTuple):
    """Natural-log probabilities in the model's own distribution, before penalties, bias and temperature.

    Attributes:
        logprob: the log probability of the sampled token.
        top: the likeliest tokens, as pairs of id and log probability. The likeliest is first; of equal ones the
            smaller id is first. There may be fewer than requested, if fewer tokens are possible at all.
    """

    logprob: float
    top: tuple[tuple[int, float], ...]
