"""Cleaning: make a clean summary of a row's text, or give the reason for dropping it."""

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ftfy

EDIT_MARKS = re.compile(r"(?:\bPlot\s+)?\[[\s\[\]]*(?:edit[\s\[\]]*)+|\[\s*(?:\d{1,3}|citation needed)\s*\]")
"""Section marks and footnotes, copied along with a Wikipedia page. They are cut out of the text."""

INLINE_TAGS = re.compile(r"</?(?:i|b|em|strong|u|span)\s*/?>", re.IGNORECASE)
BREAKS = re.compile(r"</?(?:p|br)\s*/?>", re.IGNORECASE)

MARKUP = re.compile(r"<[a-zA-Z/!][^>]*>|\{\{|\}\}|\[\[|\]\]|={3,}|\{\||https?://|www\.|&[a-z]+;")
"""Markup still in a text after mending. Such a text is not prose, and is dropped."""

SPACES = re.compile(r"\s+")

TAIL = re.compile(
    r"""\s*(?:
      [\[(]\s*(?:less|source\b|(?:re)?written\s+by\b|(?:copied|taken|adapted)\s+from\b|from\s+wikipedia\b|thanks\s+to\b
        |original\s+(?:synopsis|description)\b|RL\s?[\d.]+)[^\])]*[\])]?
    | (?<=[\s"”'])(?:—|–|--?)\s?(?:(?:originally\s+)?written\s+by\b.*
        |(?-i:[A-Z])[\w.'’]*(?:\s(?-i:[A-Z])[\w.'’&]*){0,4})
    | (?:plot|summary|synopsis|text)\s+(?:by|from|courtesy\s+of)\s.{0,60}
    | ©.{0,60}
    | (?:official\s+)?(?:source|summary\s+from|edited\s+from|taken\s+from|sponsors)\s?:.{0,60}
    | (?:based\s+on|inspired\s+by)\s+(?:(?:a|the|an)\s+)?(?:\w+\s+)?
        (?:true\s+story|true\s+events|real\s+events|manga|novel|comic|light\s+novel|web\s?toon|web\s+series)[^.]{0,60}\.
    | suggested\s+level:[\w\s,]*\.?
    | (?:[\d,]+\s+first\s+printing|reprint|original|simultaneous|tour|illustrations|full\s+color|(?:tv|movie)\s+tie-in
        |nyt|reader's\s+guide\s+available|a\s+first\s+novel|season\s+finale)\.?
    | (?:the\s+)?sequel\s+to\s+"[^"]*"\.?"?
    | grades\s+[\w-]+\.?  |  \d\s+yrs\s?\+  |  for\s+mature\s+(?:readers|audiences)\.?  |  the\s+end[.!]?
    | see\s+details\s+for\s+advisory\.  |  included\s+one  |  ;\)
    | this\s+is\s+an\s+inset\s+story\s+from\s+\w+\s\d+\.
    | visit\s+the\s[^.!]{1,60}website[.!]
    )\s*$""",
    re.IGNORECASE | re.VERBOSE,
)
"""A remark at the end of a text: attribution, source, advertising, a shop's or a library's note."""

LONGEST_TAIL = 120
"""Number of characters at the end of a text to search for a tail."""

QUOTED_WHOLE = re.compile(r'^"(.*?)"?\s?--?$')
"""A summary in quotation marks, as libraries quote a publisher."""

ENDS_SENTENCE = re.compile(r"""[.!?…]["'”’)\]]*$""")

EXPLICIT = Path(__file__).with_name("explicit.txt")

REASONS = ("broken row", "empty", "markup", "damaged characters", "too short", "explicit", "held out", "duplicate")
"""Reasons to drop a row, in the order of checking."""


@dataclass(frozen=True)
class Bounds:
    """The shortest text to keep and the longest piece of a text, in characters after cleaning.

    Longer texts are cut into pieces. The default longest piece fits 512 tokens of a vocabulary of 8,192, including a
    prefix. `plotify train` measures in its own tokens, and leaves out pieces that are still too long for its context.
    """

    shortest: int = 60
    longest: int = 1700

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest:
            raise ValueError(
                f"the shortest summary kept ({self.shortest} characters) must be at least 1 and at most the longest "
                f"piece ({self.longest})"
            )


def mend(text: str) -> str:
    """Mend entities, mojibake, curly quotes, inline tags, edit marks, white space and Unicode form."""
    text = ftfy.fix_text(html.unescape(text), unescape_html=False)
    text = EDIT_MARKS.sub(" ", BREAKS.sub(" ", INLINE_TAGS.sub("", text)))
    return SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()


def strip_tails(text: str) -> str:
    """Remove remarks at the end of a text (`TAIL`), as long as a whole sentence is left before them.

    A summary quoted as a whole loses its quotation marks.
    """
    if quoted := QUOTED_WHOLE.match(text):
        text = quoted[1].strip()
    while (tail := TAIL.search(text, max(0, len(text) - LONGEST_TAIL))) and ENDS_SENTENCE.search(text[: tail.start()]):
        text = text[: tail.start()]
    return text


def clean(text: str | None, bounds: Bounds) -> tuple[str, str | None]:
    """Return (clean text, None), or (remaining text, one of `REASONS`) if the row is to be dropped."""
    if text is None:
        return "", "broken row"
    text = strip_tails(mend(text))
    if not text:
        return text, "empty"
    if MARKUP.search(text):
        return text, "markup"
    if "\ufffd" in text:
        return text, "damaged characters"
    if len(text) < bounds.shortest:
        return text, "too short"
    return text, None


@cache
def explicit_words() -> re.Pattern[str]:
    """Return a pattern for the words of explicit.txt, as whole words and in any case.

    A star in the file stands for any ending.
    """
    lines = (line.partition("#")[0].strip() for line in EXPLICIT.read_text(encoding="utf-8").splitlines())
    words = [re.escape(line).replace(r"\*", r"\w*").replace(r"\ ", r"\s+") for line in lines if line]
    return re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)


def is_explicit(text: str) -> bool:
    """Return True if a text contains a word of explicit.txt."""
    return bool(explicit_words().search(text))
