"""The client of the benchmarks: one request of each kind that people and programs make, read to its end."""

import asyncio
import html
import json
import random
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from operator import itemgetter
from time import perf_counter
from typing import Any, Literal

import aiohttp
import msgspec
from httpx_sse import SSEError

from benchmarks.latency import Timing
from benchmarks.openings import opening
from benchmarks.process import Serving
from benchmarks.streams import DONE, Failure, Stream, events
from benchmarks.workload import SAMPLING, Prompt, closed_loop
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
"""Rows of a page in a genre, which takes the most."""

MAX_PROMPT = 40  # words


@dataclass(frozen=True)
class SampleRequest:
    """One request. tokens: of /v1, exactly so many. length, genre: of a plot or page, as typed."""

    kind: Kind
    prompt: str
    seed: int
    tokens: int
    length: str
    genre: str

    @property
    def rows(self) -> int:
        """Rows of the cache that it takes: a page is three texts, and a text in a genre takes two."""
        guided = self.kind in ("plot", "page") and self.genre != ANY_GENRE
        return (COUNT if self.kind == "page" else 1) * (2 if guided else 1)

    @property
    def completion(self) -> dict[str, Any]:
        """The body for /v1/completions, without the model."""
        wanted = {"prompt": self.prompt, "seed": self.seed, "max_tokens": self.tokens, "ignore_eos": True}
        return wanted | {"top_p": 0.9, "stream": self.kind == "stream"}

    @property
    def brief(self) -> dict[str, str]:
        """The fields for /api/plots."""
        return {"prompt": self.prompt, "genre": self.genre, "length": self.length, "seed": str(self.seed)}

    def form(self, token: str) -> dict[str, str]:
        """The fields for /desk. token: of the visitor's pages."""
        return self.brief | {"text": self.prompt, "token": token, "do": "continue"}


def sample_requests(
    seed: int, tokens: int, genres: Sequence[str], kinds: Sequence[Kind] = KINDS, length: str = "line"
) -> Iterator[SampleRequest]:
    """Without end, the same for the same seed; the kinds take turns. genres: of the model; tokens: of /v1, at most."""
    draw = random.Random(seed)
    known = [genre for genre in GENRES if genre in (ANY_GENRE, *genres)]
    for number in count():
        # In the middle of a sentence: after its end a plot may be over at once.
        words = opening(draw, 20 + MAX_PROMPT).split()[: draw.randint(3, MAX_PROMPT)]
        written = draw.randint(1 + tokens // 2, tokens)
        kind, chosen = kinds[number % len(kinds)], draw.choice(known)
        yield SampleRequest(kind, " ".join(words), draw.randrange(10**6), written, length, chosen)


@dataclass(frozen=True)
class Visitor:
    """Somebody at the desk: their browser's Cookie, and the token of the forms on their pages."""

    cookie: str
    token: str


class Reply(Stream):
    """The answer to a request, while it comes and afterwards. Times are those of `perf_counter`.

    ended: its end. place: of a plot, its path. end: None until then; "whole"; "refused",
    for 429 and 503 in the interface's own form; "told", for an error that the server tells in that form, by its status
    or in the stream; "cut", for a connection that was lost, which the client sees; "wrong" for everything else.
    problem: why it is not whole.
    """

    def __init__(self, request: SampleRequest, due: float | None = None) -> None:
        super().__init__(due)
        self.request = request
        self.ended: float | None = None
        self.place: str | None = None
        self.end: End | None = None
        self.problem: str | None = None

    @property
    def first(self) -> float | None:
        """The time of its first text."""
        return self.arrivals[0] if self.arrivals else None

    @property
    def complaint(self) -> str:
        """Its kind and its problem."""
        return f"{self.request.kind}: {self.problem}"


class Refused(Exception):
    """The server says that it has no room."""


@dataclass(frozen=True)
class Client:
    """A client of one server. session: its connections. model: the name of the model that it asks for."""

    session: aiohttp.ClientSession
    model: str

    async def ask(self, reply: Reply) -> Reply:
        """Reads the reply to its request until it ends; raises nothing, and returns the same reply."""
        try:
            async with asyncio.timeout(PATIENCE):
                match reply.request.kind:
                    case "stream" | "whole":
                        await self.complete(reply.request.completion, reply)
                    case "plot":
                        await self._follow(reply)
                    case "page":
                        await self._read_page(reply)
            reply.end = "whole"
        except Refused as refused:
            reply.end, reply.problem = "refused", str(refused)
        except Failure as told:
            reply.end, reply.problem = "told", str(told)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as lost:
            reply.end, reply.problem = "cut", repr(lost)
        except TimeoutError:
            reply.end, reply.problem = "wrong", f"it did not end in {PATIENCE:g} seconds"
        except (aiohttp.ClientError, SSEError, ValueError, KeyError) as failed:
            reply.end, reply.problem = "wrong", repr(failed)
        reply.ended = perf_counter()
        return reply

    async def ask_alone(self, request: SampleRequest, patience: float = 60.0) -> Reply:
        """Asks until it is served, or refused for so many seconds."""
        until = perf_counter() + patience
        while (reply := await self.ask(Reply(request))).end == "refused" and perf_counter() < until:
            await asyncio.sleep(0.1)
        return reply

    async def complete(self, body: dict[str, Any], stream: Stream) -> None:
        """Reads an answer of /v1/completions. Raises Refused, Failure, ValueError, SSEError and aiohttp.ClientError."""
        async with self.session.post("/v1/completions", json={"model": self.model} | body) as response:
            await _check(response)
            stream.opened = perf_counter()
            if not body["stream"]:
                stream.text = (await response.json())["choices"][0]["text"]
                return
            async for event in events(response.content_type, response.content.iter_any()).aiter_sse():
                if event.data == DONE:
                    return
                stream.read(msgspec.json.decode(event.data))
        raise ValueError("the stream ended without [DONE]")

    async def visit(self) -> Visitor:
        """Opens the desk as a new visitor: a shelf takes 1,000 plots."""
        async with self.session.get("/") as response:
            await _check(response)
            found = TOKEN.search(await response.text())
            if found is None:
                raise ValueError("the desk has no token")
            return Visitor(response.cookies.output(attrs=[], header="", sep=";").strip(), found[1])

    async def keep(self, visitor: Visitor, text: str) -> dict[str, str]:
        """Has a text kept on the visitor's shelf; the desk's answer, with the plot's `plot` and `address`."""
        form = {"token": visitor.token, "do": "keep", "text": text}
        headers = {"Cookie": visitor.cookie, "Accept": "application/json"}
        async with self.session.post("/desk", data=form, headers=headers) as response:
            kept: dict[str, str] = await response.json()
            return kept

    async def engine_load(self) -> tuple[int, int]:
        """Sequences that run in the engine and requests that wait for it, by its own word."""
        async with self.session.get("/healthz") as response:
            health = await response.json()
            return health["running"], health["waiting"]

    async def until_idle(self, seconds: float) -> bool:
        """Waits until the engine has nothing to do; False if it still has after so many seconds."""
        until = perf_counter() + seconds
        while any(await self.engine_load()):
            if perf_counter() > until:
                return False
            await asyncio.sleep(0.01)
        return True

    async def take_all_rows(self, rows: int, tokens: int) -> bool:
        """Asks for so many tokens in each of the rows, which one request gets once all are free; True if all came."""
        body = {"model": self.model, "prompt": "All of them", "n": rows, "max_tokens": tokens}
        async with self.session.post("/v1/completions", json=body | {"ignore_eos": True, "seed": 1}) as response:
            return response.status == 200 and len((await response.json())["choices"]) == rows

    async def _follow(self, reply: Reply) -> None:
        async with self.session.post("/api/plots", json=reply.request.brief) as response:
            await _check(response)
            started = await response.json()
        reply.place = started["self"]
        async with self.session.get(started["events"]) as response:
            await _check(response)
            reply.opened = perf_counter()
            async for event in events(response.content_type, response.content.iter_any()).aiter_sse():
                content = msgspec.json.decode(event.data)
                if event.event == "error":
                    raise Failure(content["message"])
                if event.event == "done":
                    return
                reply.add(content["text"])
        raise ValueError("the events ended without an end")

    async def _read_page(self, reply: Reply) -> None:
        visitor = await self.visit()
        page = bytearray()
        form = reply.request.form(visitor.token)
        async with self.session.post("/desk", data=form, headers={"Cookie": visitor.cookie}) as response:
            await _check(response)
            reply.opened = perf_counter()
            async for piece in response.content.iter_any():
                page += piece
                if not reply.arrivals and b'<span slot="text-' in page:
                    reply.arrivals.append(perf_counter())
        said = page.decode()
        if failed := FAILURE.search(said):
            raise Failure(html.unescape(failed[1]))
        if not said.rstrip().endswith("</html>"):
            raise ValueError("the page is not whole")
        # The three are written side by side; which piece comes first is for chance to say.
        reply.text = html.unescape("".join(text for _, text in sorted(PIECE.findall(said), key=itemgetter(0))))


@asynccontextmanager
async def connect(server: Serving, connections: int = 0) -> AsyncIterator[Client]:
    """A client with a new connection for each request, or with so many that it keeps."""
    connector = aiohttp.TCPConnector(limit=connections, force_close=not connections)
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(server.address, connector=connector, timeout=timeout) as session:
        yield Client(session, server.model)


def run_streams(server: Serving, prompts: Sequence[Prompt], tokens: int, greedy: bool, clients: int) -> list[Timing]:
    """Streams of /v1/completions, one for each of `prompts`, by so many `clients` that keep their connections.

    Raises ChildProcessError for a server that fails, and for an answer that is not what was asked for.
    """
    same = {"max_tokens": tokens, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
    same |= SAMPLING[greedy]

    async def run() -> list[Timing]:
        async def ask_once(numbered: tuple[int, Prompt]) -> Timing:
            seed, prompt = numbered
            stream = Stream()
            await client.complete(same | {"prompt": prompt, "seed": seed}, stream)
            if stream.tokens != tokens:
                raise ChildProcessError(f"the server wrote {stream.tokens} of {tokens} tokens")
            return Timing.of(stream.submitted, perf_counter(), stream.arrivals, stream.tokens)

        async with connect(server, clients) as client:
            return await closed_loop(clients, enumerate(prompts), ask_once)

    try:
        return asyncio.run(run())
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        if isinstance(first, (aiohttp.ClientError, TimeoutError, Refused, Failure, SSEError, ValueError)):
            raise ChildProcessError(f"the server failed: {first}") from failed
        raise first from failed


async def _check(response: aiohttp.ClientResponse) -> None:
    """Raises Refused and Failure where the server says so in the form that the interface has for it."""
    if response.status < 400:
        return
    said = await response.text()
    if response.content_type == "application/json":
        content = json.loads(said)
        message = content.get("error", content)["message"]
    elif "</html>" in said:
        message = "a page"
    else:
        raise ValueError(f"{response.status} without a page: {said[:100]}")
    if response.status not in (429, 503):
        raise Failure(f"answered {response.status}: {message}")
    if not response.headers.get("Retry-After", "").isdigit():
        raise ValueError(f"{response.status} without Retry-After: {said[:100]}")
    raise Refused(f"answered {response.status}: {message}")
