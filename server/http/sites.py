"""Refuses requests that pages of other sites make a browser send, and names used for DNS rebinding."""

import ipaddress
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from litestar import Request
from litestar.config.cors import CORSConfig
from litestar.exceptions import ClientException, PermissionDeniedException

SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""

UNREGISTERED = (".home.arpa", ".internal", ".local", ".localhost")
"""Ends of names that nobody can register. Nobody can register a name without a dot either."""


def cors(origins: Sequence[str]) -> CORSConfig | None:
    """Return Litestar's CORS for pages of these origins; None without any. Browsers send them no cookies."""
    if not origins:
        return None
    exposed = ["Location", "Retry-After", "X-Request-Id"]
    return CORSConfig(allow_origins=list(origins), allow_methods=["DELETE", "GET", "POST"], expose_headers=exposed)


class Sites:
    """The names of this server, and other sites with pages that may use it.

    hosts: names, `*.` before one for all below it, `*` for any. open: answer to any name if `hosts` is empty. cors: the
    other sites.
    """

    def __init__(self, hosts: Sequence[str], open: bool, cors: CORSConfig | None) -> None:
        self._hosts = ["*"] if open and not hosts else [host.lower() for host in hosts]
        self._cors = cors

    def check(self, request: Request[Any, Any, Any]) -> None:
        """Raises ClientException (400) for a malformed Host header, PermissionDeniedException (403)."""
        try:
            name = _name(f"//{request.headers.get('host', '')}")
        except ValueError as error:
            raise ClientException(f"The Host header is not a host and port: {error}.") from error
        if not self._answers_to(name):
            raise PermissionDeniedException(
                f"This server does not answer to the name {name:.80}. To allow it, add it to PLOTIFY_HOSTS."
            )
        if request.method not in SAFE and self._is_other_site(request, name):
            raise PermissionDeniedException(
                "A page of another site sent this request. To allow that, add the page's origin to PLOTIFY_ORIGINS."
            )

    def _answers_to(self, name: str) -> bool:
        # An address cannot be rebound. Without a Host header, the client is no browser.
        if "." not in name or name.endswith(UNREGISTERED) or _is_address(name):
            return True
        return self._is_named(name)

    def _is_named(self, name: str) -> bool:
        return any(host in ("*", name) or (host.startswith("*.") and name.endswith(host[1:])) for host in self._hosts)

    def _is_other_site(self, request: Request[Any, Any, Any], name: str) -> bool:
        """Return True if a browser says that the page is another site's. Other clients send neither header."""
        origin = request.headers.get("origin")
        if origin and self._cors and self._cors.is_origin_allowed(origin):
            return False
        if site := request.headers.get("sec-fetch-site"):
            return site not in ("same-origin", "none")
        if origin is None:
            return False
        # Browsers leave out Sec-Fetch-Site over http. A proxy may have removed the port from the Host header.
        try:
            found = _name(origin)
        except ValueError:
            return True
        return found != name and not (found and "*" not in self._hosts and self._is_named(found))


def _name(address: str) -> str:
    """Return the host's name in an address, without the port. Raises ValueError."""
    parts = urlsplit(address)
    _ = parts.port  # raises ValueError for a bad one
    return (parts.hostname or "").rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
