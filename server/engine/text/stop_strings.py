"""Ends a text before the first of its stop strings."""

from collections.abc import Sequence


class StopStrings:
    """Ends the text of one sequence before its first stop string.

    A beginning of a stop string is held back. The stop string that counts is the one completed first; of several that
    the same character completes, the longest. So it does not matter how the text is cut into pieces. stops: no more
    than a few, none empty.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._beginnings = frozenset(stop[0] for stop in stops)
        self._longest = max(map(len, stops), default=0)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Adds to the text. Returns the part to show now, and True if the text has ended.

        Text that may become a stop string is held back. Nothing may be pushed after the end.
        """
        text, self._held = self._held + text, ""
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            return text[: min(found)[1]], True
        shown = self._undecided(text)
        self._held = text[shown:]
        return text[:shown], False

    def flush(self) -> str:
        """The text that was held back, once it has ended without a stop string."""
        text, self._held = self._held, ""
        return text

    def _undecided(self, text: str) -> int:
        """The start of the longest tail that begins a stop string; the end of the text without one."""
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[start] in self._beginnings:
                tail = text[start:]
                if any(stop.startswith(tail) for stop in self._stops):
                    return start
        return len(text)
