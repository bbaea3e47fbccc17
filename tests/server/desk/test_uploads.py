"""Files become plots: their titles, their texts, and the reasons why some cannot."""

import re
from contextlib import suppress
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.desk.caret_routes import MAX_FORM
from server.desk.uploads import MAX_FILES, MAX_UPLOAD, Upload, UploadError, drafts
from server.shelf import Written, bounds
from tests.server.desk.visiting import Visitor, typed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LINES = st.lists(st.text(st.sampled_from("ab1 #*_`[]()<>&;:!|~+-=.\\\"'/"), max_size=20).map(str.strip), max_size=4)


def read(name: str, content: str | bytes) -> tuple[str, str, str]:
    """Return the title, the genre and the text of a file."""
    raw = content if isinstance(content, bytes) else content.encode()
    (draft,) = drafts([(name, raw)], ["Drama", "Science Fiction"])
    return draft.title, draft.genre, draft.text


@pytest.mark.parametrize(
    ("name", "content", "plot"),
    [
        ("The Flood.txt", "It rained.\r\n\r\nAnd rained.\r\n", ("The Flood", "", "It rained.\n\nAnd rained.")),
        ("The Flood.txt", "The Flood\n\nIt rained.", ("The Flood", "", "It rained.")),
        ("x.TXT", "# No heading", ("x", "", "# No heading")),
        ("x.md", "\n# The *Flood* #\n\nIt rained.", ("The *Flood*", "", "It rained.")),
        ("x.md", "# Flood\n*Drama*\n\nIt rained.", ("Flood", "Drama", "It rained.")),
        ("x.md", "# Flood\n\n*Western*\n\nIt rained.", ("Flood", "", "*Western*\n\nIt rained.")),
        ("x.md", "*Drama*\n\nIt rained.", ("x", "", "*Drama*\n\nIt rained.")),
        ("x.markdown", "It\\\nrained 3\\. **hard**.", ("x", "", "It\nrained 3. **hard**.")),
        ("x.md", "#hashtag", ("x", "", "#hashtag")),
        ("x.txt", "It rained – café".encode("utf-16"), ("x", "", "It rained – café")),
        ("x.txt", b"\xef\xbb\xbfIt rained", ("x", "", "It rained")),
        (f"{'x' * 240}.txt", "It rained", ("x" * 199 + "…", "", "It rained")),
        ("../../etc/passwd.txt", "It rained", ("passwd", "", "It rained")),
    ],
)
def test_a_file_has_a_title_and_a_text(name: str, content: str | bytes, plot: tuple[str, str, str]) -> None:
    assert read(name, content) == plot


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.docx", b"PK", "“a.docx”: This is neither plain text (.txt) nor Markdown (.md)."),
        ("a", b"It rained", "“a”: This is neither plain text"),
        ("a.txt", b"caf\xe9", "“a.txt”: This is not plain text, or not in Unicode. Save it again"),
        ("a.txt", b"PK\0\0", "“a.txt”: This is not plain text"),
        ("a.txt", b" \n", "“a.txt”: There is no text in it."),
        ("a.md", b"# Title", "“a.md”: There is no text in it."),
        ("a.txt", b"x" * (bounds.TEXT + 1), "“a.txt”: The text has 100,001 characters; the limit is 100,000."),
        ("a.md", b"# " + b"x" * 201 + b"\n\nIt rained", ""),
    ],
)
def test_a_file_that_is_no_plot_is_told_by_its_name(name: str, content: bytes, says: str) -> None:
    if not says:  # a heading that is too long is cut
        assert len(read(name, content)[0]) == bounds.TITLE
        return
    with pytest.raises(UploadError) as refused:
        drafts([("good.txt", b"It rained"), (name, content)], [])
    (problem,) = refused.value.problems
    assert problem.startswith(says)


@given(LINES, LINES.map(" ".join), st.sampled_from(["", "Drama", "Science Fiction"]))
def test_a_plot_comes_back_from_its_own_markdown(lines: list[str], title: str, genre: str) -> None:
    text = "\n".join(lines).strip()
    title = " ".join(title.split()) or "Untitled"
    plot = Written(title=title, genre=genre, text=text or "It rained", created=NOW, changed=NOW)
    assert read("plot.md", plot.markdown()) == (title, genre, text or "It rained")


@given(st.binary(max_size=200), st.text(max_size=10))
def test_any_bytes_are_read_or_refused(content: bytes, name: str) -> None:
    with suppress(UploadError):
        Upload.read(content, "x")
    with suppress(UploadError):
        read(f"{name}.md", content)


def bring(visitor: Visitor, *files: tuple[str, bytes], **fields: str) -> httpx.Response:
    posted = [("files", (name, content, "text/plain")) for name, content in files]
    return visitor.client.post("/shelf", data={"token": visitor.token} | fields, files=posted, follow_redirects=False)


def test_files_are_brought_to_the_shelf_once(visitor: Visitor) -> None:
    one = bring(visitor, ("One.txt", b"It rained."), page="p")
    assert one.status_code == 303
    assert typed(visitor.client.get(one.headers["location"]).text) == "It rained."
    several = (("Two.md", b"# 2\n\nIt snowed."), ("Three.txt", b"It froze."))
    for _ in range(2):
        assert bring(visitor, *several, page="p").headers["location"] == "/shelf"
    shelf = visitor.client.get("/shelf?sort=title").text
    assert "3 plots." in shelf
    assert re.findall(r'<h2 dir="auto"><a[^>]*>(.*?)</a>', shelf) == ["2", "One", "Three"]


def test_what_cannot_be_brought_in_is_told_and_nothing_else_is(visitor: Visitor) -> None:
    answer = bring(visitor, ("good.txt", b"It rained."), ("<b>.docx", b"PK"))
    assert answer.status_code == 422
    assert "“&lt;b&gt;.docx”: This is neither plain text" in answer.text
    assert "Nothing here yet" in answer.text
    assert "Choose a file first." in bring(visitor, ("", b"")).text
    too_many = [(f"{number}.txt", b"x") for number in range(MAX_FILES + 1)]
    assert f"Choose at most {MAX_FILES} at once." in bring(visitor, *too_many).text
    large = bring(visitor, ("large.txt", b"x" * MAX_UPLOAD))
    assert large.status_code == 422
    assert "1,280 KiB together" in large.text
    assert MAX_UPLOAD == MAX_FORM
    visitor.token = "x"
    assert bring(visitor, ("good.txt", b"It rained.")).status_code == 403


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x", "text/plain"])
def test_a_body_that_has_no_files(visitor: Visitor, kind: str) -> None:
    answer = visitor.client.post("/shelf", content=b"--y\r\n", headers={"Content-Type": kind})
    assert answer.status_code in (403, 422)
    assert "</html>" in answer.text


def test_a_full_shelf_takes_what_it_can(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "PLOTS", 2)
    answer = bring(visitor, *((f"{number}.txt", b"It rained.") for number in range(3)))
    assert answer.status_code == 422
    assert "2 of 3 files are on your shelf now. The shelf is full: it has 2 plots. Delete one." in answer.text
    assert "2 plots." in answer.text
