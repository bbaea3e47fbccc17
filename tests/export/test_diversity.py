"""Repetition and distinct n-grams, counted by hand."""

import pytest

from export.diversity import distinct, repetition, words


def test_words_are_lower_case_without_punctuation() -> None:
    assert words("Zoë's clock — the LAST one! 東京") == ["zoë's", "clock", "the", "last", "one", "東京"]


def test_distinct_counts_over_all_texts_together() -> None:
    assert distinct(["the fox sees the fox", "The fox sleeps."], 2) == pytest.approx(4 / 6)
    assert distinct(["a"], 2) == 0.0


def test_repetition_is_the_mean_share_of_repeated_runs_within_a_text() -> None:
    # Five runs of four words, and the fifth repeats the first; the second text repeats nothing.
    assert repetition(["a b c d a b c d"]) == pytest.approx(1 / 5)
    assert repetition(["a b c d a b c d", "one two three four", "too short"]) == pytest.approx(1 / 10)
    assert repetition([]) == 0.0
