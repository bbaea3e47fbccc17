"""A minimal browser: it keeps its cookie, and sends forms with their token."""

import re
from collections.abc import Mapping
from html import unescape
from typing import Any

import httpx

from server.desk.writers import COOKIE


class Visitor:
    """A writer with a shelf. token: of the forms in their pages."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        found = re.search(r'name="token" value="(\w+)"', client.get("/").text)
        assert found
        self.token = found[1]

    def send(self, fields: Mapping[str, str], accept: str = "text/html") -> httpx.Response:
        """Press a button of the desk. Return the response, before any redirect."""
        form = {"token": self.token} | dict(fields)
        return self.client.post("/desk", data=form, headers={"Accept": accept}, follow_redirects=False)

    def post(self, path: str, accept: str = "application/json", **fields: str) -> httpx.Response:
        """Send the desk's form to one of its other addresses."""
        form = {"token": self.token} | fields
        return self.client.post(f"/desk/{path}", data=form, headers={"Accept": accept})

    def keep(self, text: str, plot: str = "") -> dict[str, Any]:
        """Keep a text. Return the state of the plot."""
        answer = self.send({"do": "keep", "text": text, "plot": plot}, "application/json")
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        return state


def shelf_cookie(client: httpx.Client) -> tuple[str, str]:
    """Return the name and the value of the cookie of a client's shelf."""
    (cookie,) = [(name, value) for name, value in client.cookies.items() if name.startswith(f"{COOKIE}_")]
    return cookie


def typed(page: str) -> str:
    """Return the text in the text area of a page."""
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
    assert found
    return unescape(found[1])
