"""Identifies clients, and checks their permissions."""

import base64
import ipaddress
from functools import lru_cache
from typing import Any

from litestar import HttpMethod
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler

from server.http.keys import Key, Keys

Connection = ASGIConnection[Any, Any, Any, Any]

PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-real-ip")
"""Headers of a proxy: the connection is not the client's own."""


class Access:
    """Identifies clients and checks their permissions.

    keys: if none are configured, everyone may request completions, and clients on this machine count as operators.
    desk: the writers' pages are open to everyone.
    """

    def __init__(self, keys: Keys, desk: bool = True) -> None:
        self.keys = keys
        self.desk = desk

    def client_of(self, connection: Connection) -> str:
        """Return the name of a client: of its key, or its address. A whole IPv6 network (/64) is one client."""
        key = self._key_of(connection)
        if key is not None:
            return f"key {key.name}"
        address = _address_of(connection)
        if isinstance(address, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((address, 64), strict=False))
        return str(address)

    def check_completion(self, connection: Connection) -> None:
        """Raises NotAuthorizedException (401) and PermissionDeniedException (403)."""
        if self.keys.configured:
            self._check_key(connection, "completion")

    def check_operator(self, connection: Connection) -> None:
        """Raises NotAuthorizedException (401) and PermissionDeniedException (403)."""
        if self.keys.configured:
            self._check_key(connection, "operator")
        elif not _is_local(connection):
            raise PermissionDeniedException(
                "Without keys, only clients on the server's own machine have access. docs/access.md explains keys."
            )

    def check_desk(self, _: Connection) -> None:
        """Raises PermissionDeniedException (403)."""
        if not self.desk:
            raise PermissionDeniedException("This server is only for programs with a key.")

    def _check_key(self, connection: Connection, scope: str) -> None:
        key = self._key_of(connection, basic=scope == "operator")
        if key is None:
            given = "authorization" in connection.headers
            challenge = 'Bearer error="invalid_token"' if given else "Bearer"
            if scope == "operator":  # people open its pages in a browser, which asks for a name and a password
                challenge += ', Basic realm="Plotify"'
            raise NotAuthorizedException(
                "This key is not valid." if given else "This needs a key: send Authorization: Bearer KEY.",
                headers={"WWW-Authenticate": challenge},
            )
        if scope not in key.scopes:
            raise PermissionDeniedException(f"The key {key.name} lacks the scope {scope}.")

    def _key_of(self, connection: Connection, basic: bool = False) -> Key | None:
        """Return the key of a request. basic: also accept a browser's password.

        Use it only for routes that change nothing, because browsers send passwords with requests from any site.
        """
        kind, _, secret = connection.headers.get("authorization", "").partition(" ")
        if not self.keys.configured:
            return None
        if kind.lower() == "bearer":
            return self.keys.find(secret.strip())
        return self.keys.find(_password(secret)) if basic and kind.lower() == "basic" else None


async def for_completion(connection: Connection, _: BaseRouteHandler) -> None:
    """Guard a route for programs with the scope `completion`."""
    # A browser asks for the methods (OPTIONS) without the key.
    if connection.scope.get("method") != HttpMethod.OPTIONS:
        _access(connection).check_completion(connection)


async def for_operators(connection: Connection, _: BaseRouteHandler) -> None:
    """Guard a route for operators."""
    _access(connection).check_operator(connection)


async def for_desk(connection: Connection, _: BaseRouteHandler) -> None:
    """Guard a writers' page."""
    _access(connection).check_desk(connection)


async def for_all(_: Connection, __: BaseRouteHandler) -> None:
    """Mark a route as open to everyone."""


async def for_holders(_: Connection, __: BaseRouteHandler) -> None:
    """Mark a route as open to anyone with its address, because that has 128 random bits."""


def client_of(connection: Connection) -> str:
    """Return the name of a client, as `Access.client_of` does."""
    return _access(connection).client_of(connection)


def _access(connection: Connection) -> Access:
    access: Access = connection.app.state.access
    return access


def _password(credentials: str) -> str:
    """Return the password in a browser's credentials (RFC 7617); empty for anything else."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _is_local(connection: Connection) -> bool:
    """Return True for a client on this machine, unless it is a proxy for another."""
    if any(name in connection.headers for name in PROXY_HEADERS):
        return False
    address = _address_of(connection)
    return not isinstance(address, str) and address.is_loopback


def _address_of(connection: Connection) -> ipaddress.IPv4Address | ipaddress.IPv6Address | str:
    """Return a client's address. A server on `::` sees IPv4 clients as ::ffff:192.0.2.7: return theirs.

    For a Unix socket, return its name.
    """
    return _parsed(connection.client.host if connection.client else "")


@lru_cache(maxsize=4096)
def _parsed(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return getattr(address, "ipv4_mapped", None) or address
