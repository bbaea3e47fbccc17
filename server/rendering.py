"""The pages: Jinja templates, rendered whole, or in pieces while a plot is being generated."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import Extension
from markdown_it import MarkdownIt
from markupsafe import Markup

from server.bundle import Bundle, Manifest
from server.http.static import static_address
from server.writing.brief import ANY_GENRE, DEFAULTS, LENGTHS, WILDNESSES

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"

TURN = 0.005
"""Seconds of the event loop for a page before others have their turn."""

ADDRESS = re.compile(r'(\b(?:action|formaction|href|src)="(?:\{% if [^%]* %\})?)/')
"""The beginning of an address of this server in a template."""


class RootPath(Extension):
    """Puts the root path before each address in a template."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Return the source of a template with the root path in it."""
        return ADDRESS.sub(r"\1{{ root_path }}/", source)


class Pages:
    """Renders templates/ for a model. Contexts add to the values of all pages. genres: the model's.

    root_path: the path below which the pages are served.
    """

    def __init__(self, manifest: Manifest, root_path: str = "") -> None:
        self.genres = manifest.prompt.genres
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            enable_async=True,
            extensions=[RootPath],
        )
        # Not `%-d`, which Windows lacks.
        self._environment.filters["date"] = lambda moment: f"{moment.day} {moment:%B %Y}"
        self._environment.filters["listed"] = listed
        self._environment.globals.update(
            genres=self.genres,
            any_genre=ANY_GENRE,
            has_notes=manifest.prompt.has_notes,
            lengths=LENGTHS,
            wildnesses={
                step: (wildness, wildness.sampling(manifest.sampling)) for step, wildness in WILDNESSES.items()
            },
            root_path=root_path,
            static=lambda name: root_path + static_address(name),
            typed=DEFAULTS,
            problems={},
            notice=None,
            plot=None,
            offer=None,
            offers=[],
            drawing=None,
        )

    async def render(self, name: str, **context: object) -> str:
        """Return the whole page."""
        return "".join([piece async for piece in self.stream(name, **context)])

    async def stream(self, name: str, **context: object) -> AsyncGenerator[str, None]:
        """Yield the page in pieces, as its asynchronous values come. A long page gives others their turn."""
        # The first time, Jinja reads and compiles the template, for up to 20 ms.
        template = await asyncio.to_thread(self._environment.get_template, name)
        until = time.monotonic() + TURN
        async with aclosing(template.generate_async(context)) as pieces:
            async for piece in pieces:
                yield piece
                if time.monotonic() > until:
                    await asyncio.sleep(0)
                    until = time.monotonic() + TURN


def card(bundle: Bundle) -> Markup | None:
    """Return a model's card as HTML; None if it has none. HTML in the card stays text."""
    path = bundle.path / "MODEL_CARD.md"
    if not path.is_file():
        return None
    # The hub reads the YAML at the top.
    text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text("utf-8"), flags=re.DOTALL)
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return Markup(html.replace("<th></th>", "<td></td>"))  # screen readers announce an empty heading


def listed(titles: Sequence[str], most: int = 3) -> str:
    """Return titles as part of a sentence: the first `most`, and the number of the others."""
    named = [f"“{title}”" for title in titles[:most]]
    if len(titles) > most:
        named.append(f"{len(titles) - most} more")
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
