"""Tokens drawn one at a time."""

from functools import cache

import numpy as np

from server.engine.arrays import Floats
from server.engine.sampling.batch_sampler import BatchSampler
from server.engine.sampling.sampler import SampledToken, Sampler


@cache
def _batch_sampler() -> BatchSampler:
    return BatchSampler(1)


def draw(sampler: Sampler, logits: Floats) -> SampledToken:
    """Draw the next token of a sequence from logits [vocab], without changing them."""
    rows = logits[np.newaxis].copy()
    (token,) = _batch_sampler().sample(rows, [sampler.prepare(rows, 0)])
    return sampler.accept(token)
