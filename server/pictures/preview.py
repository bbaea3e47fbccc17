"""Draws the picture for the preview of a link: the scene of the cover as a PNG.

Messengers and social networks show no SVG. They write the title beside the picture, so it needs no letters.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from server.pictures.cover import HEIGHT, MAKER, RINGS, SKY, STRIDE, WIDTH, Scene, printable
from server.pictures.picture import Picture

SIZE = (1200, 630)
"""Width and height in pixels, as Open Graph recommends."""

TOP = 610
"""The height of the cover at the top of the picture. The picture is as wide as the cover."""

Pixels = NDArray[np.float32]


def preview(title: str, genre: str | None, number: int = 0) -> Picture:
    """Draw the scene on the cover of the same title, genre and number. Takes some hundredths of a second."""
    scene = Scene.of(printable(title) or "Untitled", printable(genre or ""), number)
    scale = WIDTH / SIZE[0]
    x = np.arange(SIZE[0], dtype=np.float32) * scale
    y = (np.arange(SIZE[1], dtype=np.float32) * scale + TOP)[:, None]
    share = np.clip((y / HEIGHT - SKY) / (1 - SKY), 0, 1)[..., None]
    sky = _colour(scene.palette.top) * (1 - share) + _colour(scene.palette.bottom) * share
    pixels: Pixels = np.broadcast_to(sky, (SIZE[1], SIZE[0], 3)).astype(np.float32)
    distance = np.hypot(x - scene.x, y - scene.y)
    for ring, opacity in RINGS:
        _paint(pixels, distance <= ring * scene.radius, scene.palette.light, opacity)
    for heights, colour in scene.ridges:
        _paint(pixels, y >= np.interp(x, np.arange(0, WIDTH + 1, STRIDE), heights), colour)
    return Picture("image/png", _png(pixels.round().astype(np.uint8)), "", MAKER)


def _paint(pixels: Pixels, where: NDArray[np.bool_], colour: str, opacity: float = 1.0) -> None:
    pixels[where] = pixels[where] * (1 - opacity) + _colour(colour) * opacity


def _colour(colour: str) -> Pixels:
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], np.float32)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG of pixels, (height, width, 3), in red, green and blue."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + width * 3), np.uint8)  # each begins with its filter, 0 for none
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
