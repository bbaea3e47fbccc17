"""A writer's notes, as the model reads them: short items between commas, mostly names."""

import re
from itertools import groupby

LONGEST = 4
"""Words of an item to read as it is. A longer one is a sentence; its names are read instead."""

WORD = re.compile(r"[^\W\d_][\w'’-]*|[^\w\s]")
"""A word, or a mark between words."""

POSSESSIVE = re.compile(r"['’]s$")

OPENINGS = frozenset((
    "A", "After", "An", "And", "As", "At", "Before", "But", "He", "Her", "His", "How", "However", "I", "If", "In", "It",
    "Its", "My", "Now", "On", "One", "Our", "She", "So", "Soon", "That", "The", "Their", "Then", "There", "They",
    "This", "To", "We", "What", "When", "Where", "While", "Who", "With", "You", "Your",
))  # fmt: skip
"""Words with a capital at the beginning of many sentences. They are no names."""


def noted(notes: str) -> tuple[str, ...]:
    """Return the items of notes, each once. Commas, semicolons, brackets and line ends separate them."""
    items = (" ".join(item.split()) for item in re.split(r"[,;\n\[\]]", notes))
    return tuple(dict.fromkeys(part for item in items if item for part in _parts(item)))


def _parts(item: str) -> list[str]:
    """Return an item, or the names in a sentence: from lists of names the model learned to use notes."""
    return [item] if len(item.split()) <= LONGEST else names(item) or [item]


def names(text: str) -> list[str]:
    """Return the names in a text, each once.

    A name is a capitalized word, or several that stand together without a mark between them.
    """
    words = groupby(WORD.findall(text), key=lambda word: word[0].isupper() and word not in OPENINGS)
    found = (" ".join(name) for capitalized, name in words if capitalized)
    return list(dict.fromkeys(POSSESSIVE.sub("", name) for name in found))
