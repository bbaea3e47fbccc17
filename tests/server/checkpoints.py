"""A checkpoint in its own framework, to check the engine's numbers."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def logprobs_of(checkpoint: Path, tokens: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return natural-log probabilities [tokens - 1, vocab] after each token, from transformers."""
    from export.convert import tensorflow_logits

    logits = tensorflow_logits(_model(checkpoint), np.array([tokens[:-1]]))[0].astype(np.float64)
    found: npt.NDArray[np.float64] = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return found


@cache
def _model(checkpoint: Path) -> Any:
    from export.checkpoint import read_checkpoint
    from export.convert import load_tensorflow

    return load_tensorflow(read_checkpoint(checkpoint))
