"""A plot as a file keeps its text."""

import re
from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from server.shelf import Written

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MARKUP = st.text(st.sampled_from("ab1 #*_`[]()<>&;:!|~+-=.\\\"'/\n\t"), max_size=40)


def written(title: str = "Title", text: str = "Text.", genre: str = "") -> Written:
    return Written(title=title, genre=genre, text=text, created=NOW, changed=NOW)


def test_a_plain_text_is_the_title_and_the_text() -> None:
    assert written("The Flood", "\n It rained.\nAnd rained. ").plain() == "The Flood\n\nIt rained.\nAnd rained.\n"


def test_markdown_has_a_heading_the_genre_and_paragraphs() -> None:
    plot = written("The *Flood*", "It rained.\nAnd rained.\n\n1. Then it stopped.", "Drama")
    assert plot.markdown() == ("# The \\*Flood\\*\n\n*Drama*\n\nIt rained.\\\nAnd rained.\n\n1\\. Then it stopped.\n")


@given(MARKUP)
@example("    indented\n\tas code")
@example("a\n===\nb\n---\nc")
@example("<script>alert(1)</script> &amp; http://example.org")
@example("```\ncode\n```\n~~~\n> quote\n- item\n+ item\n1) item\n| a | b |\n|---|---|\n[a]: /b")
def test_nothing_that_was_written_becomes_markup(text: str) -> None:
    heading_open, heading, heading_close, *blocks = MarkdownIt("gfm-like", {"linkify": False}).parse(
        written(text=text).markdown()
    )
    assert (heading_open.type, heading.content, heading_close.type) == ("heading_open", "Title", "heading_close")
    assert {block.type for block in blocks} <= {"paragraph_open", "inline", "paragraph_close"}
    paragraphs = [paragraph(block) for block in blocks if block.type == "inline"]
    lines = "\n".join(line.strip() for line in text.strip().splitlines())
    assert "\n\n".join(paragraphs) == re.sub(r"\n{2,}", "\n\n", lines)


@given(MARKUP.map(lambda title: " ".join(title.split())).filter(bool))
@example("C #")
def test_nor_does_a_title(title: str) -> None:
    heading_open, heading, *_ = MarkdownIt().parse(written(title).markdown())
    assert (heading_open.tag, paragraph(heading)) == ("h1", title)


def paragraph(block: Token) -> str:
    """Return the text of a paragraph, after a check for anything else in it."""
    pieces = block.children or []
    assert {piece.type for piece in pieces} <= {"text", "text_special", "hardbreak", "softbreak"}
    return "".join("\n" if piece.type.endswith("break") else piece.content for piece in pieces)
