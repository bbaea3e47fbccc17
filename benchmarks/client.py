"""The benchmarks' client: sends every kind of request to a server and reads the answers to their end."""

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
from server.desk.continuations import COUNT
from server.http.sse import EVENT_STREAM
from server.writing.brief import ANY_GENRE

Kind = Literal["stream", "whole", "plot", "page"]
KINDS: tuple[Kind, ...] = ("stream", "whole", "plot", "page")
"""A stream of /v1, a whole answer of /v1, a plot of /api/plots with its events, the desk's page."""

End = Literal["whole", "refused", "told", "cut", "wrong"]

PATIENCE = 600.0
"""Seconds after which an unfinished request counts as hanging."""

TOKEN = re.compile(r'name="token" value="(\w+)"')
PIECE = re.compile(r'<span slot="text-(\d)">(.*?)</span>', re.DOTALL)
FAILURE = re.compile(r'<p slot="after" class="problem">(.*?)</p>', re.DOTALL)
GENRES = (ANY_GENRE, "Crime", "Horror")
MAX_ROWS = 2 * COUNT
"""Rows of a page in a genre, the request with the most rows."""

MAX_PROMPT = 40  # words


@dataclass(frozen=True)
class SampleRequest:
    """One request.

    Attributes:
        tokens: the exact number of new tokens, for /v1.
        length: the length field of a plot or page.
        genre: the genre field of a plot or page.
    """

    kind: Kind
    prompt: str
    seed: int
    tokens: int
    length: str
    genre: str

    def rows(self, guidance: float) -> int:
        """Return the number of cache rows needed.

        A page has three texts. With a model's guidance over 1, a text in a genre takes two rows.
        """
        guided = guidance > 1 and self.kind in ("plot", "page") and self.genre != ANY_GENRE
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
        """Return the fields for /desk, with the token of the visitor's pages."""
        return self.brief | {"text": self.prompt, "token": token, "do": "continue"}


def sample_requests(
    seed: int, tokens: int, genres: Sequence[str], kinds: Sequence[Kind] = KINDS, length: str = "line"
) -> Iterator[SampleRequest]:
    """Yield requests without end, their kinds in turn. The same seed gives the same requests.

    Args:
        tokens: the most new tokens of a request to /v1.
        genres: the model's genres.
    """
    draw = random.Random(seed)
    known = [genre for genre in GENRES if genre in (ANY_GENRE, *genres)]
    for number in count():
        # Cut in the middle of a sentence: after a whole one, a plot may end at once.
        words = opening(draw, 20 + MAX_PROMPT).split()[: draw.randint(3, MAX_PROMPT)]
        written = draw.randint(1 + tokens // 2, tokens)
        kind, chosen = kinds[number % len(kinds)], draw.choice(known)
        yield SampleRequest(kind, " ".join(words), draw.randrange(10**6), written, length, chosen)


@dataclass(frozen=True)
class Visitor:
    """A visitor of the desk: the browser's Cookie header, and the token of the forms on the pages."""

    cookie: str
    token: str


class Reply(Stream):
    """The answer to a request, during and after reading it. Times are those of `perf_counter`.

    Attributes:
        ended: the time of its end.
        place: the path of a plot.
        last_event: the id of the last event of a plot; "" before the first.
        end: None before the end; "whole"; "refused" for 429 or 503 in the interface's own form; "told" for another
            error in that form, as a status or in the stream; "cut" for a lost connection; "wrong" for all else.
        problem: the reason if it is not whole.
    """

    def __init__(self, request: SampleRequest, due: float | None = None) -> None:
        super().__init__(due)
        self.request = request
        self.ended: float | None = None
        self.place: str | None = None
        self.last_event = ""
        self.end: End | None = None
        self.problem: str | None = None

    @property
    def first(self) -> float | None:
        """The time of the first text."""
        return self.arrivals[0] if self.arrivals else None

    @property
    def complaint(self) -> str:
        """The kind of the request and the problem."""
        return f"{self.request.kind}: {self.problem}"


class Refused(Exception):
    """The server has answered that it has no room."""


@dataclass(frozen=True)
class Client:
    """A client of one server, with its connections and the name of the server's model."""

    session: aiohttp.ClientSession
    model: str

    async def ask(self, reply: Reply) -> Reply:
        """Send the reply's request, read the reply to its end, and return it. Never raises.

        If it is a plot that was cut off, go on behind its last event, as EventSource does.
        """
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
        """Repeat a request until it is not refused, for at most `patience` seconds."""
        until = perf_counter() + patience
        while (reply := await self.ask(Reply(request))).end == "refused" and perf_counter() < until:
            await asyncio.sleep(0.1)
        return reply

    async def complete(self, body: dict[str, Any], stream: Stream) -> None:
        """Send a request to /v1/completions, and read its answer into `stream`.

        Raises:
            Refused: the server has no room.
            Failure: the server has answered with another error.
            ValueError, SSEError, aiohttp.ClientError: the answer is not valid.
        """
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
        """Open the desk as a new visitor. Each needs its own shelf: one takes 1,000 plots at most."""
        async with self.session.get("/") as response:
            await _check(response)
            found = TOKEN.search(await response.text())
            if found is None:
                raise ValueError("the desk has no token")
            return Visitor(response.cookies.output(attrs=[], header="", sep=";").strip(), found[1])

    async def suggest(self, cookie: str, form: dict[str, str]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield the events of the desk's three continuations, each with its name and content, to the end.

        Raises:
            Refused: the server has no room.
            Failure: the server has answered with another error.
            ValueError, SSEError, aiohttp.ClientError: the answer is not valid.
        """
        headers = {"Cookie": cookie, "Accept": EVENT_STREAM}
        async with self.session.post("/desk/suggest", data=form, headers=headers) as response:
            await _check(response)
            async for event in events(response.content_type, response.content.iter_any()).aiter_sse():
                yield event.event, msgspec.json.decode(event.data)
                if event.event == "settled":
                    return
        raise ValueError("the offer ended without an end")

    async def keep(self, visitor: Visitor, text: str, plot: str = "") -> dict[str, str]:
        """Keep a text on the visitor's shelf, and return the desk's answer with its `plot` and `address`.

        Args:
            plot: the plot to change; empty for a new one.
        """
        form = {"token": visitor.token, "do": "keep", "text": text, "plot": plot}
        headers = {"Cookie": visitor.cookie, "Accept": "application/json"}
        async with self.session.post("/desk", data=form, headers=headers) as response:
            kept: dict[str, str] = await response.json()
            return kept

    async def engine_load(self) -> tuple[int, int]:
        """Return the number of running sequences and of queued requests, from /healthz."""
        async with self.session.get("/healthz") as response:
            health = await response.json()
            return health["running"], health["waiting"]

    async def until_idle(self, seconds: float) -> bool:
        """Wait until the engine is idle. Return False if it still isn't after `seconds`."""
        until = perf_counter() + seconds
        while any(await self.engine_load()):
            if perf_counter() > until:
                return False
            await asyncio.sleep(0.01)
        return True

    async def take_all_rows(self, rows: int, tokens: int) -> bool:
        """Send one request that needs all `rows`, with `tokens` in each. Return True if all came back."""
        body = {"model": self.model, "prompt": "All of them", "n": rows, "max_tokens": tokens}
        async with self.session.post("/v1/completions", json=body | {"ignore_eos": True, "seed": 1}) as response:
            return response.status == 200 and len((await response.json())["choices"]) == rows

    async def _follow(self, reply: Reply) -> None:
        if reply.place is None:
            async with self.session.post("/api/plots", json=reply.request.brief) as response:
                await _check(response)
                reply.place = (await response.json())["self"]
        headers = {"Last-Event-ID": reply.last_event}
        async with self.session.get(f"{reply.place}/events", headers=headers) as response:
            await _check(response)
            reply.opened = perf_counter()
            async for event in events(response.content_type, response.content.iter_any()).aiter_sse():
                content, reply.last_event = msgspec.json.decode(event.data), event.id
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
        # The three texts arrive interleaved, in an order that depends on timing.
        reply.text = html.unescape("".join(text for _, text in sorted(PIECE.findall(said), key=itemgetter(0))))


@asynccontextmanager
async def connect(server: Serving, connections: int = 0, key: str = "") -> AsyncIterator[Client]:
    """Yield a client. It keeps up to `connections` connections; 0 opens a new one for each request.

    Args:
        key: the API key, if the server needs one.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    connector = aiohttp.TCPConnector(limit=connections, force_close=not connections)
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(server.address, connector=connector, timeout=timeout, headers=headers) as session:
        yield Client(session, server.model)


def run_streams(server: Serving, prompts: Sequence[Prompt], tokens: int, greedy: bool, clients: int) -> list[Timing]:
    """Read a stream of /v1/completions for each of `prompts`, `clients` at a time, over kept connections.

    Raises:
        ChildProcessError: the server has failed, or a stream has the wrong number of tokens.
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
    """Raise Refused or Failure for an error in the interface's own form, and ValueError for any other."""
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
