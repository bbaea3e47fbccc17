"""From token ids back to text, a token at a time.

A byte-level BPE token stands for bytes, and a character may be spread over several tokens. The bytes go through an
incremental UTF-8 decoder, so that text comes out as soon as its characters are whole and never before.
"""

import codecs

from tokenizers import Tokenizer

from server.bundle import BundleError


def token_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes of each token of a byte-level tokenizer, by token id; none for special tokens.

    Raises BundleError for a token that is not written in the byte-level alphabet.
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
    """The text of one sequence, the same as the tokenizer's own `decode` gives for all tokens."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """The characters that this token completes; empty while one is still in halves."""
        return self._decoder.decode(self._pieces[token])

    def flush(self) -> str:
        """The rest at the end: empty, or U+FFFD for an incomplete character."""
        return self._decoder.decode(b"", final=True)


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's table: printable bytes stand for themselves, the others for the characters from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(others)}
