"""Texts of every kind are read in paragraphs, and what cannot be read is refused by name."""

import zipfile
from pathlib import Path

import docx
import pytest

from voice.manuscripts import ManuscriptError, read_manuscripts

CONTAINER = """<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">
<rootfiles><rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
PACKAGE = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0"><manifest>
<item id="two" href="text/two.xhtml" media-type="application/xhtml+xml"/>
<item id="one" href="text/one%20.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="one"/><itemref idref="two"/></spine></package>"""
PAGE = """<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>No</title></head>
<body>{}</body></html>"""


def paragraphs(file: Path) -> tuple[str, ...]:
    (manuscript,) = read_manuscripts([file])
    assert manuscript.name == file.name
    return manuscript.paragraphs


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_plain_text_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "café.txt"
    text = "The café was closed.\r\nNobody knew why — not even Zoë.\r\n\r\nThen it was open again.\r\n"
    file.write_bytes(text.encode(encoding))
    assert paragraphs(file) == ("The café was closed. Nobody knew why — not even Zoë.", "Then it was open again.")


def test_without_empty_lines_each_line_is_a_paragraph(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("One.\nTwo.\n")
    assert paragraphs(tmp_path / "lines.txt") == ("One.", "Two.")


def test_markdown_without_its_marks(tmp_path: Path) -> None:
    (tmp_path / "story.md").write_text("# The *Bridge*\n\nA man\nhas **two** keys.\n\n- and [a map](x.png)\n")
    assert paragraphs(tmp_path / "story.md") == ("The Bridge", "A man has two keys.", "and a map")


def test_a_word_document(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_paragraph("A door.")
    document.add_paragraph("")
    document.add_paragraph("Behind it, another.")
    document.save(str(tmp_path / "story.docx"))
    assert paragraphs(tmp_path / "story.docx") == ("A door.", "Behind it, another.")


def test_a_book_in_reading_order(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "book.epub", "w") as archive:
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("OPS/book.opf", PACKAGE)
        archive.writestr("OPS/text/two.xhtml", PAGE.format("<p>Then it\n rained.</p>"))
        archive.writestr("OPS/text/one .xhtml", PAGE.format("<h1>One</h1><p>It <i>was</i> dry.</p>"))
    assert paragraphs(tmp_path / "book.epub") == ("One", "It was dry.", "Then it rained.")


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", ".hidden/c.txt", "picture.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("Words.")
    assert [each.name for each in read_manuscripts([tmp_path])] == ["a/z.md", "b.txt"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.txt", b" \n\n", "there is no text in it"),
        ("picture.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "it is not text"),
        ("story.docx", b"{\\rtf1 An old one}", "it is not a Word document"),
        ("book.epub", b"not a zip", "it is not an EPUB book"),
        ("story.odt", b"PK", "it is not one of .txt, .md, .docx, .epub"),
    ],
)
def test_an_unreadable_file_is_refused_by_name(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ManuscriptError) as refused:
        read_manuscripts([file])
    assert str(refused.value).startswith(f"{file}: {reason}")


def test_a_missing_source_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ManuscriptError, match="there is no such file or folder"):
        read_manuscripts([tmp_path / "none"])
    with pytest.raises(ManuscriptError, match=r"the folder has no \.txt"):
        read_manuscripts([tmp_path])
