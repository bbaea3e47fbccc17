"""Cutting a long text at the ends of sentences into pieces that fit the model's context."""

import re

SENTENCE_END = re.compile(r"""[.!?…]["'”’)\]]*\s+(?=["'“‘(\[]?[A-Z0-9])""")
ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|Prof|Capt|Col|Gen|Lt|Sgt|Rev|vs|No)|\b[A-Z])\.$")


def sentences(text: str) -> list[str]:
    """Split a text into sentences, each with the spaces after it. Joining them gives the text again."""
    ends = [
        match.end()
        for match in SENTENCE_END.finditer(text)
        if not ABBREVIATION.search(text[max(0, match.start() - 6) : match.start() + 1])
    ]
    starts = [0, *ends]
    return [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True) if start < end]


def pieces(text: str, longest: int) -> list[str]:
    """Cut `text` into pieces of about the same length, in order, of at most `longest` characters each.

    A cut falls between two sentences, or inside a sentence that is too long on its own.
    """
    if len(text) <= longest:
        return [text]
    room = len(text) / -(-len(text) // longest)
    found = [""]
    for sentence in sentences(text):
        for part in within(sentence, longest):
            # a piece is full at its share of the text, so the last piece is not a short rest
            if found[-1] and (len(found[-1]) >= room * 0.97 or len(found[-1]) + len(part.rstrip()) > longest):
                found.append("")
            found[-1] += part
    return [piece.strip() for piece in found]


def within(sentence: str, longest: int) -> list[str]:
    """Cut a sentence into parts of at most `longest` characters, between words where possible."""
    parts = []
    while len(sentence.rstrip()) > longest:
        cut = sentence.rfind(" ", 1, longest + 1) + 1 or longest
        parts.append(sentence[:cut])
        sentence = sentence[cut:]
    return [*parts, sentence]
