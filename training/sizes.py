"""The sizes for `plotify train` to train from scratch.

For a larger model, it is better to fine-tune GPT-2's weights.
"""

from dataclasses import dataclass


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

FINE_TUNING_LEARNING_RATE = 5e-5
"""Peak learning rate for training from trained weights."""
