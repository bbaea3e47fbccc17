"""Files that a writer brings to the shelf: plain text and Markdown."""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePath

from multipart import MultipartError, MultipartParser

from server.errors import PlotifyError
from server.shelf import NotKept, bounds

MAX_UPLOAD = 1280 * 1024
"""Bytes of the files together, as many as of the desk's form: proxies let those through."""

MAX_FILES = 100
"""Files at once."""

MARKDOWN, PLAIN = (".md", ".markdown"), (".txt", ".text")
"""The ends of the names of files."""

HEADING = re.compile(r"\s*#[ \t]+(\S.*?)(?:[ \t]+#+)?[ \t]*(?:\n\s*|\Z)")
GENRE = re.compile(r"\*([^*\n]+)\*[ \t]*(?:\n\s*|\Z)")
ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~\n])")
"""A line break or a character of Markdown's, after the backslash that makes it plain."""


class UploadError(PlotifyError):
    """The server cannot take in the files. problems: a sentence for each file at fault."""

    status = 422

    def __init__(self, *problems: str) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Upload:
    """A posted form with files. fields: its other fields. files: the name and content of each file."""

    fields: dict[str, str]
    files: list[tuple[str, bytes]]

    @classmethod
    def read(cls, body: bytes, boundary: str) -> "Upload":
        """Read a body of the type multipart/form-data. Raises UploadError."""
        fields, files = {}, []
        parser = MultipartParser(
            BytesIO(body), boundary, part_limit=MAX_FILES + 8, spool_limit=MAX_UPLOAD, memory_limit=2 * MAX_UPLOAD
        )
        try:
            for part in parser:
                if part.filename is None:
                    fields[part.name] = part.raw.decode("utf-8", "replace")
                elif part.filename or part.raw:
                    files.append((part.filename, part.raw))
        except MultipartError as error:
            raise UploadError(
                f"The files did not arrive whole, or they are more than {MAX_FILES}. Choose them again."
            ) from error
        return cls(fields, files)


@dataclass(frozen=True)
class Draft:
    """A plot from a file. digest: the same for the same file."""

    title: str
    genre: str
    text: str
    digest: str


def drafts(files: Collection[tuple[str, bytes]], genres: Collection[str]) -> list[Draft]:
    """Return the plots in some files, all or none of them. genres: the known ones. Raises UploadError."""
    if not files:
        raise UploadError("Choose a file first.")
    if len(files) > MAX_FILES:
        raise UploadError(f"You chose {len(files)} files. Choose at most {MAX_FILES} at once.")
    read, problems = [], []
    for name, content in files:
        try:
            read.append(_draft(name, content, genres))
        except (NotKept, ValueError) as error:
            problems.append(f"“{PurePath(name).name:.80}”: {error}")
    if problems:
        raise UploadError(*problems)
    return read


def _draft(name: str, content: bytes, genres: Collection[str]) -> Draft:
    """Return the plot in a file. Raises ValueError and NotKept, with what is wrong."""
    path = PurePath(name)
    if path.suffix.lower() not in MARKDOWN + PLAIN:
        raise ValueError("This is neither plain text (.txt) nor Markdown (.md). Save it as one of these first.")
    title, genre, text = path.stem, "", _decoded(content)
    if path.suffix.lower() in MARKDOWN:
        if heading := HEADING.match(text):
            title, text = ESCAPED.sub(r"\1", heading[1]), text[heading.end() :]
            if (line := GENRE.match(text)) and (named := ESCAPED.sub(r"\1", line[1])) in genres:
                genre, text = named, text[line.end() :]
        text = ESCAPED.sub(r"\1", text)
    else:
        text = text.removeprefix(f"{title}\n\n")  # as the server writes it
    text = bounds.text("text", text.rstrip())
    if not text.strip():
        raise ValueError("There is no text in it.")
    title = bounds.line("title", title if len(title) <= bounds.TITLE else title[: bounds.TITLE - 1] + "…")
    digest = hashlib.sha256(f"{name}\n".encode("utf-8", "replace") + content).hexdigest()
    return Draft(title, genre, text, digest)


def _decoded(content: bytes) -> str:
    """Return the text of a file, with one line feed at the end of each line. Raises ValueError."""
    # Windows marks its Unicode with these first bytes.
    coding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(coding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError("This is not plain text, or not in Unicode. Save it again as plain text, in UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n")
