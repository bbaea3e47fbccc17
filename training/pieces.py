"""Cutting a long text at the ends of its sentences into pieces that a model can read at once."""

import re

SENTENCE_END = re.compile(r"""[.!?…]["'”’)\]]*\s+(?=["'“‘(\[]?[A-Z0-9])""")
ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|Prof|Capt|Col|Gen|Lt|Sgt|Rev|vs|No)|\b[A-Z])\.$")


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with the spaces behind it; joined they are the text."""
    ends = [
        match.end()
        for match in SENTENCE_END.finditer(text)
        if not ABBREVIATION.search(text[max(0, match.start() - 6) : match.start() + 1])
    ]
    starts = [0, *ends]
    return [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True) if start < end]


def pieces(text: str, longest: int) -> list[str]:
    """Cut `text` into pieces of about the same length, in order, of at most `longest` characters each.

    A cut falls between two sentences; within one only where the sentence alone is too long.
    """
    if len(text) <= longest:
        return [text]
    room = len(text) / -(-len(text) // longest)
    found = [""]
    for sentence in sentences(text):
        for part in within(sentence, longest):
            # a piece is full at its share, so that the last one is not a remnant
            if found[-1] and (len(found[-1]) >= room * 0.97 or len(found[-1]) + len(part.rstrip()) > longest):
                found.append("")
            found[-1] += part
    return [piece.strip() for piece in found]


def within(sentence: str, longest: int) -> list[str]:
    """The sentence, or parts of it that are short enough, cut between words where there are any."""
    parts = []
    while len(sentence.rstrip()) > longest:
        cut = sentence.rfind(" ", 1, longest + 1) + 1 or longest
        parts.append(sentence[:cut])
        sentence = sentence[cut:]
    return [*parts, sentence]
