"""A shelf as one zip file: safe names, and no more in memory than one plot."""

import asyncio
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.desk.archive import LONGEST, archive, file_name
from server.shelf import Shelf
from tests.server.desk.visiting import Visitor

PNG = b"\x89PNG\r\n\x1a\n..."


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("A fox", "A fox"),
        ("Zoë: what/now?", "Zoë what now"),
        ("../../etc/passwd", "etc passwd"),
        ("C:\\con", "C con"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("...", "Untitled"),
        ("\u202etxt.exe", "txt.exe"),
        ("cafe\u0301", "café"),
        ("狐" * 200, "狐" * (LONGEST // 3)),
    ],
)
def test_a_title_is_a_name_on_any_system(title: str, name: str) -> None:
    assert file_name(title) == name


@given(st.text(max_size=300))
def test_any_title_is_a_safe_name(title: str) -> None:
    name = file_name(title)
    assert 0 < len(name.encode()) <= LONGEST + 1
    assert not set(name) & set('<>:"/\\|?*\0\n')
    assert name == name.strip()
    assert not name.startswith(".")
    assert not name.endswith(".")


def test_everything_is_in_one_file(visitor: Visitor) -> None:
    for title in ("The Fox", "the fox", "Zoë"):
        plot = visitor.keep(f"About {title}.", "")["plot"]
        visitor.client.post(f"/shelf/{plot}", data={"token": visitor.token, "do": "rename", "title": title})
    answer = visitor.client.get("/shelf/plots.zip")
    assert answer.headers["content-type"] == "application/zip"
    assert "plots.zip" in answer.headers["content-disposition"]
    file = zipfile.ZipFile(io.BytesIO(answer.content))
    assert file.testzip() is None
    assert sorted(file.namelist()) == ["The Fox (2).md", "Zoë.md", "the fox.md"]
    assert file.read("Zoë.md").decode() == "# Zoë\n\nAbout Zoë.\n"
    visitor.client.cookies.clear()
    assert zipfile.ZipFile(io.BytesIO(visitor.client.get("/shelf/plots.zip").content)).namelist() == []


async def pieces_of_four(database: str) -> list[bytes]:
    """Return the archive of four plots. The last one is deleted while it is written."""
    pieces = []
    async with Shelf.open(database) as shelf:
        plots = [(await shelf.begin("me", f"Plot {number}. " + "x" * 50_000)).id for number in range(4)]
        await shelf.illustrate("me", plots[3], "image/png", PNG, "")
        async for piece in archive(shelf, "me"):
            pieces.append(piece)
            if len(pieces) == 1:
                await shelf.delete("me", plots[0])
    return pieces


def test_it_comes_in_pieces_with_pictures_and_without_what_is_deleted_meanwhile(tmp_path: Path) -> None:
    pieces = asyncio.run(pieces_of_four(str(tmp_path / "shelf.sqlite")))
    assert len(pieces) == 4
    file = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
    assert file.testzip() is None
    assert [name[:6] for name in file.namelist()] == ["Plot 3", "Plot 3", "Plot 2", "Plot 1"]
    assert file.read(file.namelist()[1]) == PNG
