"""The desk, used by a browser without JavaScript."""

import re
from html import unescape

import httpx

from tests.server.desk.visiting import Visitor


def form(client: httpx.Client, **typed: str) -> dict[str, str]:
    """Return the fields of a blank desk's form. From then on the client has the cookie for them."""
    return {"token": Visitor(client).token, **typed}


def go_on(client: httpx.Client, text: str, **typed: str) -> httpx.Response:
    """Send this text from a blank desk, and return the page with continuations."""
    return client.post("/desk", data=form(client, text=text, do="continue", **typed))


def offered(page: str) -> list[str]:
    """Return the three texts on a page, or none."""
    pieces = re.findall(r'<span slot="text-(\d)">(.*?)</span>', page, re.DOTALL)
    return ["".join(unescape(piece) for index, piece in pieces if index == wanted) for wanted in sorted(dict(pieces))]


def choices(page: str) -> list[str]:
    """Return the numbers of the texts on a page that can be taken."""
    return re.findall(r'name="choose" value="(\d+)"', page)


def plot_of(page: str) -> str:
    """Return the id of the plot that a page is of."""
    found = re.search(r'id="plot" value="([^"]*)"', page)
    assert found
    return found[1]
