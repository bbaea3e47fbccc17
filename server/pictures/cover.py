"""Draws covers for servers without a picture service: an SVG from a title, a genre and their hash."""

import hashlib
import math
import random
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from jinja2 import Environment, FileSystemLoader

from server.pictures.picture import Picture
from server.rendering import TEMPLATES

TEMPLATE = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
).get_template("cover.svg")

WIDTH, HEIGHT = 800, 1200
MAKER = "A cover drawn by Plotify"
"""Written on the cover too, since it is not a picture of the plot."""

RINGS = ((2.6, 0.08), (1.9, 0.12), (1.4, 0.18), (1.0, 1.0))
"""Around the light, and the light itself: radius in radii of the light, and opacity."""

SKY = 0.45
"""The part of the height down to which the sky has the colour of its top."""

STRIDE = 20
"""Units from one point of a ridge to the next."""

LINES = 5
SIZES = (104, 88, 74, 62, 52)
"""Font sizes of the title, in units of the drawing. The first one to fit is used."""

JOINERS = "\u200c\u200d"
"""Invisible characters; words of some scripts fall apart without them."""


@dataclass(frozen=True)
class Palette:
    """Colours: the sky's top and bottom, the light, the ridges from far to near, and the letters."""

    top: str
    bottom: str
    light: str
    far: str
    near: str
    ink: str


PALETTES = {
    "action": Palette("#2b1608", "#d9541e", "#ffd166", "#8c2f10", "#1d0d06", "#fff4e6"),
    "comedy": Palette("#f9c846", "#fbe8a6", "#ef6f6c", "#7fb7be", "#2f5d62", "#2a2a2a"),
    "crime": Palette("#11151c", "#364156", "#d66853", "#212d40", "#0a0d12", "#f2efe9"),
    "documentary": Palette("#e9e4d8", "#cfc7b4", "#b5482f", "#8d9a8b", "#3d4a45", "#22282a"),
    "drama": Palette("#3b2c4a", "#c98b76", "#f6dcae", "#73506b", "#2a1c33", "#fff6ea"),
    "family": Palette("#8fd0ea", "#e6f6ee", "#ffc857", "#7cbf8e", "#2d6a4f", "#17352a"),
    "fantasy": Palette("#1d1a4b", "#7d5ba6", "#f4e4a1", "#4b3b86", "#15123a", "#fbf7ff"),
    "historical": Palette("#33251a", "#c49a63", "#f4e3bf", "#7d5b3a", "#24180e", "#fdf6e8"),
    "horror": Palette("#0b0b0d", "#4a0f14", "#c9c2b2", "#26090c", "#050506", "#f3ece2"),
    "romance": Palette("#7a2e4d", "#f3a6a0", "#ffe9d6", "#b5527a", "#4a1830", "#fff5f0"),
    "science fiction": Palette("#04121f", "#0f5f73", "#9ff3e4", "#0b3a4d", "#020a12", "#e9fffb"),
    "thriller": Palette("#10202b", "#5a7684", "#f1f5f2", "#2b4454", "#081218", "#f6faf8"),
}
ANY = Palette("#1f3d35", "#a9c3ae", "#f6ecd2", "#4d7566", "#142a24", "#fbfcfa")


@dataclass(frozen=True)
class Scene:
    """The drawing on a cover, in its units.

    x, y, radius: of the light. ridges: the heights of each at every `STRIDE` units, and its colour, from far to near.
    """

    palette: Palette
    x: float
    y: float
    radius: float
    ridges: list[tuple[list[int], str]]

    @classmethod
    def of(cls, title: str, genre: str, number: int) -> "Scene":
        """Return the scene for a title and a genre, and the next ones for higher numbers."""
        palette = PALETTES.get(genre.lower(), ANY)
        chosen = f"{title}\n{genre}" + (f"\n{number}" if number else "")
        chance = random.Random(hashlib.sha256(chosen.encode()).digest())
        x, y, radius = chance.uniform(200, 600), chance.uniform(700, 800), chance.uniform(70, 120)
        return cls(palette, x, y, radius, list(_ridges(palette, chance)))


def cover(title: str, genre: str | None, number: int = 0) -> Picture:
    """Draw a cover: a light over ridges in the genre's colours, and the title above them.

    number: of the drawing, among the many for this title and genre. A title that is too long is cut. The same title,
    genre and number give the same cover. It needs no font of its own, no script and no style sheet, so any
    Content-Security-Policy lets it be shown, in a page or alone.
    """
    title, genre = printable(title) or "Untitled", printable(genre or "")
    scene = Scene.of(title, genre, number)
    size, lines = _lines(title)
    svg = TEMPLATE.render(
        width=WIDTH,
        height=HEIGHT,
        maker=MAKER,
        title=title,
        genre=genre,
        palette=scene.palette,
        light=scene,
        rings=RINGS,
        sky=SKY,
        ridges=[(_outline(heights), colour) for heights, colour in scene.ridges],
        size=size,
        lines=lines,
    )
    return Picture("image/svg+xml", svg.encode(), "", MAKER)


def _ridges(palette: Palette, chance: random.Random) -> Iterator[tuple[list[int], str]]:
    """Yield the heights, a sum of three waves, and the colour of each ridge, from far to near."""
    count = chance.randint(4, 5)
    for index in range(count):
        nearness = index / (count - 1)
        level = 800 + 250 * nearness + chance.uniform(-20, 20)
        waves = [(chance.uniform(0.5, 1.5) * (step + 1), chance.uniform(0, 2 * math.pi)) for step in range(3)]
        heights = []
        for x in range(0, WIDTH + 1, STRIDE):
            height = sum(
                60 / (step + 1) ** 1.4 * math.sin(2 * math.pi * turns * x / WIDTH + shift)
                for step, (turns, shift) in enumerate(waves)
            )
            heights.append(round(level + height))
        yield heights, _between(palette.far, palette.near, nearness)


def _outline(heights: list[int]) -> str:
    """Return the path around a ridge, down to the bottom."""
    slopes = "".join(f"l{STRIDE} {after - before}" for before, after in pairwise(heights))
    return f"M0 {HEIGHT}V{heights[0]}{slopes}V{HEIGHT}Z"


def printable(text: str) -> str:
    """Return the text with single spaces, without control characters and others invalid in XML."""
    spaced = " ".join(text.split())
    return "".join(letter for letter in spaced if letter.isprintable() or letter in JOINERS)


def _lines(title: str) -> tuple[int, list[str]]:
    """Return the largest fitting font size of the title, and its lines in this size."""
    for size in SIZES:
        lines = _wrap(title, (WIDTH - 120) / size)
        if len(lines) <= LINES and len(lines) * size * 1.14 <= 460:
            return size, lines
    return size, [*lines[: LINES - 1], f"{lines[LINES - 1].rstrip(' .,;:')}…"]


def _wrap(title: str, room: float) -> list[str]:
    """Break a title into lines of `room` ems. A word longer than a line is broken too."""
    lines = [""]
    for word in title.split():
        if lines[-1] and _width(f"{lines[-1]} {word}") > room:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
        while _width(lines[-1]) > room:
            end = max(1, bisect_right(list(accumulate(map(_width, lines[-1]))), room))
            lines[-1:] = [lines[-1][:end], lines[-1][end:]]
    return lines


def _width(text: str) -> float:
    """Return the approximate width of a text in a bold serif, in ems. An East Asian letter fills one."""
    return sum(
        0.0 if unicodedata.combining(letter)
        else 1.0 if unicodedata.east_asian_width(letter) in "WF"
        else 1.1 if letter in "MWmw—…"
        else 0.8 if letter.isupper()
        else 0.4 if letter in "fijlrt .,:;!'"
        else 0.66
        for letter in text
    )  # fmt: skip


def _between(first: str, last: str, share: float) -> str:
    channels = [(int(first[at : at + 2], 16), int(last[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in channels)
