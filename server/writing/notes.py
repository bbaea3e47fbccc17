"""A writer's notes, as the model reads them: short items between commas, mostly names."""

import re
from itertools import groupby

LONGEST = 4
"""Words of an item to read as it is. A longer one is a sentence; its names are read instead."""

WORD = re.compile(r"[^\W\d_][\w'’-]*")

OPENINGS = frozenset(("A", "An", "And", "At", "But", "He", "Her", "His", "I", "In", "It", "On", "She", "The", "They"))
"""Words with a capital at the beginning of many sentences. They are no names."""


def noted(notes: str) -> tuple[str, ...]:
    """Return the items of notes, each once. Commas, semicolons, brackets and line ends separate them."""
    items = (" ".join(item.split()) for item in re.split(r"[,;\n\[\]]", notes))
    return tuple(dict.fromkeys(part for item in items if item for part in _parts(item)))


def _parts(item: str) -> list[str]:
    """Return an item, or the names in a sentence: from lists of names the model learned to use notes."""
    return [item] if len(item.split()) <= LONGEST else _names(item) or [item]


def _names(sentence: str) -> list[str]:
    """Return the capitalized words of a sentence, neighbours as one name."""
    words = groupby(WORD.findall(sentence), key=lambda word: word[0].isupper() and word not in OPENINGS)
    return [" ".join(name) for capitalized, name in words if capitalized]
