from hypothesis import given
from hypothesis import strategies as st

from training.pieces import pieces, sentences

WORDS = st.lists(st.sampled_from(["a", "door", "opens.", "Nobody", "“is”", "there!", "Dr.", "…?"]), min_size=1)


def test_sentences_end_where_the_next_begins() -> None:
    text = 'Mr. Hale waits. "Who is it?" she asks. J. Doe… Nobody answers! It is 5.30 p.m. here.'
    assert sentences(text) == [
        "Mr. Hale waits. ",
        '"Who is it?" she asks. ',
        "J. Doe… ",
        "Nobody answers! ",
        "It is 5.30 p.m. here.",
    ]


@given(WORDS.map(" ".join), st.integers(8, 60))
def test_pieces_hold_the_whole_text_in_order_and_fit(text: str, longest: int) -> None:
    cut = pieces(text, longest)
    assert " ".join(cut).split() == text.split()
    assert all(0 < len(piece) <= longest for piece in cut)


def test_pieces_are_of_about_the_same_length() -> None:
    text = " ".join(f"Sentence number {i} is here." for i in range(41))
    lengths = [len(piece) for piece in pieces(text, 400)]
    assert min(lengths) > 0.7 * max(lengths)


def test_a_sentence_without_end_is_cut_between_words_or_anywhere() -> None:
    assert pieces("word " * 30, 20) == ["word word word word"] * 7 + ["word word"]
    assert pieces("x" * 50, 20) == ["x" * 20, "x" * 20, "x" * 10]
