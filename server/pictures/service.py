"""A picture service behind HTTP: asked with patience, believed in nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from server.pictures.cap import HourlyCap
from server.pictures.picture import Fault, PictureError
from server.pictures.responses import AWAY, TOO_LONG, Passing, ServiceResponse, meaning, unreadable
from server.settings import SettingsError

MAX_BYTES = 24 * 1024 * 1024
"""Bytes of an answer: a PNG of four megapixels, in base64, has about half."""

ATTEMPTS = 3
MAX_PAUSE = 20
"""Seconds between attempts; a service that asks for more is not asked again, and the writer is told."""

UNUSABLE = (httpx.HTTPError, httpx.InvalidURL, ValueError, OverflowError, ExceptionGroup)
"""What is raised where nothing can be sent or read; the last three by what looks up odd names and ports."""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Service:
    """Sends requests to one service and reads what comes back.

    address: where its paths begin. key: the secret, sent as a Bearer token, or, in the form user:password, as `basic`.
    patience: seconds that a request may take with all attempts. pause: what waits between them.

    The key is in the headers of the connection and nowhere else; no message and no log line holds it.
    Redirects are not followed, so that it goes to no other host. Raises SettingsError for an address that is none.
    """

    def __init__(self, address: str, key: str, cap: HourlyCap, *, patience: float, basic: bool = False) -> None:
        self.patience = patience
        self.pause: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._cap = cap
        try:
            base = httpx.URL(address)
        except httpx.InvalidURL as error:
            raise SettingsError(f"PLOTIFY_PICTURES_URL is {address!r}, which is no address: {error}") from error
        self._client = httpx.AsyncClient(
            base_url=base,
            auth=httpx.BasicAuth(*key.split(":", 1)) if key and basic else None,
            # A compressed answer could be any size once it is unpacked.
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key and not basic else {}),
            timeout=httpx.Timeout(patience, connect=10),
        )
        self._bare = httpx.AsyncClient(headers={"Accept-Encoding": "identity"}, timeout=httpx.Timeout(30, connect=10))

    async def ask(self, path: str, **body: Any) -> ServiceResponse:
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

    async def tell(self, method: str, path: str) -> ServiceResponse | None:
        """A small request beside the one that is paid for; None where it fails, which harms nobody."""
        with suppress(*UNUSABLE, PictureError):
            async with self._client.stream(method, path, timeout=5) as response:
                answer = ServiceResponse(response.headers, await _read(response))
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
        except (*UNUSABLE, TimeoutError) as error:
            raise unreadable(type(error).__name__) from None

    async def close(self) -> None:
        """Lets go of connections."""
        await self._client.aclose()
        await self._bare.aclose()

    async def _attempt(self, path: str, body: dict[str, Any]) -> ServiceResponse:
        taken = self._cap.take()
        try:
            async with self._client.stream("POST", path, **body) as response:
                answer = ServiceResponse(response.headers, await _read(response))
        except NEVER_SENT as error:
            self._cap.give_back(taken)
            raise Passing(Fault.BROKEN, AWAY, type(error).__name__) from None
        except httpx.TimeoutException:
            raise PictureError(Fault.BROKEN, TOO_LONG, "no answer in time") from None
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise Passing(Fault.BROKEN, AWAY, type(error).__name__) from None
        except UNUSABLE as error:
            raise PictureError(Fault.BROKEN, AWAY, type(error).__name__) from None
        if response.is_success:
            return answer
        refusal = meaning(response, answer.content)
        # Moderation may come after the drawing, and a server's fault too; everything else is told before.
        if refusal.fault is not Fault.REFUSED and response.status_code < 500:
            self._cap.give_back(taken)
        raise refusal


def _worth_another(error: BaseException) -> bool:
    return isinstance(error, Passing) and (error.retry_after or 0) <= MAX_PAUSE


def _until_next(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Passing) and error.retry_after is not None:
        return float(error.retry_after)
    return wait_exponential_jitter(initial=1, max=MAX_PAUSE)(state)


async def _read(response: httpx.Response) -> bytes:
    """The body, as long as it is not packed and not longer than any picture."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise unreadable("a compressed answer, which was not asked for")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_BYTES:
            raise unreadable(f"an answer of more than {MAX_BYTES} bytes")
    return bytes(content)
