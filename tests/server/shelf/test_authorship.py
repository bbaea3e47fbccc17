"""Runs of authors, and the part of a text that has changed."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from server.shelf.authorship import By, changed, joined, part, replaced

TEXTS = st.text("ab ", max_size=12)
RUNS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(("writer", "model"))), max_size=6)


def letters(runs: list[tuple[int, By]]) -> str:
    return "".join(by[0] * length for length, by in runs)


@given(TEXTS, TEXTS)
def test_the_rest_of_both_texts_is_what_has_changed(before: str, after: str) -> None:
    start, same = changed(before, after)
    assert start + same <= min(len(before), len(after))
    assert before[:start] + after[start : len(after) - same] + before[len(before) - same :] == after
    inside, outside = before[start : len(before) - same], after[start : len(after) - same]
    assert not (inside and outside) or (inside[0] != outside[0] and inside[-1] != outside[-1])


@given(TEXTS, st.integers(0, 12), TEXTS)
def test_words_are_typed_at_the_caret_if_they_can_be(before: str, at: int, put: str) -> None:
    at = min(at, len(before))
    after = before[:at] + put + before[at:]
    assert changed(before, after, at + len(put)) == (at, len(before) - at)


@given(TEXTS, TEXTS, st.integers(0, 12))
def test_no_caret_makes_more_of_a_text_new(before: str, after: str, caret: int) -> None:
    start, same = changed(before, after, caret)
    assert start + same == sum(changed(before, after))
    assert before[:start] + after[start : len(after) - same] + before[len(before) - same :] == after


@given(RUNS, st.integers(0, 20), st.integers(0, 20))
def test_a_part_has_the_authors_of_its_characters(runs: list[tuple[int, By]], start: int, end: int) -> None:
    assert letters(part(runs, start, end)) == letters(runs)[start:end]
    assert letters(joined(runs)) == letters(runs)
    neighbours = [by for _, by in joined(runs)]
    assert all(one != other for one, other in pairwise(neighbours))


@given(RUNS, st.integers(0, 20), st.integers(0, 20), st.integers(0, 3))
def test_other_words_in_a_text_keep_their_authors(runs: list[tuple[int, By]], start: int, more: int, put: int) -> None:
    before = letters(runs)
    start = min(start, len(before))
    end = min(start + more, len(before))
    assert letters(replaced(runs, start, end, (put, "model"))) == before[:start] + "m" * put + before[end:]
