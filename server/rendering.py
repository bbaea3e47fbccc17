"""The pages: Jinja templates, rendered whole, or in pieces while a plot is being generated."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import Extension
from markdown_it import MarkdownIt
from markupsafe import Markup

from server.bundle import Bundle, Manifest
from server.http.static import static_address
from server.writing.brief import ANY_GENRE, DEFAULTS, LENGTHS, WILDNESSES

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"

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
        self._environment.globals.update(
            genres=self.genres,
            any_genre=ANY_GENRE,
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
        return await self._environment.get_template(name).render_async(context)

    def stream(self, name: str, **context: object) -> AsyncIterator[str]:
        """Yield the page in pieces. Everything before an asynchronous value of the context comes at once."""
        return self._environment.get_template(name).generate_async(context)


def card(bundle: Bundle) -> Markup | None:
    """Return a model's card as HTML; None if it has none. HTML in the card stays text."""
    path = bundle.path / "MODEL_CARD.md"
    if not path.is_file():
        return None
    # The hub reads the YAML at the top.
    text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text("utf-8"), flags=re.DOTALL)
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return Markup(html.replace("<th></th>", "<td></td>"))  # screen readers announce an empty heading
