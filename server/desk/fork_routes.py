"""Other words, and other ways to say a sentence, as pages that work without JavaScript."""

import re
from dataclasses import dataclass
from itertools import islice

from litestar import Response, get
from litestar.params import FromPath, FromQuery

from server.desk.caret_routes import FIELDS
from server.desk.desk import SAVED
from server.desk.rewriting import LONGEST
from server.desk.shelf_routes import passage_number
from server.desk.visit import Visiting
from server.desk.window import SENTENCE
from server.http.access import client_of, for_desk
from server.http.rate_limit import count_text
from server.shelf import Volume, authorship
from server.writing.brief import ANY_GENRE

WORD = re.compile(r"\w+(?:['’-]\w+)*")
"""A word of a text. The addresses of these pages count words from 0."""

PART = 200
"""Words on a page."""


@dataclass(frozen=True)
class Part:
    """A stretch of a text, for its words or sentences to be links.

    number: from 0. last: the number of the text's end. spans: of its words in the text.
    """

    number: int
    last: int
    spans: list[tuple[int, int]]

    @property
    def first(self) -> int:
        """The number of its first word."""
        return self.number * PART

    @classmethod
    def of(cls, text: str, wanted: str, word: int) -> "Part":
        """Return the part with a number, else the part with a word, else the end of the text."""
        spans = [found.span() for found in WORD.finditer(text)]
        last = max(len(spans) - 1, 0) // PART
        number = passage_number(wanted) if wanted else word // PART if 0 <= word < len(spans) else last
        number = min(max(number, 0), last)
        return cls(number, last, spans[number * PART : (number + 1) * PART])


@get("/shelf/{plot_id:str}/words", guards=[for_desk])
async def other_words(
    plot_id: FromPath[str],
    visit: Visiting,
    at: FromQuery[str] = "",
    part: FromQuery[str] = "",
) -> Response[str]:
    """The words of a plot as links. `at`: the number of a word, to show the likeliest others there."""
    volume = await visit.read(plot_id)
    number = passage_number(at)
    found = next(islice(WORD.finditer(volume.text), number, None), None) if number >= 0 else None
    words = []
    rest = ""
    if found:
        count_text(visit.request)
        asked = _typed(volume) | {"text": volume.text[: found.start()], "selected": found[0]}
        words = await visit.desk.words(asked, client_of(visit.request))
        rest = _rest_to_keep(volume, found.end())
    shown = Part.of(volume.text, part, number)
    return await visit.page(
        "words.html",
        plot=volume,
        part=shown,
        chosen=number if found else None,
        found=found,
        rest=rest,
        words=words,
        kept=_kept(volume),
    )


@get("/shelf/{plot_id:str}/rewrite", guards=[for_desk])
async def other_ways(plot_id: FromPath[str], visit: Visiting, part: FromQuery[str] = "") -> Response[str]:
    """The sentences of a plot as links. `from`, `to`: words to show other ways to say."""
    volume = await visit.read(plot_id)
    text, query = volume.text, visit.request.query_params
    spans = [found.span() for found in WORD.finditer(text)]
    first, behind = passage_number(query.get("from", "")), passage_number(query.get("to", ""))
    selection, ways = None, list[str]()
    if 0 <= first < behind <= len(spans):
        count_text(visit.request)
        start, end = spans[first][0], spans[behind][0] if behind < len(spans) else len(text)
        end = start + len(text[start:end].rstrip())
        selection = (text[:start], text[start:end], text[end:])
        asked = _typed(volume) | dict(zip(("text", "selected", "rest"), selection, strict=True))
        ways = await visit.desk.rewrite(asked, client_of(visit.request))
    shown = Part.of(text, part, first)
    return await visit.page(
        "rewrite.html",
        plot=volume,
        part=shown,
        sentences=_sentences(text, spans, shown),
        selection=selection,
        ways=ways,
        kept=_kept(volume),
    )


def _sentences(text: str, spans: list[tuple[int, int]], part: Part) -> list[tuple[str, int | None, int]]:
    """Return the sentences in a part, and the words from and to; None for too many words."""
    found, word = [], 0
    begin = part.spans[0][0] if part.spans else 0
    end = part.spans[-1][1] if part.spans else len(text)
    for sentence in SENTENCE.finditer(text):
        first = word
        while word < len(spans) and spans[word][0] < sentence.end():
            word += 1
        if begin <= sentence.start() < end or sentence.start() <= begin < sentence.end():
            found.append((sentence[0], first if 0 < word - first <= LONGEST else None, word))
    return found


def _rest_to_keep(volume: Volume, start: int) -> str:
    """Return the text from `start` if the writer wrote a word of it, else nothing."""
    at = start
    for length, by in authorship.part(volume.authors, start, len(volume.text)):
        if by == "writer" and volume.text[at : at + length].strip():
            return volume.text[start:]
        at += length
    return ""


def _kept(volume: Volume) -> dict[str, str]:
    """Return the fields of the desk's form that belong to a plot."""
    return {"plot": volume.id, "genre": volume.genre or ANY_GENRE} | {
        name: volume.steering[name] for name in SAVED if name in volume.steering
    }


def _typed(volume: Volume) -> dict[str, str]:
    return FIELDS | _kept(volume)


fork_pages = [other_words, other_ways]
