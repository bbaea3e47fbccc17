"""Marks of texts: short numbers by which a page names the texts that it knows.

If the plot has another text, another page has changed it.
"""

from collections.abc import Collection

from server.shelf.models import PlotRow

PRIME = 2**32 - 5


def mark(text: str) -> str:
    """Return the mark of a text: its bytes in UTF-8 as one number, modulo a prime, in decimal digits.

    `templates/static/desk-saving.js` computes the same.
    """
    return str(int.from_bytes(text.encode(), "big") % PRIME)


def unknown(plot: PlotRow, known: Collection[str]) -> int | None:
    """Return the current passage if a page does not know the plot's text, and let it grow no more.

    known: the marks of the texts that the page knows; empty if it tells none.
    """
    if not known or mark(plot.text) in known:
        return None
    plot.typed_to = None
    return plot.current
