"""Headers that tell browsers what not to do with an answer. OWASP's recommendations: https://owasp.org/www-project-secure-headers/"""

from collections.abc import Mapping

from litestar.datastructures import MutableScopeHeaders
from litestar.types import BeforeMessageSendHookHandler, Message, Scope

CONTENT = ("connect-src", "form-action", "img-src", "script-src", "style-src")
"""What pages load and send, all of it from and to their own server."""

FEATURES = ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
"""Of browsers; pages need none of them."""

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            *(f"{kind} 'self'" for kind in CONTENT),
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in FEATURES),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def security_headers(hsts: int) -> BeforeMessageSendHookHandler:
    """A hook that adds them to each answer; over https also for how many seconds the host is to be reached so, if any.

    Whether a request came over https is the scheme's to say, in which uvicorn has a trusted proxy's word. Over http the
    header must not be sent (RFC 6797, 7.2).
    """

    async def add(message: Message, scope: Scope) -> None:
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders.from_message(message)
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
            if hsts and scope["scheme"] == "https":
                headers["Strict-Transport-Security"] = f"max-age={hsts}"

    return add
