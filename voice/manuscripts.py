"""Reading a writer's texts: plain text, Markdown, Word documents and EPUB books."""

import codecs
import posixpath
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import docx
from charset_normalizer import from_bytes
from docx.opc.exceptions import PackageNotFoundError
from lxml import etree, html
from markdown_it import MarkdownIt

from training.cleaning import mend

LONGEST_FILE = 64 * 1024 * 1024
"""Bytes of a file, and of the pages in a book."""

BLOCKS = "//*[self::p or self::h1 or self::h2 or self::h3 or self::h4 or self::li or self::blockquote[not(.//p)]]"
"""The elements of a book's page that are paragraphs."""

SAFE = etree.XMLParser(resolve_entities=False, no_network=True)


class ManuscriptError(Exception):
    """A text cannot be read. The message names the file, and says what to do."""


@dataclass(frozen=True)
class Manuscript:
    """A text in paragraphs. name: the file, below the folder given."""

    name: str
    paragraphs: tuple[str, ...]

    @property
    def words(self) -> int:
        """The number of words."""
        return sum(len(paragraph.split()) for paragraph in self.paragraphs)


def read_manuscripts(sources: Sequence[Path]) -> list[Manuscript]:
    """Read files, and all files of a known kind in folders, in the order of their names.

    Raises:
        ManuscriptError: a source is missing, of another kind, empty or unreadable, or a folder has nothing to read.
    """
    return [read_manuscript(file, name) for source in sources for file, name in found(source)]


def found(source: Path) -> list[tuple[Path, str]]:
    """Return the files of a source, each with its name below the source."""
    if source.is_file():
        if source.suffix.lower() not in READERS:
            raise ManuscriptError(f"{source}: it is not one of {', '.join(READERS)}. Save it as one of these.")
        return [(source, source.name)]
    if not source.is_dir():
        raise ManuscriptError(f"{source}: there is no such file or folder.")
    inside = sorted(file for file in source.rglob("*") if file.is_file() and file.suffix.lower() in READERS)
    visible = [file for file in inside if not any(part.startswith(".") for part in file.relative_to(source).parts)]
    if not visible:
        raise ManuscriptError(f"{source}: the folder has no {', '.join(READERS)} in it.")
    return [(file, file.relative_to(source).as_posix()) for file in visible]


def read_manuscript(file: Path, name: str) -> Manuscript:
    """Read one file. Raises ManuscriptError."""
    try:
        if file.stat().st_size > LONGEST_FILE:
            raise ManuscriptError(f"{file}: it is over {LONGEST_FILE >> 20} MB. Give the text alone, or in parts.")
        paragraphs = tuple(mended for each in READERS[file.suffix.lower()](file) if (mended := mend(each)))
    except OSError as error:
        raise ManuscriptError(f"{file}: it cannot be read ({error.strerror or error}).") from error
    if not paragraphs:
        raise ManuscriptError(f"{file}: there is no text in it. Leave it out.")
    return Manuscript(name, paragraphs)


def plain(file: Path) -> Iterator[str]:
    """Yield the paragraphs of a file of plain text; empty lines are between them."""
    text = decoded(file).replace("\r\n", "\n").replace("\r", "\n")
    blocks = text.split("\n\n")
    # Without any empty line, each line is a paragraph, as in texts from a word processor.
    yield from blocks if len(blocks) > 1 else text.split("\n")


def markdown(file: Path) -> Iterator[str]:
    """Yield the paragraphs and headings of a Markdown file, without its marks."""
    for token in MarkdownIt().parse(decoded(file)):
        if token.type == "inline" and token.children:
            yield "".join(" " if "break" in child.type else child.content for child in token.children)


def word(file: Path) -> Iterator[str]:
    """Yield the paragraphs of a Word document."""
    try:
        document = docx.Document(str(file))
    except (PackageNotFoundError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ManuscriptError(
            f"{file}: it is not a Word document. Open it in your editor, and save it again."
        ) from error
    yield from (paragraph.text for paragraph in document.paragraphs)


def book(file: Path) -> Iterator[str]:
    """Yield the paragraphs of an EPUB book, in reading order.

    Source: EPUB 3.3 (W3C), chapters 4 and 5: the container names the package, its spine names the pages.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > 4 * LONGEST_FILE:
                raise ManuscriptError(f"{file}: unpacked, it is over {4 * LONGEST_FILE >> 20} MB. Give its text alone.")
            container = etree.fromstring(archive.read("META-INF/container.xml"), SAFE)
            package = container.xpath("string(//*[local-name()='rootfile']/@full-path)")
            described = etree.fromstring(archive.read(package), SAFE)
            pages = {each.get("id"): each.get("href") for each in described.xpath("//*[local-name()='item']")}
            for entry in described.xpath("//*[local-name()='itemref']/@idref"):
                path = posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(pages[entry])))
                page = html.fromstring(archive.read(path))
                yield from (" ".join(block.text_content().split()) for block in page.xpath(BLOCKS))
    except (zipfile.BadZipFile, KeyError, etree.LxmlError, RuntimeError) as error:
        raise ManuscriptError(
            f"{file}: it is not an EPUB book without copy protection ({error}). Save it as text."
        ) from error


def decoded(file: Path) -> str:
    """Return the text of a file in any common encoding."""
    content = file.read_bytes()
    binary = b"\0" in content and not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    guess = None if binary else from_bytes(content).best()
    if guess is None:
        raise ManuscriptError(f"{file}: it is not text. Save it as plain text in UTF-8.")
    return str(guess).lstrip("\ufeff")


READERS = {".txt": plain, ".md": markdown, ".docx": word, ".epub": book}
"""The reader of each kind of file."""
