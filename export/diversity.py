"""Does a text go round in circles? Counted in words, lower case, without punctuation."""

import re
from collections.abc import Sequence


def words(text: str) -> list[str]:
    """The words of `text` in lower case."""
    return re.findall(r"\w+(?:['’]\w+)*", text.lower())


def mean_words(texts: Sequence[str]) -> float:
    """Words in a text, the mean over at least one of them."""
    return sum(len(words(text)) for text in texts) / len(texts)


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """All runs of `n` words in `text`."""
    sequence = words(text)
    return list(zip(*(sequence[start:] for start in range(n)), strict=False))


def distinct(texts: Sequence[str], n: int) -> float:
    """Distinct n-grams over all n-grams of `texts` together, 0 to 1.

    Falls as the amount of text grows, so only figures from the same number of texts of the same length compare.
    """
    every = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(every)) / len(every) if every else 0.0


def repetition(texts: Sequence[str], n: int = 4) -> float:
    """Share of n-grams that repeat an earlier one of the same text, the mean over the texts long enough to have any."""
    shares = [1 - len(set(grams)) / len(grams) for grams in (ngrams(text, n) for text in texts) if grams]
    return sum(shares) / len(shares) if shares else 0.0
