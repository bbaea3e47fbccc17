"""Other ways to say a part of a text, ranked by the text behind it."""

import asyncio
import re
from dataclasses import dataclass, replace

from server.desk.continuations import TYPED, at_once
from server.engine import AnyEngine, Request, Sampling, Stream
from server.errors import PlotifyError
from server.writing.brief import Brief
from server.writing.notes import names

CANDIDATES = 8
"""Ways to generate at once."""

WAYS = 3
"""Ways to return."""

ROUNDS = 3
"""Attempts at so many different ways that keep a name. Of one word there may be few."""

LONGEST = 100
"""Words of a selection, at most."""

NAMES = 3
"""Names of a selection to keep in mind, at most. The model learned to use so many."""

BEFORE, BEHIND = 600, 48
"""Characters before the selection, and tokens behind it, by which the ways are ranked."""

SENTENCE_END = re.compile(r"""[.!?…]["'”’)]*(?=\s|$)""")
"""The end of a sentence, quotation marks included."""

SPACE = re.compile(r"\s+")

MARKS = ".,;:!?…"
"""Punctuation at the end of a part of a sentence. A way to say it ends as the selection does."""


class SelectionError(PlotifyError):
    """Nothing is selected, or too much."""

    status = 422


@dataclass(frozen=True)
class Selection:
    """A part of a text. before, behind: the text around it."""

    before: str
    selected: str
    behind: str

    def cut(self, written: str) -> str:
        """Return the beginning of a continuation, about as long as the selection and with its spaces.

        It ends with a sentence if the selection does, or before the mark behind the selection if a sentence ends there.
        Empty if there is none.
        """
        core = self.selected.strip()
        written = written.translate(TYPED)
        if (not self.before or self.before[-1].isspace() or self.selected[0].isspace()) and written[:1].strip():
            written = SPACE.split(written, 1)[-1] if SPACE.search(written) else ""  # it goes on with the word before
        if "\n" not in core:
            written = " ".join(written.split())
        count = len(core.split())
        marked = SENTENCE_END.match(self.behind) and not self.selected[-1].isspace()
        if marked or any(found.end() == len(core) for found in SENTENCE_END.finditer(core)):
            ends = [found.end() for found in SENTENCE_END.finditer(written)]
            way = written[: min(ends, key=lambda end: abs(len(written[:end].split()) - count), default=0)]
            way = way.rstrip(MARKS) if marked else way
        else:
            ends = [found.end() for found in re.finditer(r"\S+", written)]
            way = written[: ends[:count][-1]].rstrip(MARKS) if ends else ""
            way += core[len(core.rstrip(MARKS)) :] if way else ""
        way = way.strip()
        start = len(self.selected) - len(self.selected.lstrip())
        return self.selected[:start] + way + self.selected[start + len(core) :] if way else ""


async def rewritten(engine: AnyEngine, brief: Brief, selection: Selection, client: str) -> list[str]:
    """Return up to `WAYS` different texts in place of a selection, the best first.

    The model continues the text before the selection several times, with the names in the selection as notes. The best
    candidate is the one after which the text behind the selection is likeliest. Candidates with one of the names come
    first.

    Args:
        brief: with the end of the text before the selection.

    Raises:
        SelectionError: nothing is selected, or too much.
        EngineBusy, EngineError: see `AnyEngine.submit`.
    """
    words = len(selection.selected.split())
    if not 1 <= words <= LONGEST:
        raise SelectionError(f"Select from 1 to {LONGEST} words; you have selected {words}.")
    kept = names(selection.selected)[:NAMES] if engine.bundle.manifest.prompt.has_notes else []
    named = replace(brief, notes=tuple(dict.fromkeys((*brief.notes, *kept))))
    ways: dict[str, str] = {_key(selection.selected): ""}
    for attempt in range(ROUNDS):
        for written in await _written(engine, named, selection, client, attempt):
            way = selection.cut(written)
            if key := _key(way):
                ways.setdefault(key, way)
        found = list(filter(None, ways.values()))
        lost = {way: bool(kept) and not any(name in way for name in kept) for way in found}
        if list(lost.values()).count(False) >= WAYS:
            break
    scores = {way: await _score(engine, brief, selection, way, client) for way in found}
    # Where the selection is a part of a sentence, the end of one is out of place.
    broken = {way: bool(SENTENCE_END.search(way)) and not SENTENCE_END.search(selection.selected) for way in found}
    return sorted(found, key=lambda way: (broken[way], lost[way], -scores[way]))[:WAYS]


async def _written(engine: AnyEngine, brief: Brief, selection: Selection, client: str, attempt: int) -> list[str]:
    """Return continuations of the text before the selection, a little longer than it."""
    size = len(engine.tokenizer.encode(selection.selected))
    count = at_once(engine, brief, CANDIDATES)
    seeded = replace(brief, seed=None if brief.seed is None else brief.seed + attempt * count, least=max(size // 2, 1))
    request = seeded.request(engine.bundle.manifest, 2 * size + 8, client)
    streams = engine.submit_several(request, count)
    return await asyncio.gather(*(_read(stream) for stream in streams))


async def _read(stream: Stream) -> str:
    return "".join([chunk.text async for chunk in stream])


async def _score(engine: AnyEngine, brief: Brief, selection: Selection, way: str, client: str) -> float:
    """Return the log probability of the beginning of the text behind the selection, after a way."""
    if not selection.behind.strip():
        return 0.0
    manifest, tokenizer = engine.bundle.manifest, engine.tokenizer
    before = selection.before[-BEFORE:] + way
    prompt = tokenizer.encode(manifest.prompt.fill(before.strip(), brief.genre, notes=brief.notes))
    joint = " " if before[-1:].isspace() or selection.behind[0].isspace() else ""
    behind = tokenizer.encode(joint + selection.behind[: 8 * BEHIND].strip())[:BEHIND]
    room = manifest.model.context - len(behind)
    request = Request([*prompt[-room:], *behind], Sampling(max_tokens=0), prompt_logprobs=0, client=client)
    chunks = [chunk async for chunk in engine.submit(request)]
    logprobs = [each.logprob for chunk in chunks for each in chunk.prompt_logprobs[-len(behind) :] if each]
    return sum(logprobs)


def _key(way: str) -> str:
    """Return a text in the form to compare: its letters and digits without case."""
    return " ".join(re.findall(r"\w+", way.casefold()))
