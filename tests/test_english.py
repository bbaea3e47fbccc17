"""The check of the docstrings finds every kind of problem, and passes a clean text."""

from pathlib import Path

import pytest

from tests.english import FIRST_LINE, PACKAGES, ROOT, Docstring, docstrings, docstrings_in, problems

SOURCE = '''
"""Of a module."""

LIMIT = 3
"""Of a constant."""


class Thing:
    """Of a class."""

    size: int
    """Of an attribute."""

    def grow(self) -> str:
        """Of a function."""
        return "not a docstring"
'''


def of(text: str) -> list[Docstring]:
    return [Docstring("a.py:1", text)]


def with_words(word: str, times: int) -> str:
    """Return 1,000 words with `times` of them being `word`."""
    return "\n".join(["Plain words."] + [word] * times + ["plain"] * (998 - times))


def test_all_docstrings_are_found_in_their_places() -> None:
    found = {each.text: each.place for each in docstrings(SOURCE, "a.py")}
    assert found == {
        "Of a module.": "a.py:2",
        "Of a constant.": "a.py:5",
        "Of a class.": "a.py:9",
        "Of an attribute.": "a.py:12",
        "Of a function.": "a.py:15",
    }


@pytest.mark.parametrize("word", ["What", "Who", "Whom", "Whose", "How", "Whether"])
def test_an_opening_with_a_question_word_is_a_problem(word: str) -> None:
    (problem,) = problems(of(f"{word} ever, " + "plain " * 9 + "\n" + "plain " * 4000))
    assert problem == f"a.py:1: opens with {word!r}; say what it is or does"


@pytest.mark.parametrize("text", ["However it is.", "Says what it is.", "Whatever it is."])
def test_other_openings_are_fine(text: str) -> None:
    assert problems(of(text)) == []


def test_the_first_line_must_be_short() -> None:
    assert problems(of("x" * (FIRST_LINE - 1) + "\n" + "y" * 119)) == []
    (problem,) = problems(of("x" * FIRST_LINE))
    assert problem == "a.py:1: the first line has 100 characters; give it fewer than 100"


@pytest.mark.parametrize("word", ["that", "which", "That", "that's"])
def test_12_words_in_1000_may_be_that_or_which(word: str) -> None:
    assert problems(of(with_words(word, 12))) == []
    assert problems(of(with_words(word, 13))) == ["that, which: 13.0 in 1,000 words, 12 at most; see a.py:1"]


@pytest.mark.parametrize("word", ["who", "whom", "whose"])
def test_1_word_in_2000_may_be_who_whom_or_whose(word: str) -> None:
    plain = Docstring("b.py:7", with_words("plain", 0))
    assert problems([*of(with_words(word, 1)), plain]) == []
    assert problems([*of(with_words(word, 2)), plain]) == [
        "who, whom, whose: 1.0 in 1,000 words, 0.5 at most; see a.py:1"
    ]


def test_a_clean_text_has_no_problem() -> None:
    assert problems(of("Return the tokens of a text.\n\nArgs:\n    text: any text.")) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_docstrings(package: str) -> None:
    assert {each.place.rpartition("/")[0] for each in docstrings_in(ROOT / package)} >= {package}


def test_a_folder_without_docstrings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no docstrings"):
        docstrings_in(tmp_path)
