"""Pictures for plots, from the provider in the settings."""

import asyncio
import logging
import pkgutil
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from server.pictures.cap import HourlyCap
from server.pictures.cover import cover
from server.pictures.picture import Fault, Picture, PictureError, Progress, media_type_of
from server.pictures.prompt import picture_prompt
from server.pictures.providers import PROVIDERS, Provider
from server.settings import Settings

logger = logging.getLogger(__name__)

MAX_ACTIVE = 32
"""Pictures in progress or queued. More are refused."""


class Pictures:
    """Makes pictures, one at a time for each client, and no more in an hour than the settings allow.

    Belongs to one event loop. clock: seconds for the hourly cap. provider: takes the place of the one in the settings.
    Raises SettingsError if the settings name an unusable model or address. Close it.
    """

    def __init__(
        self, settings: Settings, clock: Callable[[], float] = time.monotonic, provider: Provider | None = None
    ) -> None:
        self._cap = HourlyCap(settings.pictures_cap, clock)
        self._provider = provider
        if provider is None and settings.pictures != "none":
            self._provider = pkgutil.resolve_name(PROVIDERS[settings.pictures])(settings, self._cap)
        self._places = asyncio.Semaphore(self._provider.at_once if self._provider else 1)
        self._clients: set[str] = set()

    @property
    def real(self) -> bool:
        """True if there is a provider; without one, covers are drawn."""
        return self._provider is not None

    async def illustrate(
        self, plot_text: str, title: str, genre: str | None, client: str
    ) -> AsyncGenerator[Progress | Picture, None]:
        """Yield progress, then the picture. Closing it ends the work.

        plot_text: the whole plot; picture_prompt sends its end. client: each has one picture in progress at a time.
        Raises PictureError.
        """
        if self._provider is None:
            yield cover(title, genre)
            return
        if client in self._clients:
            raise PictureError(
                Fault.BUSY, "You already have a picture in progress. Wait for it, then ask for the next.", "one each"
            )
        if len(self._clients) >= MAX_ACTIVE:
            raise PictureError(
                Fault.BUSY, "Many pictures are in progress right now. Ask again in a minute.", "too many", 60
            )
        self._cap.check()
        self._clients.add(client)
        try:
            if self._places.locked():
                yield Progress("Waiting for earlier pictures")
            async with self._places:
                prompt = await asyncio.to_thread(picture_prompt, plot_text, title, genre)
                async with aclosing(self._provider.draw(prompt)) as steps:
                    async for step in steps:
                        if isinstance(step, Progress):
                            yield step
                        else:
                            yield Picture(media_type_of(step), step, prompt, self._provider.maker)
        except PictureError as error:
            logger.warning("No picture from %s: %s", self._provider.maker, error.why)
            raise
        finally:
            self._clients.discard(client)

    async def close(self) -> None:
        """Close connections."""
        if self._provider:
            await self._provider.close()
