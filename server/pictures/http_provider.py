"""A picture service behind HTTP. Requests have retries and limits, and responses are not trusted."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from server.pictures.cap import HourlyCap
from server.pictures.picture import Fault, PictureError
from server.pictures.responses import AWAY, TOO_LONG, ServiceResponse, Temporary, meaning, unreadable
from server.settings import SettingsError

MAX_BYTES = 24 * 1024 * 1024
"""Bytes of a response. A PNG of four megapixels in base64 has about half as many."""

ATTEMPTS = 3
MAX_PAUSE = 20
"""Seconds between attempts. If a service asks for more, there is no retry, and the writer is told."""

UNUSABLE = (httpx.HTTPError, httpx.InvalidURL, ValueError, OverflowError, ExceptionGroup)
"""The errors of failed requests and responses; the last three come from odd host names and ports."""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class HttpProvider:
    """Sends requests to one service and reads the responses. Each provider behind HTTP is a subclass.

    address: the beginning of its URLs. key: the secret, sent as a Bearer token, or as basic authentication in the form
    user:password. patience: seconds for a request with all attempts. pause: waits between them.

    The key is in the headers of the connection and nowhere else. No message and no log line holds it. Redirects are
    not followed, so it goes to no other host. Raises SettingsError for an invalid address.
    """

    at_once = 4

    def __init__(self, address: str, key: str, cap: HourlyCap, *, patience: float, basic: bool = False) -> None:
        self.patience = patience
        self.pause: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._cap = cap
        try:
            base = httpx.URL(address)
        except httpx.InvalidURL as error:
            raise SettingsError(f"PLOTIFY_PICTURES_URL is {address!r}, which is not an address: {error}") from error
        self._client = httpx.AsyncClient(
            base_url=base,
            auth=httpx.BasicAuth(*key.split(":", 1)) if key and basic else None,
            # A compressed response could unpack to any size.
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key and not basic else {}),
            timeout=httpx.Timeout(patience, connect=10),
        )
        self._bare = httpx.AsyncClient(headers={"Accept-Encoding": "identity"}, timeout=httpx.Timeout(30, connect=10))

    async def ask(self, path: str, **body: Any) -> ServiceResponse:
        """Request a picture. body: httpx's arguments for it.

        Each attempt counts for the cap, unless it is certainly not billed. Only failed connections, 429 and 5xx are
        retried. Raises PictureError.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception(_worth_retrying),
            stop=stop_after_attempt(ATTEMPTS),
            wait=_until_next,
            sleep=self.pause,
            reraise=True,
        )
        try:
            async with asyncio.timeout(self.patience):
                return await retrying(self._attempt, path, body)
        except TimeoutError:
            raise PictureError(Fault.BROKEN, TOO_LONG, "no response in time") from None

    async def tell(self, method: str, path: str) -> ServiceResponse | None:
        """Send a small free request. Return the response, or None if it fails."""
        with suppress(*UNUSABLE, PictureError):
            async with self._client.stream(method, path, timeout=5) as response:
                content = await _read(response)
                return ServiceResponse(response.headers, content) if response.is_success else None
        return None

    async def fetch(self, address: str) -> bytes:
        """Fetch a picture from another address, without the key. Raises PictureError.

        A service behind https can name only https addresses, so it cannot reach into the network of this server.
        """
        if self._client.base_url.scheme == "https" and not address.startswith("https://"):
            raise unreadable("a picture at an address without https")
        try:
            async with asyncio.timeout(self.patience), self._bare.stream("GET", address) as response:
                if not response.is_success:
                    raise unreadable(f"{response.status_code} for the address of the picture")
                return await _read(response)
        except (*UNUSABLE, TimeoutError) as error:
            raise unreadable(type(error).__name__) from None

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()
        await self._bare.aclose()

    async def _attempt(self, path: str, body: dict[str, Any]) -> ServiceResponse:
        taken = self._cap.take()
        try:
            async with self._client.stream("POST", path, **body) as response:
                answer = ServiceResponse(response.headers, await _read(response))
        except NEVER_SENT as error:
            self._cap.give_back(taken)
            raise Temporary(Fault.BROKEN, AWAY, type(error).__name__) from None
        except httpx.TimeoutException:
            raise PictureError(Fault.BROKEN, TOO_LONG, "no response in time") from None
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise Temporary(Fault.BROKEN, AWAY, type(error).__name__) from None
        except UNUSABLE as error:
            raise PictureError(Fault.BROKEN, AWAY, type(error).__name__) from None
        if response.is_success:
            return answer
        refusal = meaning(response, answer.content)
        # Moderation and server errors may come after the drawing; all other refusals come before.
        if refusal.fault is not Fault.REFUSED and response.status_code < 500:
            self._cap.give_back(taken)
        raise refusal


def _worth_retrying(error: BaseException) -> bool:
    return isinstance(error, Temporary) and (error.retry_after or 0) <= MAX_PAUSE


def _until_next(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Temporary) and error.retry_after is not None:
        return float(error.retry_after)
    return wait_exponential_jitter(initial=1, max=MAX_PAUSE)(state)


async def _read(response: httpx.Response) -> bytes:
    """Read the body. Raises PictureError if it is compressed, or larger than any picture."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise unreadable("a compressed response, which was not requested")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_BYTES:
            raise unreadable(f"a response of more than {MAX_BYTES} bytes")
    return bytes(content)
