"""Stop strings: end a text before the first of them."""

from collections.abc import Sequence


class StopStrings:
    """Ends the text of one sequence before its first stop string.

    Text that may begin a stop string is held back. The first stop string is the one completed first. If one character
    completes several, it is the longest. So the result does not depend on the pieces of the text.

    Args:
        stops: a few strings, none empty.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._beginnings = frozenset(stop[0] for stop in stops)
        self._longest = max(map(len, stops), default=0)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Add to the text. Return the part to show now, and True if the text has ended.

        Hold back text if it may become a stop string. Push nothing after the end.
        """
        text, self._held = self._held + text, ""
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            return text[: min(found)[1]], True
        shown = self._undecided(text)
        self._held = text[shown:]
        return text[:shown], False

    def flush(self) -> str:
        """Return the text held back, at the end of a text without a stop string."""
        text, self._held = self._held, ""
        return text

    def _undecided(self, text: str) -> int:
        """Return the start of the longest tail that begins a stop string, or the length of the text."""
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[start] in self._beginnings:
                tail = text[start:]
                if any(stop.startswith(tail) for stop in self._stops):
                    return start
        return len(text)
