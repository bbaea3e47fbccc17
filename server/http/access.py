"""Who is asking, and whether they may."""

import base64
import ipaddress
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler

from server.http.keys import Key, Keys

Connection = ASGIConnection[Any, Any, Any, Any]

PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-real-ip")
"""One of these says that whoever connected speaks for somebody else."""


class Access:
    """Decides by keys where there are any.

    keys: none configured let everybody ask for completions, and those on this machine see what operators see.
    desk: whether the writers' pages are open to those who have no key.
    """

    def __init__(self, keys: Keys, desk: bool = True) -> None:
        self.keys = keys
        self.desk = desk

    def client_of(self, connection: Connection) -> str:
        """Who is asking: the name of their key, or their address; of IPv6 the network, all of which is one client's."""
        key = self._key_of(connection)
        if key is not None:
            return f"key {key.name}"
        host = connection.client.host if connection.client else ""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:  # a socket of this machine
            return host
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, 64), strict=False))
        return host

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
                "Without keys, this is for those on the server's own machine. docs/access.md tells how to make a key."
            )

    def check_desk(self, _: Connection) -> None:
        """Raises PermissionDeniedException (403)."""
        if not self.desk:
            raise PermissionDeniedException("This server is for programs that have a key.")

    def _check_key(self, connection: Connection, scope: str) -> None:
        key = self._key_of(connection, basic=scope == "operator")
        if key is None:
            given = "authorization" in connection.headers
            challenge = 'Bearer error="invalid_token"' if given else "Bearer"
            if scope == "operator":  # whose page a person opens in a browser, which asks for a name and a password
                challenge += ', Basic realm="Plotify"'
            raise NotAuthorizedException(
                "This key is not valid, or no longer." if given else "A key is needed: send Authorization: Bearer KEY.",
                headers={"WWW-Authenticate": challenge},
            )
        if scope not in key.scopes:
            raise PermissionDeniedException(f"The key {key.name} is not for this; it needs the scope {scope}.")

    def _key_of(self, connection: Connection, basic: bool = False) -> Key | None:
        """basic: also as a browser sends it. Only for what changes nothing: it does so whichever site's page asks."""
        kind, _, secret = connection.headers.get("authorization", "").partition(" ")
        if not self.keys.configured:
            return None
        if kind.lower() == "bearer":
            return self.keys.find(secret.strip())
        return self.keys.find(_password(secret)) if basic and kind.lower() == "basic" else None


async def for_completion(connection: Connection, _: BaseRouteHandler) -> None:
    """Guards what has text written for programs."""
    _access(connection).check_completion(connection)


async def for_operators(connection: Connection, _: BaseRouteHandler) -> None:
    """Guards what operators see."""
    _access(connection).check_operator(connection)


async def for_desk(connection: Connection, _: BaseRouteHandler) -> None:
    """Guards the writers' pages."""
    _access(connection).check_desk(connection)


async def for_all(_: Connection, __: BaseRouteHandler) -> None:
    """Says of a route that everybody may ask for it."""


async def for_holders(_: Connection, __: BaseRouteHandler) -> None:
    """Says of a route that whoever knows its address may ask for it: it holds 128 random bits, told to its maker."""


def _access(connection: Connection) -> Access:
    access: Access = connection.app.state.access
    return access


def _password(credentials: str) -> str:
    """Of what a browser sends for name and password (RFC 7617); empty where it is neither."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _is_local(connection: Connection) -> bool:
    """Whether somebody on this machine asks for themselves, and not a proxy on it for somebody else."""
    if any(name in connection.headers for name in PROXY_HEADERS) or connection.client is None:
        return False
    try:
        return ipaddress.ip_address(connection.client.host).is_loopback
    except ValueError:
        return False
