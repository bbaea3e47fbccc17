"""One request of each kind that people and programs make, read to its end, and how it ended."""

import asyncio
import html
import json
import random
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from operator import itemgetter
from time import perf_counter
from typing import Literal

import aiohttp

from benchmarks.loadtest.words import opening
from server.desk.offers import COUNT
from server.writing.brief import ANY_GENRE

Kind = Literal["stream", "whole", "plot", "page"]
KINDS: tuple[Kind, ...] = ("stream", "whole", "plot", "page")
"""A stream and a whole answer of /v1, a plot of /api/plots with its events, the desk's page with its three texts."""

End = Literal["whole", "refused", "told", "cut", "wrong"]

PATIENCE = 600.0
"""Seconds after which a request that has not ended hangs."""

TOKEN = re.compile(r'name="token" value="(\w+)"')
PIECE = re.compile(r'<span slot="text-(\d)">(.*?)</span>', re.DOTALL)
FAILURE = re.compile(r'<p slot="after" class="problem">(.*?)</p>', re.DOTALL)
GENRES = (ANY_GENRE, "Crime", "Horror")
MAX_ROWS = 2 * COUNT
"""That an order takes: a page in a genre."""

MAX_PROMPT = 40
"""Words."""


@dataclass(frozen=True)
class Order:
    """What is asked for. tokens: of /v1, exactly so many. length, genre: of a plot or page, as typed."""

    kind: Kind
    prompt: str
    seed: int
    tokens: int
    length: str
    genre: str

    @property
    def rows(self) -> int:
        """How many rows of the cache it takes: a page is three texts, and what is written in a genre takes two each."""
        guided = self.kind in ("plot", "page") and self.genre != ANY_GENRE
        return (COUNT if self.kind == "page" else 1) * (2 if guided else 1)

    @property
    def completion(self) -> dict[str, object]:
        """The body for /v1/completions, without the model."""
        wanted = {"prompt": self.prompt, "seed": self.seed, "max_tokens": self.tokens, "ignore_eos": True}
        return wanted | {"top_p": 0.9, "stream": self.kind == "stream"}

    @property
    def brief(self) -> dict[str, str]:
        """The fields for /api/plots."""
        return {"prompt": self.prompt, "genre": self.genre, "length": self.length, "seed": str(self.seed)}

    def form(self, token: str) -> dict[str, str]:
        """The fields for /desk. token: of the visitor's pages."""
        fields = {"text": self.prompt, "genre": self.genre, "length": self.length, "seed": str(self.seed)}
        return fields | {"token": token, "do": "continue"}


def orders(
    seed: int, tokens: int, genres: Sequence[str], kinds: Sequence[Kind] = KINDS, length: str = "line"
) -> Iterator[Order]:
    """Without end, the same for the same seed; the kinds take turns. genres: of the model; tokens: of /v1, at most."""
    draw = random.Random(seed)
    known = [genre for genre in GENRES if genre in (ANY_GENRE, *genres)]
    for number in count():
        # In the middle of a sentence: after its end a plot may be over at once.
        words = opening(draw, 20 + MAX_PROMPT).split()[: draw.randint(3, MAX_PROMPT)]
        written = draw.randint(1 + tokens // 2, tokens)
        kind, chosen = kinds[number % len(kinds)], draw.choice(known)
        yield Order(kind, " ".join(words), draw.randrange(10**6), written, length, chosen)


@dataclass(frozen=True)
class Visitor:
    """Somebody at the desk: what their browser sends as Cookie, and their pages' form as its token."""

    cookie: str
    token: str


class Answer:
    """What came of an order, while it comes and afterwards. Times are those of `perf_counter`.

    due: when it was to be sent. opened: when its headers came; first: its first text; ended: its end. place: of a plot,
    its path. end: None until then; "whole"; "refused", for 429 and 503 in the interface's own form; "told", for an
    error that the server tells in that form, whether by its status or in the stream; "cut", for a connection that was
    lost, which the client sees; "wrong" for everything else. problem: what, where it is not whole.
    """

    def __init__(self, order: Order, due: float | None = None) -> None:
        self.order = order
        self.due = perf_counter() if due is None else due
        self.opened: float | None = None
        self.first: float | None = None
        self.ended: float | None = None
        self.text = ""
        self.place: str | None = None
        self.end: End | None = None
        self.problem: str | None = None

    def add(self, text: str) -> None:
        """Some more of its text."""
        if text and self.first is None:
            self.first = perf_counter()
        self.text += text


class Told(Exception):
    """The server says that it failed."""


class Refused(Exception):
    """The server says that it has no room."""


async def ask(session: aiohttp.ClientSession, model: str, answer: Answer) -> Answer:
    """Reads what comes of the answer's order until it ends; raises nothing, and returns the same answer."""
    try:
        async with asyncio.timeout(PATIENCE):
            match answer.order.kind:
                case "stream" | "whole":
                    await _complete(session, model, answer)
                case "plot":
                    await _follow(session, answer)
                case "page":
                    await _read_page(session, answer)
        answer.end = "whole"
    except Refused as refused:
        answer.end, answer.problem = "refused", str(refused)
    except Told as told:
        answer.end, answer.problem = "told", str(told)
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as lost:
        answer.end, answer.problem = "cut", repr(lost)
    except TimeoutError:
        answer.end, answer.problem = "wrong", f"it did not end in {PATIENCE:g} seconds"
    except (aiohttp.ClientError, ValueError, KeyError) as failed:
        answer.end, answer.problem = "wrong", repr(failed)
    answer.ended = perf_counter()
    return answer


async def ask_alone(session: aiohttp.ClientSession, model: str, order: Order, patience: float = 60.0) -> Answer:
    """Asks until it is served, or refused for so many seconds."""
    until = perf_counter() + patience
    while (answer := await ask(session, model, Answer(order))).end == "refused" and perf_counter() < until:
        await asyncio.sleep(0.1)
    return answer


async def _complete(session: aiohttp.ClientSession, model: str, answer: Answer) -> None:
    body = {"model": model} | answer.order.completion
    async with session.post("/v1/completions", json=body) as response:
        await _check(response)
        answer.opened = perf_counter()
        if answer.order.kind == "whole":
            answer.text = (await response.json())["choices"][0]["text"]
            return
        async for _, data in _events(response):
            if data == "[DONE]":
                return
            chunk = json.loads(data)
            if "error" in chunk:
                raise Told(chunk["error"]["message"])
            answer.add(chunk["choices"][0]["text"])
    raise ValueError("the stream ended without [DONE]")


async def _follow(session: aiohttp.ClientSession, answer: Answer) -> None:
    async with session.post("/api/plots", json=answer.order.brief) as response:
        await _check(response)
        started = await response.json()
    answer.place = started["self"]
    async with session.get(started["events"]) as response:
        await _check(response)
        answer.opened = perf_counter()
        async for name, data in _events(response):
            content = json.loads(data)
            if name == "error":
                raise Told(content["message"])
            if name == "done":
                return
            answer.add(content["text"])
    raise ValueError("the events ended without an end")


async def _read_page(session: aiohttp.ClientSession, answer: Answer) -> None:
    visitor = await visit(session)
    page = bytearray()
    form = answer.order.form(visitor.token)
    async with session.post("/desk", data=form, headers={"Cookie": visitor.cookie}) as response:
        await _check(response)
        answer.opened = perf_counter()
        async for piece in response.content.iter_any():
            page += piece
            if answer.first is None and b'<span slot="text-' in page:
                answer.first = perf_counter()
    said = page.decode()
    if failed := FAILURE.search(said):
        raise Told(html.unescape(failed[1]))
    if not said.rstrip().endswith("</html>"):
        raise ValueError("the page is not whole")
    # The three are written side by side; which piece comes first is for chance to say.
    answer.text = html.unescape("".join(text for _, text in sorted(PIECE.findall(said), key=itemgetter(0))))


async def visit(session: aiohttp.ClientSession) -> Visitor:
    """Opens the desk, as somebody who was never there: a shelf takes 1,000 plots."""
    async with session.get("/") as response:
        await _check(response)
        found = TOKEN.search(await response.text())
        if found is None:
            raise ValueError("the desk has no token")
        return Visitor(response.cookies.output(attrs=[], header="", sep=";").strip(), found[1])


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str]]:
    """Name and data of each event."""
    name = ""
    async for line in response.content:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, value


async def _check(response: aiohttp.ClientResponse) -> None:
    """Raises Refused and Told where the server says so in the form that the interface has for it."""
    if response.status < 400:
        return
    said = await response.text()
    if response.content_type == "application/json":
        content = json.loads(said)
        message = content["error"]["message"] if "error" in content else content["message"]
    else:
        if "</html>" not in said:
            raise ValueError(f"{response.status} without a page: {said[:100]}")
        message = "a page"
    if response.status in (429, 503):
        if not response.headers.get("Retry-After", "").isdigit():
            raise ValueError(f"{response.status} without Retry-After: {said[:100]}")
        raise Refused(f"{response.status}: {message}")
    raise Told(f"{response.status}: {message}")
