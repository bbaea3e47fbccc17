"""Stop strings: a text ends before the first one and shows nothing of it, however the text is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.text.stop_strings import StopStrings

# Use few letters, so stop strings overlap with each other, with themselves and with the text.
letters = st.text("ab\n", max_size=30)
stop_strings = st.lists(st.text("ab\n", min_size=1, max_size=5), max_size=4).map(tuple)


def pushed(stops: tuple[str, ...], pieces: list[str]) -> tuple[list[str], bool]:
    """Return the text shown after each piece and at the end, and True if a stop string ended it."""
    watch, shown = StopStrings(stops), []
    for piece in pieces:
        text, ended = watch.push(piece)
        shown.append(text)
        if ended:
            assert watch.flush() == ""
            return shown, True
    return [*shown, watch.flush()], False


def expected(stops: tuple[str, ...], text: str) -> tuple[str, bool]:
    """Return the expected text and end, found one character at a time."""
    for end in range(1, len(text) + 1):
        lengths = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if lengths:
            return text[: end - max(lengths)], True
    return text, False


@given(stop_strings, st.lists(letters))
def test_any_cut_gives_the_text_before_the_first_stop(stops: tuple[str, ...], pieces: list[str]) -> None:
    shown, ended = pushed(stops, pieces)
    assert ("".join(shown), ended) == expected(stops, "".join(pieces))


@given(stop_strings, st.lists(letters), st.lists(letters))
def test_shown_text_stays_right_whatever_follows(
    stops: tuple[str, ...], pieces: list[str], following: list[str]
) -> None:
    watch = StopStrings(stops)
    shown = ""
    for piece in pieces:
        text, ended = watch.push(piece)
        shown += text
        if ended:
            return
    assert expected(stops, "".join([*pieces, *following]))[0].startswith(shown)


@given(stop_strings, st.lists(letters))
def test_no_more_is_held_back_than_must_be(stops: tuple[str, ...], pieces: list[str]) -> None:
    watch, shown = StopStrings(stops), ""
    for piece in pieces:
        text, ended = watch.push(piece)
        shown += text
        if ended:
            return
    held = watch.flush()
    assert shown + held == "".join(pieces)
    assert not held or any(stop.startswith(held) for stop in stops)


@pytest.mark.parametrize(
    ("stops", "pieces", "shown"),
    [
        (("\n\n",), ["One.\n", "Two.\n", "\nThree."], ["One.", "\nTwo.", ""]),
        (("END",), ["the E", "N", "d", " EN", "D"], ["the ", "", "ENd", " ", ""]),
        (("abcd", "bc"), ["ab", "cd"], ["", "a"]),
        (("bc", "abc"), ["xabc"], ["x"]),
        (("aab",), ["aaa", "b"], ["a", ""]),
        ((), ["as ", "it is"], ["as ", "it is", ""]),
    ],
)
def test_examples(stops: tuple[str, ...], pieces: list[str], shown: list[str]) -> None:
    assert pushed(stops, pieces)[0] == shown


def test_held_back_text_comes_at_the_end() -> None:
    watch = StopStrings(("THE END",))
    assert watch.push("It was THE") == ("It was ", False)
    assert watch.flush() == "THE"
    assert watch.flush() == ""
