"""Detokenizing: token ids back to text, one token at a time.

A byte-level BPE token stands for bytes, and a character may be spread over several tokens. An incremental UTF-8 decoder
gives out each character as soon as it is complete.
"""

import codecs

from tokenizers import Tokenizer

from server.bundle import BundleError


def token_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """Return the bytes of each token of a byte-level tokenizer, by token id; none for special tokens.

    Raises:
        BundleError: a token is not written in the byte-level alphabet.
    """
    alphabet = _byte_alphabet()
    added = tokenizer.get_added_tokens_decoder()
    pieces = [b""] * tokenizer.get_vocab_size()
    for token, index in tokenizer.get_vocab().items():
        if index in added:
            pieces[index] = b"" if added[index].special else token.encode()
            continue
        try:
            pieces[index] = bytes(alphabet[character] for character in token)
        except KeyError as error:
            raise BundleError(
                f"tokenizer.json: token {token!r} is not byte-level; export the checkpoint again"
            ) from error
    return pieces


class Detokenizer:
    """The text of one sequence. All pieces together equal the tokenizer's `decode` of all tokens."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """Return the characters completed by this token; empty if none is complete yet."""
        return self._decoder.decode(self._pieces[token])

    def flush(self) -> str:
        """Return the rest at the end: empty, or U+FFFD for an incomplete character."""
        return self._decoder.decode(b"", final=True)


def _byte_alphabet() -> dict[str, int]:
    """Return GPT-2's table of characters to bytes: printable ones as they are, the others from U+0100."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(others)}
