"""The actions of a writer at the desk."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from server.desk.offers import COUNT, Offer, Offers
from server.desk.window import window
from server.desk.writers import Writers
from server.engine import AnyEngine
from server.shelf import NotOnShelf, Passage, Shelf, Volume
from server.writing.brief import ANY_GENRE, Brief
from server.writing.plot import begin

ROOM = 24
"""Tokens of the context for the genre, the length and the rest of the template."""


MIN_TOKENS = 8
"""Tokens of a continuation, at least: after a whole sentence, the model often ends the text at once."""


@dataclass(frozen=True)
class Desk:
    """The actions of writers. max_tokens: of a continuation."""

    engine: AnyEngine
    shelf: Shelf
    writers: Writers
    offers: Offers
    max_tokens: int

    async def keep(self, owner: str, plot_id: str, text: str, genre: str, page: str, closed: bool) -> Volume:
        """Keep the text: as a new plot if there is none yet, or if it was deleted. Raises ShelfError.

        page: the id of the page, which begins one plot at most; empty for no such bound. closed: see `Shelf.keep`.
        """
        genre = "" if genre == ANY_GENRE else genre
        with suppress(NotOnShelf):
            if plot_id:
                await self.shelf.keep(owner, plot_id, text, "writer", genre, closed)
                return await self.shelf.read(owner, plot_id)
        begun = self.writers.plot(owner, page) if page else None
        return await self.shelf.begin(owner, text, genre=genre, id=begun, closed=closed)

    async def take(self, owner: str, plot_id: str, text: str, number: int) -> Volume:
        """Add an offered passage to the text, even if the text was edited after the offer. Raises ShelfError."""
        await self.offers.stop(plot_id)
        await self.shelf.keep(owner, plot_id, text, "writer")
        chosen = await self.shelf.choose(owner, plot_id, number)
        words = chosen.path[-1].passage.text if chosen.path else ""
        if chosen.text == text + words:
            return chosen
        await self.shelf.keep(owner, plot_id, text, "writer")
        await self.shelf.keep(owner, plot_id, text + words, "model")
        return await self.shelf.read(owner, plot_id)

    async def offer(self, owner: str, volume: Volume, typed: dict[str, str], client: str) -> Offer:
        """Start an offer of continuations. Raises BriefError and EngineBusy."""
        await self.offers.stop(volume.id)
        brief = await self.brief(volume.text, typed)
        # The engine may have fewer rows than an offer needs. A genre needs two for each continuation.
        count = min(COUNT, self.engine.config.rows // (2 if brief.genre else 1))
        plots = begin(self.engine, brief, self.max_tokens, client, count)

        async def keep(texts: Sequence[str]) -> list[Passage]:
            return await self.shelf.offer(owner, volume.id, volume.current, texts)

        bare = not volume.text or volume.text[-1].isspace()
        offer = Offer(plots, keep, bare)
        self.offers.start(volume.id, offer)
        return offer

    async def brief(self, text: str, typed: dict[str, str]) -> Brief:
        """Return the brief for the end of a text, as much as the model can read. Raises BriefError."""
        manifest = self.engine.bundle.manifest
        brief = Brief.read(typed | {"prompt": ""}, manifest, blank=True)
        context = manifest.model.context
        # In a small context, half is for the writer's text; the continuation ends with the context.
        room = max(context - min(brief.length.most, self.max_tokens) - ROOM, context // 2)
        read = await asyncio.to_thread(window, text, self.engine.tokenizer, room)
        brief = Brief.read(typed | {"prompt": read}, manifest, blank=True)
        return replace(brief, least=MIN_TOKENS, words=len(text.split()))
