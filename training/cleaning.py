"""From a row's text to a clean summary, or the reason why it is dropped."""

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ftfy

EDIT_MARKS = re.compile(r"(?:\bPlot\s+)?\[[\s\[\]]*(?:edit[\s\[\]]*)+|\[\s*(?:\d{1,3}|citation needed)\s*\]")
"""What copying a Wikipedia page leaves behind: section marks and footnotes. They go, the text stays."""

INLINE_TAGS = re.compile(r"</?(?:i|b|em|strong|u|span)\s*/?>", re.IGNORECASE)
BREAKS = re.compile(r"</?(?:p|br)\s*/?>", re.IGNORECASE)

MARKUP = re.compile(r"<[a-zA-Z/!][^>]*>|\{\{|\}\}|\[\[|\]\]|={3,}|\{\||https?://|www\.|&[a-z]+;")
"""What is left of a page's markup after mending: such a text is not prose, and is dropped."""

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
"""What stands behind a text and is none of it: attributions, sources, advertising, a shop's or a library's remarks."""

LONGEST_TAIL = 120
"""Characters from the end within which a tail is looked for."""

QUOTED_WHOLE = re.compile(r'^"(.*?)"?\s?--?$')
"""A library's way of saying that a summary is a publisher's."""

ENDS_SENTENCE = re.compile(r"""[.!?…]["'”’)\]]*$""")

EXPLICIT = Path(__file__).with_name("explicit.txt")

REASONS = ("broken row", "empty", "markup", "damaged characters", "too short", "explicit", "held out", "duplicate")
"""Reasons to drop a row, in the order in which they are looked for."""


@dataclass(frozen=True)
class Bounds:
    """The shortest text kept and the longest piece of one, in characters after cleaning; longer texts are cut.

    The default for the longest is what fits 512 tokens of a vocabulary of 8,192, with a prefix; `plotify train`
    measures in its own tokens and leaves out what is still over its context.
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
    """Mend what can be mended: entities, mojibake, curly quotes, inline tags, edit marks, white space, Unicode form."""
    text = ftfy.fix_text(html.unescape(text), unescape_html=False)
    text = EDIT_MARKS.sub(" ", BREAKS.sub(" ", INLINE_TAGS.sub("", text)))
    return SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()


def strip_tails(text: str) -> str:
    """The text without what stands behind it and is none of it (`TAIL`), where a whole sentence is left."""
    if quoted := QUOTED_WHOLE.match(text):
        text = quoted[1].strip()
    while (tail := TAIL.search(text, max(0, len(text) - LONGEST_TAIL))) and ENDS_SENTENCE.search(text[: tail.start()]):
        text = text[: tail.start()]
    return text


def clean(text: str | None, bounds: Bounds) -> tuple[str, str | None]:
    """Return (clean text, None), or (what is left, the reason of REASONS why it is dropped)."""
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
    """Matches any word of explicit.txt as a whole word, in any case; a star stands for any ending."""
    lines = (line.partition("#")[0].strip() for line in EXPLICIT.read_text(encoding="utf-8").splitlines())
    words = [re.escape(line).replace(r"\*", r"\w*").replace(r"\ ", r"\s+") for line in lines if line]
    return re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)


def is_explicit(text: str) -> bool:
    """Tell whether a text holds a word of explicit.txt."""
    return bool(explicit_words().search(text))
