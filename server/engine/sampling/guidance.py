"""Classifier-free guidance: strengthens a prompt's genre (Sanchez et al. 2023, arXiv:2306.17806)."""

import math

import numpy as np
import numpy.typing as npt

from server.bundle import EngineContract
from server.engine.sampling.kernels import likeliest, log_sum_exp

PLAUSIBLE = EngineContract().guidance_floor
"""The floor for bundles that don't name theirs."""


def guide(
    logits: npt.NDArray[np.float32], against: npt.NDArray[np.float32], strength: float, floor: float = PLAUSIBLE
) -> npt.NDArray[np.float32]:
    """Return the guided log probabilities, float32 [vocab]: against + strength × (logits − against).

    Implausible tokens get -inf. If the input is not finite, neither is the result.

    Args:
        logits: float32 [vocab], of the prompt.
        against: float32 [vocab], of the prompt to guide away from: the same one without its genre.
        strength: 1 gives the prompt's own log probabilities; more guides further.
        floor: tokens below this share of the likeliest token's probability are implausible. Among unlikely tokens the
            difference between two distributions is noise (Li et al. 2023, arXiv:2210.15097).
    """
    guided = np.full_like(logits, -np.inf)
    # Few tokens are plausible; the others only matter for the two sums.
    kept = likeliest(logits, logits.size, logits.max() + np.float32(math.log(floor)))
    with np.errstate(invalid="ignore"):  # inf - inf, if logits are not finite
        own = logits[kept] - np.float32(log_sum_exp(logits))
        plain = against[kept] - np.float32(log_sum_exp(against))
        guided[kept] = plain + np.float32(strength) * (own - plain)
    return guided
