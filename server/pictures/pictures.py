"""Pictures for plots, by whom the settings name."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from server.pictures.cap import HourlyCap
from server.pictures.cover import cover
from server.pictures.picture import Fault, Picture, PictureError, Progress, Provider, media_type_of
from server.pictures.prompt import picture_prompt
from server.settings import Settings

logger = logging.getLogger(__name__)

MAX_ACTIVE = 32
"""Pictures that are being made or waited for; more are turned away."""


class Pictures:
    """Makes pictures, one at a time for each client, and no more in an hour than the settings allow.

    Belongs to one event loop. clock: seconds that the hour is counted by. provider: instead of the settings'.
    Raises SettingsError where the settings name a model or an address that cannot be used. Close it.
    """

    def __init__(
        self, settings: Settings, clock: Callable[[], float] = time.monotonic, provider: Provider | None = None
    ) -> None:
        self._cap = HourlyCap(settings.pictures_cap, clock)
        self._provider = provider or _provider(settings, self._cap)
        self._places = asyncio.Semaphore(self._provider.at_once if self._provider else 1)
        self._clients: set[str] = set()

    @property
    def real(self) -> bool:
        """Whether there is a service; without one, covers are drawn."""
        return self._provider is not None

    async def illustrate(
        self, plot_text: str, title: str, genre: str | None, client: str
    ) -> AsyncGenerator[Progress | Picture, None]:
        """How far it is, again and again, then the picture; a reader who leaves ends the work.

        plot_text: all of the plot, of whose end picture_prompt makes what is sent. client: who asks; each has one
        picture under way. Raises PictureError.
        """
        if self._provider is None:
            yield cover(title, genre)
            return
        if client in self._clients:
            raise PictureError(
                Fault.BUSY, "A picture of yours is on its way; wait for it, then ask for the next.", "one each"
            )
        if len(self._clients) >= MAX_ACTIVE:
            raise PictureError(
                Fault.BUSY, "Many pictures are being drawn just now. Ask again in a minute.", "too many", 60
            )
        self._cap.check()
        prompt = picture_prompt(plot_text, title, genre)
        self._clients.add(client)
        try:
            if self._places.locked():
                yield Progress("Waiting for those before")
            async with self._places, aclosing(self._provider.draw(prompt)) as steps:
                async for step in steps:
                    if isinstance(step, Progress):
                        yield step
                    else:
                        yield Picture(media_type_of(step), step, prompt, self._provider.maker)
        except PictureError as error:
            logger.warning("No picture by %s: %s", self._provider.maker, error.why)
            raise
        finally:
            self._clients.discard(client)

    async def close(self) -> None:
        """Lets go of connections."""
        if self._provider:
            await self._provider.close()


def _provider(settings: Settings, cap: HourlyCap) -> Provider | None:
    """Imports only what is asked for: the local model brings torch."""
    match settings.pictures:
        case "stability":
            from server.pictures.stability import Stability

            return Stability(settings, cap)
        case "openai":
            from server.pictures.openai import OpenAIImages

            return OpenAIImages(settings, cap)
        case "automatic1111":
            from server.pictures.automatic1111 import Automatic1111

            return Automatic1111(settings, cap)
        case "local":
            from server.pictures.local import Local

            return Local(settings, cap)
    return None
