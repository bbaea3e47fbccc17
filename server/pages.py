"""The pages: Jinja templates rendered whole, or piece by piece while a plot is being written into them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from server.bundle import Bundle, Manifest
from server.http.static import static_address
from server.writing.brief import ANY_GENRE, DEFAULTS, LENGTHS, WILDNESSES

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


class Pages:
    """Renders templates/ for one model; each context comes on top of what all pages know. genres: the model's."""

    def __init__(self, manifest: Manifest) -> None:
        self.genres = manifest.prompt.genres
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            enable_async=True,
        )
        self._environment.globals.update(
            genres=self.genres,
            any_genre=ANY_GENRE,
            lengths=LENGTHS,
            wildnesses={
                step: (wildness, wildness.sampling(manifest.sampling)) for step, wildness in WILDNESSES.items()
            },
            static=static_address,
            typed=DEFAULTS,
            problems={},
            notice=None,
            plot=None,
            offer=None,
            offers=[],
            drawing=None,
        )

    async def render(self, name: str, **context: object) -> str:
        """The whole page."""
        return await self._environment.get_template(name).render_async(context)

    def stream(self, name: str, **context: object) -> AsyncIterator[str]:
        """The page in pieces: what comes before an asynchronous value of the context is sent before it is there."""
        return self._environment.get_template(name).generate_async(context)


def card(bundle: Bundle) -> Markup | None:
    """What its maker says of a model, as HTML; None where they say nothing. Markup in it stays text."""
    path = bundle.path / "MODEL_CARD.md"
    if not path.is_file():
        return None
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    html = renderer.render(_without_front_matter(path.read_text("utf-8")))
    return Markup(html.replace("<th></th>", "<td></td>"))  # a heading of nothing is read out as one


def _without_front_matter(text: str) -> str:
    """Without the YAML that the hub reads at the top of a card."""
    return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
