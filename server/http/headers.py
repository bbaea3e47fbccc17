"""Security headers of all responses.

OWASP recommends them: https://owasp.org/www-project-secure-headers/
"""

from collections.abc import Callable, Mapping

from litestar.datastructures import MutableScopeHeaders
from litestar.types import HTTPResponseStartEvent, HTTPScope

CONTENT = ("connect-src", "font-src", "form-action", "img-src", "script-src", "style-src")
"""Kinds of content that pages load from their own server, and send to it."""

FEATURES = ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
"""Features of browsers. The pages use none of them."""

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "; ".join(
        ["default-src 'none'", *(f"{kind} 'self'" for kind in CONTENT), "base-uri 'none'", "frame-ancestors 'none'"]
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in FEATURES),
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would send forms with "Origin: null"
    "X-Content-Type-Options": "nosniff",
}

NOT_INDEXED = {"X-Robots-Tag": "noindex"}
"""Headers of what lies behind a secret address: search engines must not publish it."""


HeadEdit = Callable[[HTTPResponseStartEvent, HTTPScope], None]
"""Changes the head of a response to a request.

Litestar has hooks for this, but they run for each piece of a streamed body as well.
"""


def security_headers(hsts: int) -> HeadEdit:
    """Return a function that adds the headers to the head of a response.

    hsts: seconds for which browsers must use https for this host; 0 leaves the header out. It is sent only over https
    (RFC 6797, 7.2). Uvicorn sets the scheme, from a trusted proxy's headers if there is one.
    """

    encoded = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

    def add(head: HTTPResponseStartEvent, scope: HTTPScope) -> None:
        headers = MutableScopeHeaders.from_message(head)
        headers.headers += encoded
        if head["status"] >= 400:
            headers.setdefault("Cache-Control", "no-store")  # caches may keep a 404 otherwise (RFC 9110, 15.1)
        if hsts and scope["scheme"] == "https":
            headers["Strict-Transport-Security"] = f"max-age={hsts}"

    return add
