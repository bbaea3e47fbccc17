"""Tokens drawn one at a time."""

from functools import cache

import numpy as np

from server.engine.sampling.batch_sampler import Drawing
from server.engine.sampling.kernels import Floats
from server.engine.sampling.sampler import Drawn, Sampler


@cache
def _drawing() -> Drawing:
    return Drawing(1)


def draw(sampler: Sampler, logits: Floats) -> Drawn:
    """The next token of a sequence from logits [vocab], which are left as they are."""
    rows = logits[np.newaxis].copy()
    (token,) = _drawing().draw(rows, [sampler.turn(rows, 0)])
    return sampler.taken(token)
