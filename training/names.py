"""Finding the names of people and places in a text, by their capitals.

From these names the model learns to use a writer's notes.
"""

import re

MOST = 8
"""Maximum number of names for one text."""

WORD = r"[A-Z][a-zà-öø-ÿ]+(?:['’-][A-Za-zà-öø-ÿ]+)*"
NAME = re.compile(rf"{WORD}(?:\s+(?:(?:de|von|van|of the|of)\s+)?{WORD})*")
BEFORE = re.compile(r"[\w,;:)’']\s$")
"""The text before a name inside a sentence. It must not be the end of the previous sentence."""

POSSESSIVE = re.compile(r"['’]s$")

ORDINARY = frozenset((
    "I", "A", "An", "The", "And", "But", "Or", "So", "Yet", "If", "When", "While", "After", "Before", "As", "At",
    "By", "For", "From", "In", "Into", "Of", "On", "To", "With", "Without", "He", "She", "It", "We", "They", "You",
    "His", "Her", "Its", "Our", "Their", "Your", "My", "This", "That", "These", "Those", "There", "Here", "What",
    "Who", "Why", "How", "Where", "Which", "One", "Two", "Three", "Not", "No", "Now", "Then", "Soon", "Later", "Mr",
    "Mrs", "Ms", "Miss", "Dr", "Sir", "Lord", "Lady", "God", "Mom", "Dad", "Mother", "Father", "Christmas", "Oh",
    "Yes", "Well", "Are", "Is", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December", "American", "British", "English", "French", "German", "Italian", "Spanish", "Japanese", "Chinese",
    "Russian", "Indian",
))  # fmt: skip
"""Capitalized words other than names. A name may contain one, but does not begin with it."""


def names_in(text: str) -> list[str]:
    """Return the names of people and places in `text`, each once, in order, at most `MOST`.

    A name is one or more capitalized words found at least once inside a sentence. A capital at the beginning of a
    sentence alone proves nothing.
    """
    found: dict[str, None] = {}
    for match in NAME.finditer(text):
        if not BEFORE.search(text[max(0, match.start() - 2) : match.start()]):
            continue
        words = POSSESSIVE.sub("", " ".join(match.group().split())).split(" ")
        while words and words[0] in ORDINARY:
            del words[0]
        name = " ".join(words)
        if 3 <= len(name) <= 30 and not any(name in other or other in name for other in found):
            found[name] = None
            if len(found) == MOST:
                break
    return list(found)
