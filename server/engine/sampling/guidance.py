"""Classifier-free guidance (Sanchez et al. 2023, arXiv:2306.17806): strengthens a prompt's genre."""

import math

import numpy as np
import numpy.typing as npt

from server.engine.sampling.kernels import likeliest, log_sum_exp

PLAUSIBLE = 0.02
"""Tokens less probable than this share of the likeliest one stay out, however much the genre adds (Li et al. 2023,
arXiv:2210.15097): far from the likely ones the difference of two models is noise."""


def guide(
    logits: npt.NDArray[np.float32], against: npt.NDArray[np.float32], strength: float
) -> npt.NDArray[np.float32]:
    """The float32 logits [vocab] of a prompt, led away from those of the same prompt without its genre.

    against + strength × (logits − against), of log-probabilities; 1 gives the prompt's own, more leads further. -inf
    for what is implausible. Logits that are not finite give none that are.
    """
    guided = np.full_like(logits, -np.inf)
    # Few tokens are plausible; the others are looked at for their share in the two sums alone.
    kept = likeliest(logits, logits.size, logits.max() + np.float32(math.log(PLAUSIBLE)))
    with np.errstate(invalid="ignore"):  # inf - inf, where logits are not finite
        own = logits[kept] - np.float32(log_sum_exp(logits))
        plain = against[kept] - np.float32(log_sum_exp(against))
        guided[kept] = plain + np.float32(strength) * (own - plain)
    return guided
