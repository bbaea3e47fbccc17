"""A desk whose model writes what it is told, so that tests of the page know each word."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import parse_qs

from playwright.sync_api import Page, Request, Route, expect

from tests.end_to_end.writer import Writer

WAYS = (
    " He opened it under the lamp. The first line was his name.",
    " The ink was still wet.",
    " He let the light go out.",
)
LIKELY = {"lantern": 0.31, "moon": 0.22, "lamp": 0.11, "rain": 0.004}
REWRITTEN = ("the old man who kept the light", "a keeper grown old", "whoever kept the lamp")


@dataclass
class DictatedDesk:
    """Answers the requests of a page to the model in place of the server.

    Attributes:
        asked: each request: the last part of its path, or "take" if it saves words of the model; and its fields.
        refusals: statuses to answer the next requests for suggestions with.
        ways: the suggestions, in turn.
    """

    page: Page
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    ways: tuple[str, str, str] = WAYS
    _seeds: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        for name in ("suggest", "words", "rewrite"):
            self.page.route(f"**/desk/{name}", getattr(self, f"_{name}"))
        self.page.on("request", self._note)

    def of(self, name: str) -> list[dict[str, str]]:
        """Return the fields of all requests to a path so far."""
        return [fields for asked, fields in self.asked if asked == name]

    def _note(self, request: Request) -> None:
        if "taken" in (fields := _fields(request)):
            self.asked.append(("take", fields))

    def _fields(self, route: Route) -> dict[str, str]:
        fields = _fields(route.request)
        self.asked.append((route.request.url.rpartition("/")[2], fields))
        return fields

    def _suggest(self, route: Route) -> None:
        fields = self._fields(route)
        if self.refusals:
            status = self.refusals.pop(0)
            route.fulfill(status=status, json={"message": "Come back later."}, headers={"Retry-After": "2"})
            return
        seed = next(self._seeds)
        seeds = [seed, seed + 1000, seed + 2000]
        events: list[tuple[str, object]] = [("begun", {"seeds": seeds, "read": len(fields["text"]), "notes": 0})]
        for index in range(3):
            way = self.ways[(index + seed - 1) % 3]
            events.append(("piece", {"index": index, "text": way if fields["text"].strip() else way.lstrip()}))
        events.append(("settled", {"failure": None, "seeds": seeds, "finished": [True] * 3}))
        body = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
        route.fulfill(body=body, content_type="text/event-stream")

    def _words(self, route: Route) -> None:
        self._fields(route)
        words = [{"word": word, "probability": probability} for word, probability in LIKELY.items()]
        route.fulfill(json={"others": words})

    def _rewrite(self, route: Route) -> None:
        self._fields(route)
        route.fulfill(json={"others": [{"word": way} for way in REWRITTEN]})


def _fields(request: Request) -> dict[str, str]:
    """Return the fields of a form."""
    return {name: values[0] for name, values in parse_qs(request.post_data or "", keep_blank_values=True).items()}


def suggested(writer: Writer) -> None:
    """Ask for suggestions, and wait for all three."""
    writer.text.press("Control+Enter")
    expect(writer.takes).to_have_count(3)
    expect(writer.ghost).to_have_attribute("data-words", WAYS[0])
