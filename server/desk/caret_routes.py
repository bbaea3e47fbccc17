"""The desk's script at the caret: suggestions, other words for one, and other ways to say a part.

`text` is before the caret, `rest` behind it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from litestar import Response, post
from litestar.di import NamedDependency

from server.desk.answers import EXPLAINED, explanation, refusal
from server.desk.visit import Visit, Visiting
from server.http.access import client_of, for_desk
from server.http.rate_limit import count_text
from server.http.sse import EventStream
from server.settings import Settings
from server.writing.brief import DEFAULTS

MAX_FORM = 1280 * 1024
"""Bytes of the posted form.

A character of the text takes up to four bytes, and a form writes each of them as three letters.
"""

FIELDS = DEFAULTS | dict.fromkeys(
    ("text", "rest", "plot", "page", "do", "choose", "taken", "undone", "known", "go", "ahead", "selected"), ""
)
"""The fields of the desk's form, and their values where they are absent."""

TEXTS = ("text", "rest", "taken", "selected")


async def desk_form(visit: Visit) -> dict[str, str]:
    """Return the fields of the desk's form, with one line feed at the end of each line of a text."""
    form = await visit.form(**FIELDS)
    return form | {name: form[name].replace("\r\n", "\n").replace("\r", "\n") for name in TEXTS}


@post("/desk/suggest", status_code=200, guards=[for_desk], request_max_body_size=MAX_FORM)
async def suggest(visit: Visiting, settings: NamedDependency[Settings]) -> Response[Any]:
    """Three continuations of `text`, as server-sent events: `begun`, each `piece`, and `settled`.

    Nothing is kept. With `ahead` nobody has asked for them yet. They don't count against the rate, and they make way
    for everybody.
    """
    form = await desk_form(visit)
    ahead = form["ahead"] == "1"
    try:
        visit.check(form)
        if not ahead:
            count_text(visit.request)
        begun, suggestions = await visit.desk.suggest(form, client_of(visit.request), ahead)
    except EXPLAINED as error:
        return refusal(error, *explanation(error))
    return EventStream(suggestions.frames(begun, settings.heartbeat), suggestions.stop)


@post("/desk/words", status_code=200, guards=[for_desk], request_max_body_size=MAX_FORM)
async def words(visit: Visiting) -> Response[Any]:
    """The likeliest words after `text`, and the probability of `selected`, which stands there now."""
    return await _others(visit, visit.desk.words)


@post("/desk/rewrite", status_code=200, guards=[for_desk], request_max_body_size=MAX_FORM)
async def rewrite(visit: Visiting) -> Response[Any]:
    """Other ways to say `selected`, which stands between `text` and `rest`."""

    async def ask(form: Mapping[str, str], client: str) -> list[dict[str, str]]:
        return [{"word": way} for way in await visit.desk.rewrite(form, client)]

    return await _others(visit, ask)


async def _others(visit: Visit, ask: Callable[[Mapping[str, str], str], Awaitable[object]]) -> Response[Any]:
    """Return what could stand in place of `selected`, as JSON.

    ask: takes the form and the client.
    """
    form = await desk_form(visit)
    try:
        visit.check(form)
        count_text(visit.request)
        return Response({"others": await ask(form, client_of(visit.request))})
    except EXPLAINED as error:
        return refusal(error, *explanation(error))


caret_routes = [suggest, words, rewrite]
