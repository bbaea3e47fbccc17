"""The part of a long text for the model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.bundle import Bundle
from server.desk.window import window
from server.engine.text.tokenizer import Tokenizer

SENTENCE = "Zoë, a baker from Łódź, follows a stranger under the old harbour. "

words = st.sampled_from(["a", "fox", "Zoë", "東京の刑事", "naïve", "café", "🎭", "x" * 40])
marks = st.sampled_from([" ", " ", " ", ". ", "! ", "…” ", "?) ", "\n", "\n\n", ".", ""])
texts = st.lists(st.tuples(words, marks), max_size=120).map(lambda parts: "".join(map("".join, parts)))


@pytest.fixture(scope="module")
def tokenizer(bundle: Bundle) -> Tokenizer:
    return Tokenizer(bundle.tokenizer, bundle.manifest.model.context)


@given(text=st.one_of(texts, st.text()), room=st.integers(0, 120))
def test_it_is_the_end_of_the_text_and_fits(tokenizer: Tokenizer, text: str, room: int) -> None:
    seen = window(text, tokenizer, room)
    assert text.endswith(seen)
    assert len(tokenizer.encode(seen)) <= room


@given(text=texts)
def test_a_text_that_fits_is_seen_whole(tokenizer: Tokenizer, text: str) -> None:
    """Counted one by one, sentences may have a token more than in one piece."""
    room = sum(len(tokenizer.encode(character)) for character in text)
    assert window(text, tokenizer, room) == text


@given(lengths=st.lists(st.integers(1, 12), min_size=9, max_size=60))
def test_it_is_no_less_than_a_quarter_of_what_there_is_room_for(tokenizer: Tokenizer, lengths: list[int]) -> None:
    text = "".join("a fox" + " ran" * length + ". " for length in lengths)
    assert len(tokenizer.encode(window(text, tokenizer, 60))) >= 15


def test_it_begins_at_the_same_place_for_long_while_a_text_grows(tokenizer: Tokenizer) -> None:
    """With each new beginning, the engine must read the whole window again."""
    texts = [SENTENCE * count for count in range(1, 60)]
    room = 10 * len(tokenizer.encode(SENTENCE))
    starts = [len(text) - len(window(text, tokenizer, room)) for text in texts]
    assert starts == sorted(starts)
    assert len(set(starts)) <= 60 // 5 + 1
    assert all(start % len(SENTENCE) == 0 for start in starts)


def test_short_sentences_are_tokenized_together(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, encoded = Tokenizer.encode, []

    def counted(tokenizer: Tokenizer, text: str) -> list[int]:
        encoded.append(text)
        return encode(tokenizer, text)

    monkeypatch.setattr(Tokenizer, "encode", counted)
    assert window("a.\n" * 3000, tokenizer, 400).endswith("a.\na.\n")
    assert len(encoded) <= 9000 // (400 // 16) + 5


def test_sentences_need_no_spaces_between_them(tokenizer: Tokenizer) -> None:
    seen = window("山高月小。水落石出！" * 200, tokenizer, 100)
    assert 25 <= len(tokenizer.encode(seen)) <= 100
    assert seen.startswith(("山", "水"))
    assert seen.endswith("水落石出！")


def test_of_one_endless_sentence_it_is_some_words(tokenizer: Tokenizer) -> None:
    seen = window("and so on " * 3000, tokenizer, 40)
    assert 10 <= len(tokenizer.encode(seen)) <= 40
    assert seen.startswith(("and ", "so ", "on "))


def test_of_what_has_no_words_it_is_the_end(tokenizer: Tokenizer) -> None:
    assert 0 < len(window("x" * 50_000, tokenizer, 40)) <= 40
