"""The detokenizer: whole characters, however their bytes are spread over tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.bundle import Bundle
from server.engine.text.detokenizer import Detokenizer, token_bytes

MIXED = "aé€🦉\n—日本‍👩‍🚀 z"


def splits(data: bytes) -> list[list[bytes]]:
    """Return all ways to cut `data` into two parts, and one into single bytes."""
    return [[data[:at], data[at:]] for at in range(len(data) + 1)] + [[bytes([byte]) for byte in data]]


@pytest.mark.parametrize("pieces", splits(MIXED.encode()))
def test_every_split_gives_the_text_and_never_half_a_character(pieces: list[bytes]) -> None:
    detokenizer = Detokenizer(pieces)
    parts = [detokenizer.push(token) for token in range(len(pieces))]
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(parts)
    assert "".join(parts) + detokenizer.flush() == MIXED


def test_a_character_comes_with_its_last_byte() -> None:
    detokenizer = Detokenizer([bytes([byte]) for byte in "🦉".encode()])
    assert [detokenizer.push(token) for token in range(4)] == ["", "", "", "🦉"]
    assert detokenizer.flush() == ""


def test_an_incomplete_character_is_flushed_at_the_end() -> None:
    detokenizer = Detokenizer(["🦉".encode()[:3]])
    assert detokenizer.push(0) == ""
    assert detokenizer.flush() == "\N{REPLACEMENT CHARACTER}"


@given(st.text())
def test_a_tokenized_text_comes_back(bundle: Bundle, text: str) -> None:
    detokenizer = Detokenizer(token_bytes(bundle.tokenizer))
    tokens = bundle.tokenizer.encode(text, add_special_tokens=False).ids
    assert "".join(map(detokenizer.push, tokens)) + detokenizer.flush() == text


@given(st.lists(st.integers(0, 300)))
def test_any_tokens_give_what_the_tokenizer_decodes(bundle: Bundle, tokens: list[int]) -> None:
    detokenizer = Detokenizer(token_bytes(bundle.tokenizer))
    assert "".join(map(detokenizer.push, tokens)) + detokenizer.flush() == bundle.tokenizer.decode(tokens)


def test_special_tokens_have_no_text(bundle: Bundle) -> None:
    assert token_bytes(bundle.tokenizer)[bundle.manifest.model.end_of_text] == b""


def test_the_end_of_text_can_be_typed(bundle: Bundle) -> None:
    end = bundle.manifest.model.end_of_text
    typed = bundle.tokenizer.id_to_token(end)
    assert end not in bundle.tokenizer.encode(typed, add_special_tokens=False).ids
