"""From a row's text to a clean summary, or the reason why it is dropped."""

import html
import re
import unicodedata
from dataclasses import dataclass

import ftfy

EDIT_MARKS = re.compile(r"(?:\bPlot\s+)?\[[\s\[\]]*(?:edit[\s\[\]]*)+|\[\s*(?:\d{1,3}|citation needed)\s*\]")
"""What copying a Wikipedia page leaves behind: section marks and footnotes. They go, the text stays."""

INLINE_TAGS = re.compile(r"</?(?:i|b|em|strong|u|span)\s*/?>", re.IGNORECASE)
BREAKS = re.compile(r"</?(?:p|br)\s*/?>", re.IGNORECASE)

MARKUP = re.compile(r"<[a-zA-Z/!][^>]*>|\{\{|\}\}|\[\[|\]\]|={3,}|\{\||https?://|www\.|&[a-z]+;")
"""What is left of a page's markup after mending: such a text is not prose, and is dropped."""

SPACES = re.compile(r"\s+")

REASONS = ("broken row", "empty", "markup", "damaged characters", "too short", "too long", "duplicate")


@dataclass(frozen=True)
class Bounds:
    """The shortest and the longest summary kept, in characters after cleaning.

    The default for the longest is what fits GPT-2's 1,024 tokens at the four characters a token that English takes;
    `plotify train` measures in its own tokens and leaves out what is still over its context.
    """

    shortest: int = 60
    longest: int = 4000

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest:
            raise ValueError(
                f"the shortest summary kept ({self.shortest} characters) must be at least 1 and at most the longest "
                f"({self.longest})"
            )


def mend(text: str) -> str:
    """Mend what can be mended: entities, mojibake, curly quotes, inline tags, edit marks, white space, Unicode form."""
    text = ftfy.fix_text(html.unescape(text), unescape_html=False)
    text = EDIT_MARKS.sub(" ", BREAKS.sub(" ", INLINE_TAGS.sub("", text)))
    return SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()


def clean(text: str | None, bounds: Bounds) -> tuple[str, str | None]:
    """Return (clean text, None), or (what is left, the reason of REASONS why it is dropped)."""
    if text is None:
        return "", "broken row"
    text = mend(text)
    if not text:
        return text, "empty"
    if MARKUP.search(text):
        return text, "markup"
    if "\ufffd" in text:
        return text, "damaged characters"
    if len(text) < bounds.shortest:
        return text, "too short"
    if len(text) > bounds.longest:
        return text, "too long"
    return text, None
