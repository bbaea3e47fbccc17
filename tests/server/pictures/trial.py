"""Pictures from the fake services in this folder."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from server.pictures import Picture, PictureError, Pictures, Progress
from server.pictures.automatic1111 import Automatic1111
from server.pictures.cap import HourlyCap
from server.pictures.openai import OpenAIImages
from server.pictures.stability import Stability
from server.settings import Settings
from tests.server.pictures.services import KEY, LOGIN, Services, services

T = TypeVar("T")
PLOT = "A fox (a young one) finds a letter. She follows it into the town."
KINDS = ("stability", "openai", "automatic1111")
PROVIDERS: dict[str, type[Stability] | type[OpenAIImages] | type[Automatic1111]] = {
    "stability": Stability,
    "openai": OpenAIImages,
    "automatic1111": Automatic1111,
}
CAP = 5


class Trial:
    """Pictures from one service. Pauses between attempts are recorded and take no time."""

    def __init__(self, kind: str, running: Services, **changes: Any) -> None:
        key, path = LOGIN if kind == "automatic1111" else KEY, "/v1" if kind == "openai" else ""
        named: Any = kind
        self.settings = replace(
            Settings(pictures=named, pictures_url=running.address + path, pictures_key=key, pictures_cap=CAP), **changes
        )
        self.now = 0.0
        self.cap = HourlyCap(self.settings.pictures_cap, lambda: self.now)
        self.provider = PROVIDERS[kind](self.settings, self.cap, patience=20)
        self.provider.pause = self._pause
        self.pauses: list[float] = []
        self.pictures = Pictures(self.settings, provider=self.provider)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def all(self, client: str = "a") -> list[Progress | Picture]:
        return [step async for step in self.pictures.illustrate(PLOT, "The fox", "Drama", client)]

    async def fails(self) -> PictureError:
        with pytest.raises(PictureError) as caught:
            await self.all()
        return caught.value

    @property
    def counted(self) -> int:
        """The number of requests in the cap."""
        count = 0
        try:
            while True:
                self.cap.take()
                count += 1
        except PictureError:
            return CAP - count


def trying(kind: str, work: Callable[[Trial, Services], Awaitable[T]], **changes: Any) -> T:
    """Run `work` with one kind of service."""

    async def run() -> T:
        async with services() as running:
            trial = Trial(kind, running, **changes)
            try:
                return await work(trial, running)
            finally:
                await trial.pictures.close()

    return asyncio.run(run())
