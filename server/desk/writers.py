"""Writers without accounts: each has a shelf, and a signed cookie that says which."""

import hmac
import re
import secrets
from hashlib import sha256

COOKIE = "plotify_shelf"
COOKIE_SECONDS = 400 * 24 * 3600
"""As long as browsers keep a cookie at all, and counted anew with every page."""

OWNER = re.compile(r"[\w-]{22}", re.ASCII)


class Writers:
    """Signs and reads cookies, and the tokens of forms. secret: what with; whoever has it has all shelves."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def new(self) -> str:
        """The id of a shelf that nobody has yet: 128 random bits."""
        return secrets.token_urlsafe(16)

    def cookie(self, owner: str) -> str:
        """What the cookie says of whose shelf it is."""
        return f"{owner}.{self._sign('shelf', owner)}"

    def read(self, cookie: str) -> str | None:
        """Whose shelf it is by a cookie; None for one that was not made here."""
        owner, _, signature = cookie.partition(".")
        valid = OWNER.fullmatch(owner) and self._matches("shelf", owner, signature)
        return owner if valid else None

    def token(self, owner: str) -> str:
        """What a form of this writer's pages says, and a form of another site's cannot know."""
        return self._sign("form", owner)

    def knows(self, owner: str, token: str) -> bool:
        """Whether a form is of this writer's pages."""
        return self._matches("form", owner, token)

    def _matches(self, use: str, owner: str, signature: str) -> bool:
        return hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), self._sign(use, owner).encode())

    def _sign(self, use: str, owner: str) -> str:
        return hmac.new(self._secret, f"{use}:{owner}".encode(), sha256).hexdigest()
