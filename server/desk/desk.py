"""What a writer does at the desk, whichever way the request came."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from server.desk.offers import COUNT, Offer, Offers
from server.desk.window import window
from server.desk.writers import Writers
from server.engine import AnyEngine
from server.shelf import Passage, Shelf, Volume
from server.writing.brief import ANY_GENRE, Brief
from server.writing.plot import begin

ROOM = 24
"""Tokens that are left for the genre, the length and what the template puts around a text."""


MIN_TOKENS = 8
"""Tokens of a continuation at least: after a whole sentence a model would often rather write nothing."""


@dataclass(frozen=True)
class Desk:
    """The engine that writes, the shelf that keeps, and what is on offer meanwhile. max_tokens: of a continuation."""

    engine: AnyEngine
    shelf: Shelf
    writers: Writers
    offers: Offers
    max_tokens: int

    async def keep(self, owner: str, plot_id: str, text: str, genre: str) -> Volume:
        """The text as it is now, kept: as a new plot where there is none yet. Raises what the shelf raises."""
        genre = "" if genre == ANY_GENRE else genre
        if not plot_id:
            return await self.shelf.begin(owner, text, genre=genre)
        await self.shelf.keep(owner, plot_id, text, "writer", genre)
        return await self.shelf.read(owner, plot_id)

    async def take(self, owner: str, plot_id: str, text: str, number: int) -> Volume:
        """Has an offered passage join the text, also where that was edited since it was offered."""
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
        """Begins to write what could come next. Raises BriefError and EngineBusy."""
        await self.offers.stop(volume.id)
        brief = await self.brief(volume.text, typed)
        # An engine may have fewer rows than an offer takes, twice as many with a genre.
        count = min(COUNT, self.engine.config.rows // (2 if brief.genre else 1))
        plots = begin(self.engine, brief, self.max_tokens, client, count)

        async def keep(texts: Sequence[str]) -> list[Passage]:
            return await self.shelf.offer(owner, volume.id, volume.current, texts)

        bare = not volume.text or volume.text[-1].isspace()
        offer = Offer(plots, keep, bare)
        self.offers.start(volume.id, offer)
        return offer

    async def brief(self, text: str, typed: dict[str, str]) -> Brief:
        """What is asked for, of the end of the text that the model can read. Raises BriefError."""
        manifest = self.engine.bundle.manifest
        brief = Brief.read(typed | {"prompt": ""}, manifest, blank=True)
        context = manifest.model.context
        # Of a model that reads little, half is for what the writer wrote; the continuation ends where the rest does.
        room = max(context - min(brief.length.most, self.max_tokens) - ROOM, context // 2)
        read = await asyncio.to_thread(window, text, self.engine.tokenizer, room)
        brief = Brief.read(typed | {"prompt": read}, manifest, blank=True)
        return replace(brief, least=MIN_TOKENS, words=len(text.split()))
