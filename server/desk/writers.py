"""Writers without accounts: a signed cookie names the shelf of each."""

import base64
import hmac
import re
import secrets
from collections.abc import Mapping
from hashlib import sha256

COOKIE = "plotify_shelf"
"""The beginning of the cookie's name."""

COOKIE_SECONDS = 400 * 24 * 3600
"""The longest time that browsers keep a cookie. Every page renews it."""

OWNER = re.compile(r"[\w-]{22}", re.ASCII)


class Writers:
    """Signs and checks cookies and form tokens. secret: the key; anyone with it can open every shelf.

    cookie_name: of this secret, because browsers send a host's cookies to all servers on it, whatever their ports.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.cookie_name = f"{COOKIE}_{self._sign('name', '')[:16]}"

    def new(self) -> str:
        """Return the id of a new shelf: 128 random bits."""
        return secrets.token_urlsafe(16)

    def cookie(self, owner: str) -> str:
        """Return the cookie for a shelf."""
        return f"{owner}.{self._sign('shelf', owner)}"

    def plot(self, owner: str, page: str) -> str:
        """Return the id of the plot that a blank page begins, however often its form is sent."""
        return base64.urlsafe_b64encode(bytes.fromhex(self._sign("plot", f"{owner}:{page}"))[:16]).decode().rstrip("=")

    def find(self, cookies: Mapping[str, str]) -> str | None:
        """Return the shelf of a browser's cookies, if any. An earlier version's cookie is `COOKIE`."""
        return self.read(cookies.get(self.cookie_name, "")) or self.read(cookies.get(COOKIE, ""))

    def read(self, cookie: str) -> str | None:
        """Return the shelf of a cookie; None if its signature is wrong."""
        owner, _, signature = cookie.partition(".")
        valid = OWNER.fullmatch(owner) and self._matches("shelf", owner, signature)
        return owner if valid else None

    def token(self, owner: str) -> str:
        """Return the token of this writer's forms. Forms of other sites cannot have it."""
        return self._sign("form", owner)

    def knows(self, owner: str, token: str) -> bool:
        """Return True if the token of a form is this writer's."""
        return self._matches("form", owner, token)

    def _matches(self, use: str, owner: str, signature: str) -> bool:
        return hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), self._sign(use, owner).encode())

    def _sign(self, use: str, owner: str) -> str:
        return hmac.new(self._secret, f"{use}:{owner}".encode(), sha256).hexdigest()
