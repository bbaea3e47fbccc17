"""The exact sampling probabilities: in float64, over the whole vocabulary, by sorting."""

from typing import Any

import numpy as np
import numpy.typing as npt

from server.engine import Sampling
from server.engine.arrays import Floats

Exact = npt.NDArray[np.float64]


def softmax(scores: npt.NDArray[Any]) -> Exact:
    weights = np.exp(scores - scores.max(), dtype=np.float64)
    return np.asarray(weights / weights.sum())


def penalised(sampling: Sampling, logits: Floats, prompt: list[int], drawn: list[int], end: int) -> Exact:
    """Return the scores after bias and penalties, in float64."""
    scores, counts = logits.astype(np.float64), np.bincount(drawn, minlength=logits.size)[: logits.size]
    for token, bias in sampling.logit_bias.items():
        scores[token] += bias
    seen = np.isin(np.arange(logits.size), [*prompt, *drawn])
    penalty = sampling.repetition_penalty
    scores[seen] = np.where(scores[seen] > 0, scores[seen] / penalty, scores[seen] * penalty)
    scores -= sampling.frequency_penalty * counts + sampling.presence_penalty * (counts > 0)
    if sampling.ignore_end:
        scores[end] = -np.inf
    return scores


def exact(sampling: Sampling, scores: npt.NDArray[Any]) -> Exact:
    """Return the probability of each token, by sorting: the likeliest first, equal ones by id."""
    probabilities = softmax(scores / sampling.temperature)
    order = np.argsort(-probabilities, kind="stable")
    kept = order[probabilities[order] >= sampling.min_p * probabilities.max()]
    kept = kept[: sampling.top_k or None]
    share = np.cumsum(probabilities[kept]) / probabilities[kept].sum()
    kept = kept[np.concatenate(([True], share[:-1] < sampling.top_p))]
    result = np.zeros_like(probabilities)
    result[kept] = probabilities[kept] / probabilities[kept].sum()
    return result
