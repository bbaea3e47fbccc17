"""Ending a text before one of the strings that its reader does not want to see."""

from collections.abc import Sequence


class StopStrings:
    """The text of one sequence on its way to the reader, who sees neither a stop string nor the beginning of one.

    The stop string that counts is the one completed first; of several that the same character completes, the longest.
    So it does not matter how the text is cut into pieces. stops: no more than a few, none empty.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._beginnings = frozenset(stop[0] for stop in stops)
        self._longest = max(map(len, stops), default=0)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Takes more of the text: what of it may be shown now, and whether it has ended at a stop string.

        What could still become one is held back. Nothing may be pushed after the end.
        """
        text, self._held = self._held + text, ""
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            return text[: min(found)[1]], True
        shown = self._undecided(text)
        self._held = text[shown:]
        return text[:shown], False

    def flush(self) -> str:
        """What was held back, once the text has ended without a stop string."""
        text, self._held = self._held, ""
        return text

    def _undecided(self, text: str) -> int:
        """Where the longest tail starts that begins a stop string; the end of the text where none does."""
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[start] in self._beginnings:
                tail = text[start:]
                if any(stop.startswith(tail) for stop in self._stops):
                    return start
        return len(text)
