"""The desk as a browser without JavaScript has it."""

import re
from html import unescape

import httpx

from tests.server.desk.visiting import Visitor


def form(client: httpx.Client, **typed: str) -> dict[str, str]:
    """The fields that the form of a blank desk sends; from then on the client has the cookie that goes with them."""
    return {"token": Visitor(client).token, **typed}


def go_on(client: httpx.Client, text: str, **typed: str) -> httpx.Response:
    """The answer to a blank desk with this text on it: what could come next."""
    return client.post("/desk", data=form(client, text=text, do="continue", **typed))


def offered(page: str) -> list[str]:
    """The texts that a page offers, three or none."""
    pieces = re.findall(r'<span slot="text-(\d)">(.*?)</span>', page, re.DOTALL)
    return ["".join(unescape(piece) for index, piece in pieces if index == wanted) for wanted in sorted(dict(pieces))]
