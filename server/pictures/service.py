"""A picture service behind HTTP: asked with patience, believed in nothing."""

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from server.pictures.cap import HourlyCap
from server.pictures.picture import Fault, PictureError

T = TypeVar("T")

LARGEST = 24 * 1024 * 1024
"""Bytes of an answer: a PNG of four megapixels, in base64, has about half."""

ATTEMPTS = 3
LONGEST_PAUSE = 20
"""Seconds between attempts; a service that asks for more is not asked again, and the writer is told."""

REFUSES_CONTENT = re.compile("moderation|content_?policy|content_?filter|safety", re.IGNORECASE)
NEEDS_MONEY = re.compile("quota|billing|payment|credit", re.IGNORECASE)
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, repr=False)
class Answer:
    """What a service answered, all of it; it may repeat the key or what was typed, so it is not shown."""

    headers: Mapping[str, str]
    content: bytes

    def read(self, kind: type[T]) -> T:
        """The JSON that it is. Raises PictureError (BROKEN) for anything else."""
        try:
            return msgspec.json.decode(self.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise unreadable(f"JSON that is none: {type(error).__name__}") from None


class Passing(PictureError):
    """What may have passed by when it is tried again."""


class Service:
    """Sends requests to one service and reads what comes back.

    address: where its paths begin. key: the secret, sent as a Bearer token, or, in
    the form user:password, as `basic`. patience: seconds that a request may take with all attempts. pause: what waits
    between them.

    The key is in the headers of the connection and nowhere else: no message, log line or local variable holds it.
    Redirects are not followed, so that it goes to no other host.
    """

    def __init__(
        self,
        address: str,
        key: str,
        cap: HourlyCap,
        *,
        patience: float,
        basic: bool = False,
    ) -> None:
        self.patience = patience
        self.pause: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._cap = cap
        self._client = httpx.AsyncClient(
            base_url=address,
            auth=httpx.BasicAuth(*key.split(":", 1)) if key and basic else None,
            # A compressed answer could be any size once it is unpacked.
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key and not basic else {}),
            timeout=httpx.Timeout(patience, connect=10),
        )
        self._bare = httpx.AsyncClient(headers={"Accept-Encoding": "identity"}, timeout=httpx.Timeout(30, connect=10))

    async def ask(self, path: str, **body: Any) -> Answer:
        """Asks for a picture: body as httpx takes it. Each attempt that may have been billed counts for the cap.

        Tried again are only connections that fail, 429 and 5xx. Raises PictureError.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception(_worth_another),
            stop=stop_after_attempt(ATTEMPTS),
            wait=_until_next,
            sleep=self.pause,
            reraise=True,
        )
        try:
            async with asyncio.timeout(self.patience):
                return await retrying(self._attempt, path, body)
        except TimeoutError:
            raise PictureError(Fault.BROKEN, TOO_LONG, "no answer in time") from None

    async def tell(self, method: str, path: str) -> Answer | None:
        """A small request beside the one that is paid for; None where it fails, which harms nobody."""
        with suppress(httpx.HTTPError, PictureError):
            async with self._client.stream(method, path, timeout=5) as response:
                answer = Answer(response.headers, await _read(response))
                return answer if response.is_success else None
        return None

    async def fetch(self, address: str) -> bytes:
        """A picture that the service keeps elsewhere; the key is not sent there. Raises PictureError.

        A service far away cannot point into the network of this server, where little speaks https.
        """
        if self._client.base_url.scheme == "https" and not address.startswith("https://"):
            raise unreadable("a picture that is not kept behind https")
        try:
            async with asyncio.timeout(self.patience), self._bare.stream("GET", address) as response:
                if not response.is_success:
                    raise unreadable(f"{response.status_code} where the picture should be")
                return await _read(response)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise unreadable(type(error).__name__) from None

    async def close(self) -> None:
        """Lets go of connections."""
        await self._client.aclose()
        await self._bare.aclose()

    async def _attempt(self, path: str, body: dict[str, Any]) -> Answer:
        taken = self._cap.take()
        try:
            async with self._client.stream("POST", path, **body) as response:
                answer = Answer(response.headers, await _read(response))
        except NEVER_SENT as error:
            self._cap.give_back(taken)
            raise Passing(Fault.BROKEN, AWAY, type(error).__name__) from None
        except httpx.TimeoutException:
            raise PictureError(Fault.BROKEN, TOO_LONG, "no answer in time") from None
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise Passing(Fault.BROKEN, AWAY, type(error).__name__) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PictureError(Fault.BROKEN, AWAY, type(error).__name__) from None
        if response.is_success:
            return answer
        refusal = meaning(response, answer.content)
        # Moderation may come after the drawing, and a server's fault too; everything else is told before.
        if refusal.fault is not Fault.REFUSED and response.status_code < 500:
            self._cap.give_back(taken)
        raise refusal


AWAY = "The picture service cannot be reached just now. Try again in a while."
BUSY = "The picture service has too much to do just now. Try again in a while."
NOT_CONFIGURED = "The picture service does not let this server in. Tell whoever runs it to look at the log."
REFUSED = "The picture service does not draw what this part of the plot tells. Change its last sentences, or go on."
TOO_LONG = "The picture took too long. Try again in a while."
UNREADABLE = (
    "The picture service and this server do not understand each other. Tell whoever runs it to look at the log."
)


def unreadable(why: str) -> PictureError:
    """The error for an answer that is not what the service's documentation says; why: for the log."""
    return PictureError(Fault.BROKEN, UNREADABLE, why)


def refused(why: str) -> PictureError:
    """The error for content that the service does not draw; why: for the log."""
    return PictureError(Fault.REFUSED, REFUSED, why)


def decoded(base64_text: str) -> bytes:
    """The bytes of a picture that was sent as text. Raises PictureError (BROKEN) where they are none."""
    try:
        return base64.b64decode(base64_text, validate=True)
    except ValueError:
        raise unreadable("base64 that is none") from None


def meaning(response: httpx.Response, content: bytes) -> PictureError:
    """What an answer that is no success says, by its status and by the word for programs in its body."""
    status, code = response.status_code, _code(content)
    why = f"{status} {code}".strip()
    if status == 451 or (400 <= status < 500 and REFUSES_CONTENT.search(code)):
        return refused(why)
    if status in (401, 402, 403, 404, 405) or status < 400 or (status < 500 and NEEDS_MONEY.search(code)):
        return PictureError(Fault.NOT_CONFIGURED, NOT_CONFIGURED, why)
    if status == 429:
        return Passing(Fault.BUSY, BUSY, why, _retry_after(response))
    if status >= 500:
        return Passing(Fault.BROKEN, AWAY, why, _retry_after(response))
    return unreadable(why)


def _worth_another(error: BaseException) -> bool:
    return isinstance(error, Passing) and (error.retry_after or 0) <= LONGEST_PAUSE


def _until_next(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Passing) and error.retry_after is not None:
        return float(error.retry_after)
    return wait_exponential_jitter(initial=1, max=LONGEST_PAUSE)(state)


async def _read(response: httpx.Response) -> bytes:
    """The body, as long as it is not packed and not longer than any picture."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise unreadable("a compressed answer, which was not asked for")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > LARGEST:
            raise unreadable(f"an answer of more than {LARGEST} bytes")
    return bytes(content)


def _code(content: bytes) -> str:
    """The word for programs in an error's body, of the forms that services have; nothing where there is none."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = msgspec.json.decode(content)
        if isinstance(body, dict):
            error = body.get("error")
            known = [error.get("code"), error.get("type")] if isinstance(error, dict) else [body.get("name"), error]
            return next((word for word in known if isinstance(word, str) and re.fullmatch("[A-Za-z_]{3,40}", word)), "")
    return ""


def _retry_after(response: httpx.Response) -> int | None:
    """Seconds, from either form of the header; None where it has none that can be read."""
    value = response.headers.get("Retry-After", "")
    if re.fullmatch("[0-9]{1,6}", value):
        return int(value)
    with suppress(ValueError, TypeError):
        return max(0, round((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()))
    return None
