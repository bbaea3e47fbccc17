"""Compares texts as a search does."""

import unicodedata


def folded(text: str) -> str:
    """Return a text in the form to compare: without case, with accents in one part and single spaces."""
    # Some capitals fold to letters in two parts.
    alike = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(alike.split())
