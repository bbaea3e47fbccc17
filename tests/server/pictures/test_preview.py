"""The preview of a link is a PNG of the cover's scene."""

import struct
import zlib

import numpy as np
import pytest

from server.pictures import preview
from server.pictures.cover import ANY, PALETTES
from server.pictures.preview import SIZE


def pixels(content: bytes) -> "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]":
    """Return the pixels of a PNG without filters, after checking its form."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, {}
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", content, at + 8 + length) == (zlib.crc32(kind + data),)
        chunks[kind] = data
        at += 12 + length
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (*SIZE, 8, 2, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(SIZE[1], -1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(SIZE[1], SIZE[0], 3)


@pytest.mark.parametrize("genre", [None, "Horror", "no such genre"])
def test_it_is_in_the_colours_of_the_genre(genre: str | None) -> None:
    palette = PALETTES.get((genre or "").lower(), ANY)
    drawn = preview("The Fox", genre)
    assert drawn.media_type == "image/png"
    colours = {"#" + bytes(colour).hex() for colour in np.unique(pixels(drawn.content).reshape(-1, 3), axis=0)}
    assert {palette.light, palette.far, palette.near} <= colours


def test_it_is_the_same_each_time_and_another_for_another_cover() -> None:
    first = preview("The Fox", "Drama")
    assert preview("The Fox", "Drama") == first
    assert len({first.content, preview("The Fox", "Drama", 1).content, preview("The Hen", "Drama").content}) == 3
    assert len(first.content) < 100_000
