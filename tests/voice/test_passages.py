"""Passages: every word once and in order, of the right lengths, a tenth of them held out."""

from itertools import pairwise
from statistics import median

from voice.manuscripts import Manuscript
from voice.parroting import longest_shared_run
from voice.passages import LONGEST, passages, split

SENTENCE = "The night porter counts the keys and finds one too many on the board."
STORY = Manuscript("story.txt", tuple(" ".join([f"{number} {SENTENCE}"] * 3) for number in range(400)))


def test_no_word_is_lost_or_moved() -> None:
    cut = list(passages([STORY]))
    assert " ".join(each.text for each in cut).split() == " ".join(STORY.paragraphs).split()
    assert all(each.words == len(each.text.split()) for each in cut)


def test_most_are_a_few_lines_and_all_fit() -> None:
    sizes = [each.words for each in passages([STORY])]
    assert 45 <= median(sizes) <= 80
    assert min(sizes) < 30
    assert max(sizes) > 100
    assert all(len(each.text) <= LONGEST for each in passages([STORY]))


def test_a_sentence_that_is_too_long_is_cut() -> None:
    long = Manuscript("long.txt", ("word " * 3_000,))
    cut = list(passages([long]))
    assert max(len(each.text) for each in cut) <= LONGEST
    assert sum(each.words for each in cut) == 3_000


def test_a_tenth_is_held_out_in_runs() -> None:
    documents = list(passages([STORY]))
    trained, held_out = split(documents)
    assert len(trained) + len(held_out) == len(documents)
    assert 0.07 <= len(held_out) / len(documents) <= 0.13
    places = [documents.index(each) for each in held_out]
    assert sum(after == before + 1 for before, after in pairwise(places)) >= 0.7 * len(places)


def test_the_longest_run_of_words_that_two_texts_share() -> None:
    read = ["He took the key. Then the night porter counted them again.", "Rain."]
    assert longest_shared_run(read, ["Nobody!", "And then, THE NIGHT porter slept."]) == [
        "then",
        "the",
        "night",
        "porter",
    ]
    assert longest_shared_run(read, ["Nothing alike"]) == []
    assert longest_shared_run(["A b c"], ["b c a"]) == ["b", "c"]
