"""The actions of a writer at the desk."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from msgspec import structs

from server.desk.continuations import COUNT, at_once
from server.desk.offers import Offer, Offers
from server.desk.ranking import CANDIDATES
from server.desk.rewriting import Selection, rewritten
from server.desk.suggestions import Begun, Prefetches, Suggestions
from server.desk.utf16 import utf16_length
from server.desk.window import window
from server.desk.words import Word, likeliest_words
from server.desk.writers import Writers
from server.engine import AnyEngine
from server.shelf import NotOnShelf, Passage, Shelf, Volume
from server.writing.brief import ANY_GENRE, LENGTHS, Brief
from server.writing.fields import STEERING
from server.writing.plot import Plot, begin

ROOM = 24
"""Tokens of the context for the genre, the length and the rest of the template."""

NOTES_SHARE = 8
"""Notes take an eighth of the context at most."""

MIN_TOKENS = 8
"""Tokens of a continuation, at least: after a whole sentence, the model often ends the text at once."""

PROBABLY = 0.7
"""A suggestion lengthens the last word if the model gives that a higher probability."""

LONGEST_LENGTH = max(LENGTHS, key=lambda length: LENGTHS[length].most)
"""The length that leaves enough of the context for any selection."""

SAVED = tuple(name for name in STEERING if name not in ("genre", "seed"))
"""The fields that the shelf keeps with a plot, besides its text and genre."""


REMEMBERED = ("genre", "length", "wildness")
"""The fields with which the next plot begins as well. Notes and words to avoid belong to one plot."""


@dataclass(frozen=True)
class Desk:
    """The actions of writers. max_tokens: of a continuation.

    typed: the fields of the desk's form, as text.
    """

    engine: AnyEngine
    shelf: Shelf
    writers: Writers
    offers: Offers
    max_tokens: int

    async def keep(self, owner: str, typed: Mapping[str, str], closed: bool = False) -> Volume:
        """Keep the text and the steering: as a new plot if there is none yet, or if it was deleted.

        Raises ShelfError. The `page` begins one plot at most; if it is empty, any number. closed: see `Shelf.keep`.
        """
        plot_id, text, (genre, steering) = typed["plot"], typed["text"] + typed["rest"], self._kept(typed)
        known = _known(typed)
        with suppress(NotOnShelf):
            if plot_id:
                caret = len(typed["text"])
                undone = bool(typed["undone"])
                return await self.shelf.keep(
                    owner, plot_id, text, "writer", genre, closed, steering, caret, undone, known
                )
        begun = self.writers.plot(owner, typed["page"]) if typed["page"] else None
        return await self.shelf.begin(owner, text, genre=genre, id=begun, closed=closed, steering=steering, known=known)

    async def take(self, owner: str, typed: Mapping[str, str]) -> Volume:
        """Put the words in `taken` between `text` and `rest`. Raises ShelfError."""
        text, taken, rest = (typed[name] for name in ("text", "taken", "rest"))
        plot_id = typed["plot"]
        if plot_id:
            await self.offers.stop(plot_id)
            with suppress(NotOnShelf):
                return await self.shelf.take(owner, plot_id, text, taken, rest, *self._kept(typed), _known(typed))
        begun = await self.keep(owner, {**typed, "plot": ""})
        volume = await self.shelf.take(owner, begun.id, text, taken, rest)
        return structs.replace(volume, replaced=begun.replaced)

    async def choose(self, owner: str, typed: Mapping[str, str], number: int) -> Volume:
        """Add an offered passage to the text, even if the text was edited after the offer. Raises ShelfError."""
        plot_id, text, (genre, steering) = typed["plot"], typed["text"] + typed["rest"], self._kept(typed)
        await self.offers.stop(plot_id)
        await self.shelf.keep(owner, plot_id, text, "writer", genre, steering=steering)
        chosen = await self.shelf.choose(owner, plot_id, number)
        words = chosen.path[-1].text if chosen.path else ""
        if chosen.text == text + words:
            return chosen
        await self.shelf.keep(owner, plot_id, text, "writer")
        await self.shelf.keep(owner, plot_id, text + words, "model")
        return await self.shelf.read(owner, plot_id)

    async def offer(self, owner: str, volume: Volume, typed: Mapping[str, str], client: str) -> Offer:
        """Start an offer of continuations. Raises BriefError and EngineBusy."""
        await self.offers.stop(volume.id)
        brief = await self.brief(volume.text, typed)

        async def keep(texts: Sequence[str]) -> list[Passage]:
            return await self.shelf.offer(owner, volume.id, volume.current, texts)

        offer = Offer(self._begin(brief, client), keep, ends_bare(volume.text))
        self.offers.start(volume.id, offer)
        return offer

    async def suggest(self, typed: Mapping[str, str], client: str, ahead: bool = False) -> tuple[Begun, Suggestions]:
        """Start suggestions for the end of `text`. Nothing is kept. Raises BriefError and EngineBusy.

        ahead: nobody has asked for them yet.
        """
        text = typed["text"]
        brief = await self.brief(text, typed)
        if typed["rest"][:1].isspace():
            brief = replace(brief, min_lengthening=1.0)
        count = at_once(self.engine, brief, CANDIDATES)
        prefetches = Prefetches(self.engine) if ahead else None
        if prefetches:
            prefetches.check(count * brief.rows)
        plots = begin(self.engine, brief, self.max_tokens, client, count, scored=True)
        begun = Begun([plot.seed for plot in plots], utf16_length(brief.prompt), utf16_length(", ".join(brief.notes)))
        return begun, Suggestions(self.engine, brief, plots, ends_bare(text), typed["rest"], client, prefetches)

    async def words(self, typed: Mapping[str, str], client: str) -> list[Word]:
        """Return the likeliest words after `text`, and `selected`, which stands there.

        Raises BriefError and EngineBusy.
        """
        text, word = typed["text"], typed["selected"].strip()
        brief = await self.brief(text, typed)
        bare = ends_bare(text)
        # Two letters in a row would be one word.
        due = bare or typed["selected"][:1].isspace() or (text[-1:].isalnum() and word[:1].isalnum())
        request = brief.request(self.engine.bundle.manifest, self.max_tokens, client)
        standing = f" {word}" if word and due else word
        return await likeliest_words(self.engine, request, bare, standing, brief.avoid)

    async def rewrite(self, typed: Mapping[str, str], client: str) -> list[str]:
        """Return other texts in place of `selected`. Raises BriefError and EngineBusy."""
        selection = Selection(typed["text"], typed["selected"], typed["rest"])
        brief = await self.brief(typed["text"], {**typed, "length": LONGEST_LENGTH})
        return await rewritten(self.engine, brief, selection, client)

    async def brief(self, text: str, typed: Mapping[str, str]) -> Brief:
        """Return the brief for the end of a text, as much as the model can read. Raises BriefError."""
        manifest, tokenizer = self.engine.bundle.manifest, self.engine.tokenizer
        brief = Brief.read({**typed, "prompt": ""}, manifest, blank=True)
        context = manifest.model.context
        notes = brief.notes
        while notes and len(tokenizer.encode(", ".join(notes))) > context // NOTES_SHARE:
            notes = notes[:-1]
        taken = len(tokenizer.encode(", ".join(notes))) if notes else 0
        # In a small context, half is for the writer's text; the continuation ends with the context.
        room = max(context - min(brief.length.most, self.max_tokens) - ROOM - taken, context // 2 - taken)
        read = await asyncio.to_thread(window, text, tokenizer, room)
        brief = Brief.read({**typed, "prompt": read}, manifest, blank=True)
        lengthening = 1.0 if text[-1:].isspace() else PROBABLY
        return replace(brief, notes=notes, least=MIN_TOKENS, words=len(text.split()), min_lengthening=lengthening)

    def _kept(self, typed: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return the genre and the steering to keep. A page without a field for notes changes none."""
        genre = "" if typed["genre"] == ANY_GENRE else typed["genre"]
        names = [name for name in SAVED if name != "notes" or self.engine.bundle.manifest.prompt.has_notes]
        return genre, {name: typed[name] for name in names}

    def _begin(self, brief: Brief, client: str) -> list[Plot]:
        # The engine may have fewer rows than three continuations need.
        return begin(self.engine, brief, self.max_tokens, client, min(COUNT, self.engine.config.rows // brief.rows))


def _known(typed: Mapping[str, str]) -> list[str]:
    """Return the marks of the texts that the page knows. Earlier pages have spaces between them."""
    return typed["known"].replace(",", " ").split()


def ends_bare(text: str) -> bool:
    """Return True if no space is due after a text: it is empty or ends with white space."""
    return not text or text[-1].isspace()
