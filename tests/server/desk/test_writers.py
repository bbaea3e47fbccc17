"""Cookies and tokens of writers: only the server can make them."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.desk import Writers
from server.desk.writers import COOKIE

WRITERS = Writers(b"a secret of the tests")
OWNER = "Xq0vT-3m_ZbYw8uHk5sLAg"


def test_a_cookie_says_whose_shelf_it_is() -> None:
    assert WRITERS.read(WRITERS.cookie(OWNER)) == OWNER
    assert WRITERS.knows(OWNER, WRITERS.token(OWNER))


def test_every_writer_is_another() -> None:
    owners = {WRITERS.new() for _ in range(1000)}
    assert len(owners) == 1000
    assert len({WRITERS.token(owner) for owner in owners}) == 1000


def test_another_secret_makes_other_cookies() -> None:
    other = Writers(b"another secret")
    assert WRITERS.read(other.cookie(OWNER)) is None
    assert not WRITERS.knows(OWNER, other.token(OWNER))


def test_a_token_is_no_cookie_and_no_other_writers() -> None:
    """A page shows its token, but the token does not give away the cookie."""
    assert WRITERS.read(f"{OWNER}.{WRITERS.token(OWNER)}") is None
    assert not WRITERS.knows(OWNER, WRITERS.cookie(OWNER).partition(".")[2])
    assert not WRITERS.knows(WRITERS.new(), WRITERS.token(OWNER))


def test_each_secret_has_a_cookie_name_of_its_own() -> None:
    """The name does not give away the secret or a signature."""
    other = Writers(b"another secret")
    assert WRITERS.cookie_name == Writers(b"a secret of the tests").cookie_name != other.cookie_name
    assert WRITERS.find({WRITERS.cookie_name: WRITERS.cookie(OWNER), other.cookie_name: "x"}) == OWNER
    assert WRITERS.find({other.cookie_name: WRITERS.cookie(OWNER)}) is None
    assert WRITERS.find({COOKIE: WRITERS.cookie(OWNER)}) == OWNER
    assert WRITERS.find({COOKIE: other.cookie(OWNER)}) is None


@pytest.mark.parametrize("cookie", ["", ".", OWNER, f"{OWNER}.", f".{OWNER}", f"{OWNER}.{'0' * 64}", "é.ü", "\udcff.x"])
def test_what_is_no_cookie(cookie: str) -> None:
    assert WRITERS.read(cookie) is None


@given(st.integers(0, len(WRITERS.cookie(OWNER)) - 1), st.sampled_from(string.printable + "é\u0661\udc80"))
def test_a_cookie_with_one_character_changed_is_none(place: int, character: str) -> None:
    cookie = WRITERS.cookie(OWNER)
    forged = cookie[:place] + character + cookie[place + 1 :]
    assert WRITERS.read(forged) == (OWNER if forged == cookie else None)


@given(st.text())
def test_any_other_text_is_neither_a_cookie_nor_a_token(text: str) -> None:
    assert WRITERS.read(text) is None
    assert not WRITERS.knows(OWNER, text)
