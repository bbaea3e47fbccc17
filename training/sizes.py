"""The sizes for `plotify train` to train from scratch.

For a larger model, it is better to fine-tune GPT-2's weights.
"""

import re
from dataclasses import dataclass, replace

HEAD_WIDTH = 64
"""Width of each attention head in a size that is given by its dimensions, as in all of GPT-2's sizes."""

SMALLEST_VOCABULARY = 257
"""A token for each byte, and the end of text."""

DIMENSIONS = re.compile(r"(\d+)x(\d+)(?:/(\d+)(?:/(\d+))?)?")
"""LAYERSxWIDTH[/VOCABULARY[/CONTEXT]]"""


@dataclass(frozen=True)
class Size:
    """GPT-2's dimensions, with training settings found to suit them.

    Attributes:
        vocabulary: number of tokens of the byte-level BPE trained with the model.
        context: longest document, in tokens.
        dropout: dropout after embeddings and in residual branches. Attention weights have none.
        learning_rate: peak learning rate.
    """

    layers: int
    heads: int
    width: int
    vocabulary: int
    context: int
    dropout: float
    learning_rate: float


SIZES = {
    "minute": Size(layers=2, heads=2, width=32, vocabulary=512, context=128, dropout=0.0, learning_rate=3e-3),
    "mini": Size(layers=6, heads=5, width=320, vocabulary=8192, context=512, dropout=0.0, learning_rate=2e-3),
    "small": Size(layers=12, heads=12, width=768, vocabulary=16384, context=1024, dropout=0.1, learning_rate=6e-4),
}
"""`minute` is for tests, `mini` ships with Plotify, `small` has GPT-2 small's layers."""


def size_of(base: str) -> Size | None:
    """Return the size that `base` declares; None if it names trained weights.

    A size is a name of `SIZES`, or LAYERSxWIDTH[/VOCABULARY[/CONTEXT]]. The latter takes everything else from `mini`.

    Raises:
        ValueError: the dimensions don't make a GPT-2.
    """
    given = DIMENSIONS.fullmatch(base)
    if not given:
        return SIZES.get(base)
    mini = SIZES["mini"]
    layers, width = int(given[1]), int(given[2])
    vocabulary, context = int(given[3] or mini.vocabulary), int(given[4] or mini.context)
    if not layers or not width or width % HEAD_WIDTH or vocabulary < SMALLEST_VOCABULARY or context < 2:
        raise ValueError(
            f"--base {base}: a size is LAYERSxWIDTH/VOCABULARY/CONTEXT, with at least one layer, a width that is a "
            f"multiple of {HEAD_WIDTH}, and at least {SMALLEST_VOCABULARY} tokens; the last two may be left out"
        )
    return replace(mini, layers=layers, heads=width // HEAD_WIDTH, width=width, vocabulary=vocabulary, context=context)


FINE_TUNING_LEARNING_RATE = 5e-5
"""Peak learning rate for training from trained weights."""
