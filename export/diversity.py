"""Measures of repetition and diversity, in lower-case words without punctuation."""

import re
from collections.abc import Sequence


def words(text: str) -> list[str]:
    """Return the words of `text` in lower case."""
    return re.findall(r"\w+(?:['’]\w+)*", text.lower())


def mean_words(texts: Sequence[str]) -> float:
    """Return the mean number of words in a text. There must be at least one text."""
    return sum(len(words(text)) for text in texts) / len(texts)


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """Return all runs of `n` words in `text`."""
    sequence = words(text)
    return list(zip(*(sequence[start:] for start in range(n)), strict=False))


def distinct(texts: Sequence[str], n: int) -> float:
    """Return the number of distinct n-grams divided by the number of all n-grams, from 0 to 1.

    The n-grams of all `texts` are counted together. The figure falls as the amount of text grows, so compare only
    figures from the same number of texts of the same length.
    """
    every = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(every)) / len(every) if every else 0.0


def repetition(texts: Sequence[str], n: int = 4) -> float:
    """Return the share of n-grams repeating an earlier one of the same text, averaged over `texts`.

    Texts too short to have an n-gram do not count.
    """
    shares = [1 - len(set(grams)) / len(grams) for grams in (ngrams(text, n) for text in texts) if grams]
    return sum(shares) / len(shares) if shares else 0.0
