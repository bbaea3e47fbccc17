"""Classifier-free guidance: strengthens a prompt's genre (Sanchez et al. 2023, arXiv:2306.17806)."""

import math

import numpy as np

from server.bundle import EngineContract
from server.engine.arrays import Floats
from server.engine.sampling.kernels import guided

PLAUSIBLE = EngineContract().guidance_floor
"""The floor for bundles that don't name theirs."""


def guide(logits: Floats, against: Floats, strength: float, floor: float = PLAUSIBLE) -> Floats:
    """Return the guided log probabilities, float32 [vocab]: against + strength × (logits − against).

    Implausible tokens get -inf. If the input is not finite, neither is the result.

    Args:
        logits: float32 [vocab], of the prompt.
        against: float32 [vocab], of the prompt to guide away from: the same one without its genre.
        strength: 1 gives the prompt's own log probabilities; more guides further.
        floor: tokens below this share of the likeliest token's probability are implausible. Among unlikely tokens the
            difference between two distributions is noise (Li et al. 2023, arXiv:2210.15097).
    """
    return guided(logits, against, np.float32(strength), np.float32(math.log(floor)))
