"""The text of a sequence, up to a stop string."""

from collections.abc import Sequence

from server.engine.text.detokenizer import Detokenizer
from server.engine.text.stop_strings import StopStrings


class OutputText:
    """Turns the tokens of one sequence into text to send: whole characters, and no part of a stop string.

    Args:
        token_bytes: the bytes of each token, by token id.
        stops: the text ends before any of these strings.
    """

    def __init__(self, token_bytes: list[bytes], stops: Sequence[str]) -> None:
        self._detokenizer = Detokenizer(token_bytes)
        self._stops = StopStrings(stops)

    def push(self, token: int) -> tuple[str, bool]:
        """Return the text completed by this token, and True if it has ended at a stop string."""
        return self._stops.push(self._detokenizer.push(token))

    def flush(self) -> tuple[str, bool]:
        """Return the text held back so far, and True if it ends at a stop string after all."""
        text, stopped = self._stops.push(self._detokenizer.flush())
        return (text, True) if stopped else (text + self._stops.flush(), False)
