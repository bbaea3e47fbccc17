import pytest

from training.names import MOST, names_in


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("In Lisbon, Inspector Anna Dias meets her brother Tom's wife.", ["Inspector Anna Dias", "Tom"]),
        ("Nobody knows why. Everyone asks.", []),
        ("Rain falls on the Isle of Skye, where old Kerr waits.", ["Isle of Skye", "Kerr"]),
        ("On Monday I met Anna, and Anna met Anna Maria.", ["Anna"]),
        ("He sails from New York to New York City.", ["New York"]),
    ],
)
def test_names_are_capitals_within_a_sentence(text: str, names: list[str]) -> None:
    assert names_in(text) == names


def test_a_name_at_the_beginning_of_a_sentence_counts_where_it_stands_within_one_too() -> None:
    assert names_in("Greta leaves. They follow Greta to the coast.") == ["Greta"]


def test_there_are_at_most_so_many() -> None:
    letters = "bcdfghklmnprst"
    text = "They met " + ", ".join(f"{letter.upper()}a{letter * 2}o" for letter in letters) + "."
    assert len(names_in(text)) == MOST
