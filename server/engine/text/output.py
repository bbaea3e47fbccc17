"""The text of a sequence, up to a stop string."""

from collections.abc import Sequence

from server.engine.text.detokenizer import Detokenizer
from server.engine.text.stop_strings import StopStrings


class OutputText:
    """Turns the tokens of one sequence into text to send.

    It sends whole characters, and no part of a stop string. token_bytes: the bytes of each token, by token id. stops:
    strings before which the text ends.
    """

    def __init__(self, token_bytes: list[bytes], stops: Sequence[str]) -> None:
        self._detokenizer = Detokenizer(token_bytes)
        self._stops = StopStrings(stops)

    def push(self, token: int) -> tuple[str, bool]:
        """The text that this token completes, and True if it has ended at a stop string."""
        return self._stops.push(self._detokenizer.push(token))

    def flush(self) -> tuple[str, bool]:
        """The text that was held back, which may still complete a stop string."""
        text, stopped = self._stops.push(self._detokenizer.flush())
        return (text, True) if stopped else (text + self._stops.flush(), False)
