"""Drawn covers are repeatable and well-formed for any title."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.pictures import cover
from server.pictures.cover import ANY, LINES, MAKER, PALETTES, SIZES
from server.settings import SHIPPED_MODEL

NAMES = {"svg": "http://www.w3.org/2000/svg"}


def drawn(title: str, genre: str | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(cover(title, genre).content)


def texts(svg: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in svg.findall("svg:text", NAMES)]


def test_it_is_the_same_each_time_and_another_for_another_plot() -> None:
    first = cover("The Lighthouse", "Horror")
    assert first == cover("The Lighthouse", "Horror")
    assert (first.media_type, first.prompt, first.maker) == ("image/svg+xml", "", MAKER)
    others = {cover("The Lighthouse", "Drama").content, cover("The Lighthouse", None).content}
    assert len(others | {cover("A lighthouse", "Horror").content, first.content}) == 4


def test_it_says_what_it_is_to_those_who_see_it_and_to_those_who_hear_it() -> None:
    svg = drawn("L & <War>", "Romance")
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby") == "title desc"
    title, desc = svg.find("svg:title", NAMES), svg.find("svg:desc", NAMES)
    assert title is not None
    assert desc is not None
    assert (title.get("id"), title.text) == ("title", "Cover of “L & <War>”")
    assert (desc.get("id"), desc.text) == (
        "desc",
        f"{MAKER}, in the colours of Romance: a light over hills, under the title.",
    )
    assert texts(svg) == ["ROMANCE", "L & <War>", MAKER]


def test_a_long_title_is_wrapped_and_what_is_too_long_is_cut() -> None:
    lines = texts(drawn("What the baker found under the old harbour when the river turned back", "Comedy"))[1:-1]
    assert 1 < len(lines) <= LINES
    assert " ".join(lines) == "What the baker found under the old harbour when the river turned back"
    cut = texts(drawn("word " * 500))[:-1]
    assert len(cut) == LINES
    assert cut[-1].endswith("word…")
    assert "".join(texts(drawn("Donaudampfschifffahrtselektrizität"))[:-1]) == "Donaudampfschifffahrtselektrizität"


def test_a_title_without_spaces_is_measured_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []
    width = cover.__globals__["_width"]

    def counted(text: str) -> float:
        measured.append(text)
        return float(width(text))

    monkeypatch.setitem(cover.__globals__, "_width", counted)
    lines = texts(drawn("灯" * 200))[:-1]
    assert set("".join(lines)) == {"灯", "…"}
    assert sum(map(len, measured)) < 200 * 40 * len(SIZES)


@given(st.text(st.characters(exclude_categories=()), max_size=300), st.text(max_size=30))
def test_any_title_gives_a_picture_that_can_be_read(title: str, genre: str) -> None:
    svg = drawn(title, genre)
    assert 2 <= len(texts(svg)) <= LINES + 2
    # Neither scripts nor styles, which a strict Content-Security-Policy would not let through.
    tags = {element.tag.removeprefix(f"{{{NAMES['svg']}}}") for element in svg.iter()}
    assert tags <= {"svg", "title", "desc", "linearGradient", "stop", "rect", "circle", "path", "text"}
    assert not any("style" in element.attrib for element in svg.iter())


def test_every_genre_of_the_shipped_model_has_its_colours_and_letters_that_can_be_read() -> None:
    genres = json.loads((Path(SHIPPED_MODEL) / "bundle.json").read_text())["prompt"]["genres"]
    assert {genre.lower() for genre in genres} == set(PALETTES)
    for palette in (*PALETTES.values(), ANY):
        assert contrast(palette.ink, palette.top) >= 7
        assert contrast("#ffffff", palette.near) >= 4.5


def contrast(one: str, other: str) -> float:
    """Return WCAG's contrast ratio of two colours."""

    def luminance(colour: str) -> float:
        channels = [int(found, 16) / 255 for found in re.findall("[0-9a-f]{2}", colour)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
