"""The pages: Jinja templates rendered whole, or piece by piece while a plot is being written into them."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from server.brief import ANY_GENRE, DEFAULTS, LENGTHS, WILDNESSES
from server.bundle import Manifest

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
STATIC = TEMPLATES / "static"


class Pages:
    """Renders templates/ for one model; each context comes on top of what all pages know."""

    def __init__(self, manifest: Manifest) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            enable_async=True,
        )
        self._environment.globals.update(
            genres=manifest.prompt.genres,
            any_genre=ANY_GENRE,
            lengths=LENGTHS,
            wildnesses=WILDNESSES,
            static=static_address,
            typed=DEFAULTS,
            problems={},
            notice=None,
            plot=None,
        )

    async def render(self, name: str, **context: object) -> str:
        """The whole page."""
        return await self._environment.get_template(name).render_async(context)

    def stream(self, name: str, **context: object) -> AsyncIterator[str]:
        """The page in pieces: what comes before an asynchronous value of the context is sent before it is there."""
        return self._environment.get_template(name).generate_async(context)


def static_address(name: str) -> str:
    """The address of a static file, which changes with its content so that it can be cached for good."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:12]}"
