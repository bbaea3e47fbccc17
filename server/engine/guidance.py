"""Classifier-free guidance: what a genre adds to a prompt, made stronger (Sanchez et al. 2023, arXiv:2306.17806)."""

import numpy as np
import numpy.typing as npt

PLAUSIBLE = 0.02
"""Tokens less probable than this share of the likeliest one stay out, however much the genre adds (Li et al. 2023,
arXiv:2210.15097): far from the likely ones the difference of two models is noise."""


def guide(
    logits: npt.NDArray[np.float32], against: npt.NDArray[np.float32], strength: float
) -> npt.NDArray[np.float32]:
    """The logits [vocab] of a prompt, led away from those of the same prompt without its genre.

    against + strength × (logits − against), of log-probabilities; 1 gives the prompt's own, more leads further.
    """
    own, plain = _log_softmax(logits), _log_softmax(against)
    guided = plain + np.float32(strength) * (own - plain)
    guided[own < own.max() + np.float32(np.log(PLAUSIBLE))] = -np.inf
    return guided


def _log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    shifted = logits - logits.max()
    result: npt.NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(dtype=np.float64)).astype(np.float32)
    return result
