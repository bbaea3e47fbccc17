"""The cover that is drawn where there is no picture service: an SVG from a title, a genre and their hash."""

import hashlib
import math
import random
import unicodedata
from dataclasses import dataclass
from xml.etree import ElementTree

from server.pictures.picture import Picture

WIDTH, HEIGHT = 800, 1200
MAKER = "A cover drawn by Plotify"
"""Said on the cover itself, too: it is no picture of the plot."""

LINES = 5
SIZES = (104, 88, 74, 62, 52)
"""Of the title, in units of the drawing; the first in which it fits."""

JOINERS = "\u200c\u200d"
"""Characters that show nothing, but without which words of some scripts fall apart."""


@dataclass(frozen=True)
class Palette:
    """Colours: the sky's top and bottom, what shines in it, the ridges from far to near, and the letters."""

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
    "horror": Palette("#0b0b0d", "#4a0f14", "#c9c2b2", "#26090c", "#050506", "#f3ece2"),
    "romance": Palette("#7a2e4d", "#f3a6a0", "#ffe9d6", "#b5527a", "#4a1830", "#fff5f0"),
    "science fiction": Palette("#04121f", "#0f5f73", "#9ff3e4", "#0b3a4d", "#020a12", "#e9fffb"),
    "thriller": Palette("#10202b", "#5a7684", "#f1f5f2", "#2b4454", "#081218", "#f6faf8"),
}
ANY = Palette("#1f3d35", "#a9c3ae", "#f6ecd2", "#4d7566", "#142a24", "#fbfcfa")


def cover(title: str, genre: str | None) -> Picture:
    """The same for the same title and genre: a light over ridges in the genre's colours, and the title above them.

    Of a title that is too long, the beginning. It needs no font of its own, no script and no style sheet, so that any
    Content-Security-Policy lets it be shown, in a page or alone.
    """
    title, genre = _shown(title) or "Untitled", _shown(genre or "")
    palette = PALETTES.get(genre.lower(), ANY)
    chance = random.Random(hashlib.sha256(f"{title}\n{genre}".encode()).digest())
    svg = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH} {HEIGHT}",
            "width": str(WIDTH),
            "height": str(HEIGHT),
            "role": "img",
            "aria-labelledby": "title desc",
        },
    )
    ElementTree.SubElement(svg, "title", id="title").text = f"Cover of “{title}”"
    kind = f", in the colours of {genre}" if genre else ""
    ElementTree.SubElement(svg, "desc", id="desc").text = f"{MAKER}{kind}: a light over hills, under the title."
    _sky(svg, palette)
    _light(svg, palette, chance)
    _ridges(svg, palette, chance)
    _letters(svg, palette, title, genre)
    return Picture("image/svg+xml", ElementTree.tostring(svg, encoding="utf-8"), "", MAKER)


def _sky(svg: ElementTree.Element, palette: Palette) -> None:
    gradient = ElementTree.SubElement(svg, "linearGradient", id="sky", x1="0", y1="0", x2="0", y2="1")
    for offset, colour in (("0", palette.top), ("0.45", palette.top), ("1", palette.bottom)):
        ElementTree.SubElement(gradient, "stop", {"offset": offset, "stop-color": colour})
    _rectangle(svg, 0, 0, WIDTH, HEIGHT, "url(#sky)")


def _light(svg: ElementTree.Element, palette: Palette, chance: random.Random) -> None:
    """A sun or a moon, with rings around it as faint as the air."""
    x, y, radius = chance.uniform(200, 600), chance.uniform(700, 800), chance.uniform(70, 120)
    for ring, opacity in ((2.6, 0.08), (1.9, 0.12), (1.4, 0.18), (1.0, 1.0)):
        ElementTree.SubElement(
            svg,
            "circle",
            {"cx": f"{x:.0f}", "cy": f"{y:.0f}", "r": f"{radius * ring:.0f}", "fill": palette.light}
            | {"fill-opacity": str(opacity)},
        )


def _ridges(svg: ElementTree.Element, palette: Palette, chance: random.Random) -> None:
    """From far and high to near and low, each of three waves."""
    count = chance.randint(4, 5)
    for index in range(count):
        nearness = index / (count - 1)
        level = 800 + 250 * nearness + chance.uniform(-20, 20)
        waves = [(chance.uniform(0.5, 1.5) * (step + 1), chance.uniform(0, 2 * math.pi)) for step in range(3)]
        points = []
        for x in range(0, WIDTH + 1, 20):
            height = sum(
                60 / (step + 1) ** 1.4 * math.sin(2 * math.pi * turns * x / WIDTH + shift)
                for step, (turns, shift) in enumerate(waves)
            )
            points.append(f"L{x} {level + height:.0f}")
        path = f"M0 {HEIGHT}{''.join(points)}L{WIDTH} {HEIGHT}Z"
        ElementTree.SubElement(svg, "path", d=path, fill=_between(palette.far, palette.near, nearness))


def _letters(svg: ElementTree.Element, palette: Palette, title: str, genre: str) -> None:
    serif, sans = "Georgia, 'Liberation Serif', serif", "Helvetica, 'Liberation Sans', Arial, sans-serif"
    if genre:
        _text(svg, genre.upper(), 130, 26, palette.ink, {"font-family": sans, "letter-spacing": "8"})
        _rectangle(svg, WIDTH / 2 - 40, 165, 80, 3, palette.light)
    size, lines = _set(title)
    for number, line in enumerate(lines):
        y = 190 + size * (0.95 + 1.14 * number)
        _text(svg, line, y, size, palette.ink, {"font-family": serif, "font-weight": "600"})
    _rectangle(svg, 0, HEIGHT - 76, WIDTH, 76, palette.near)
    _text(svg, MAKER, HEIGHT - 30, 24, "#ffffff", {"font-family": sans, "letter-spacing": "1"})


def _text(svg: ElementTree.Element, text: str, y: float, size: int, fill: str, more: dict[str, str]) -> None:
    attributes = {"x": str(WIDTH // 2), "y": f"{y:.0f}", "font-size": str(size), "fill": fill, "text-anchor": "middle"}
    # The title and the description are what is read aloud.
    ElementTree.SubElement(svg, "text", attributes | more | {"aria-hidden": "true"}).text = text


def _rectangle(svg: ElementTree.Element, x: float, y: float, width: float, height: float, fill: str) -> None:
    sizes = {"x": x, "y": y, "width": width, "height": height}
    ElementTree.SubElement(svg, "rect", {name: f"{value:g}" for name, value in sizes.items()} | {"fill": fill})


def _shown(text: str) -> str:
    """The text without what XML cannot hold and what would turn the rest of a line around; one space for any."""
    spaced = " ".join(text.split())
    return "".join(letter for letter in spaced if letter.isprintable() or letter in JOINERS)


def _set(title: str) -> tuple[int, list[str]]:
    """The title's size and its lines: the largest size in which it has room."""
    for size in SIZES:
        lines = _wrap(title, (WIDTH - 120) / size)
        if len(lines) <= LINES and len(lines) * size * 1.14 <= 460:
            return size, lines
    return size, [*lines[: LINES - 1], f"{lines[LINES - 1].rstrip(' .,;:')}…"]


def _wrap(title: str, room: float) -> list[str]:
    """Lines of words; a word that is longer than a line is broken. room: width of a line in ems."""
    lines = [""]
    for word in title.split():
        if lines[-1] and _width(f"{lines[-1]} {word}") > room:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
        while _width(lines[-1]) > room:
            end = next(end for end in range(len(lines[-1]), 0, -1) if end == 1 or _width(lines[-1][:end]) <= room)
            lines[-1:] = [lines[-1][:end], lines[-1][end:]]
    return lines


def _width(text: str) -> float:
    """About how wide a text is in a bold serif, in ems; East Asian letters fill one."""
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
    mixed = (round(a + (b - a) * share) for a, b in zip(_channels(first), _channels(last), strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
