"""Pictures from your own Stable Diffusion web UI: AUTOMATIC1111's, or Forge, started with --api."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec

from server.pictures.cap import HourlyCap
from server.pictures.http_provider import HttpProvider
from server.pictures.picture import PictureError, Progress
from server.pictures.responses import decoded, unreadable
from server.settings import Settings

ADDRESS = "http://127.0.0.1:7860"
LOOK = 1.0
"""Seconds between requests for the progress."""


class Txt2Img(msgspec.Struct):
    """The answer of /sdapi/v1/txt2img: pictures in base64."""

    images: list[str]


class WebUIProgress(msgspec.Struct):
    """The answer of /sdapi/v1/progress, from 0 to 1."""

    progress: float


class Automatic1111(HttpProvider):
    """A web UI. It draws one picture at a time, so `progress` and `interrupt` apply to ours.

    The settings may name a checkpoint; otherwise the loaded one draws. A key is user:password, as in --api-auth.
    """

    at_once = 1

    def __init__(self, settings: Settings, cap: HourlyCap, patience: float = 600, look: float = LOOK) -> None:
        super().__init__(settings.pictures_url or ADDRESS, settings.pictures_key, cap, patience=patience, basic=True)
        self.maker = settings.pictures_model or "Stable Diffusion"
        self._look = look
        checkpoint = {"sd_model_checkpoint": settings.pictures_model}
        self._options = {"override_settings": checkpoint} if settings.pictures_model else {}

    async def draw(self, prompt: str) -> AsyncGenerator[Progress | bytes, None]:
        yield Progress("Drawing", 0.0)
        body = {"prompt": plain(prompt), "steps": 25, "width": 512, "height": 512, "save_images": False}
        drawing = asyncio.create_task(self.ask("/sdapi/v1/txt2img", json=body | self._options))
        try:
            share = 0.0
            while not (await asyncio.wait({drawing}, timeout=self._look))[0]:
                found = await self._progress()
                if found > share:
                    share = found
                    yield Progress("Drawing", share)
            response = drawing.result()
        except BaseException:  # also if the reader leaves
            drawing.cancel()
            await self.tell("POST", "/sdapi/v1/interrupt")
            raise
        images = response.read(Txt2Img).images
        if not images:
            raise unreadable("no picture in it")
        yield decoded(images[0])

    async def _progress(self) -> float:
        response = await self.tell("GET", "/sdapi/v1/progress?skip_current_image=true")
        with suppress(PictureError):
            return min(response.read(WebUIProgress).progress, 1.0) if response else 0.0
        return 0.0


def plain(prompt: str) -> str:
    """Return the prompt without the web UI's own syntax.

    Brackets weight words, <…> loads networks, AND and BREAK split prompts.
    """
    without = re.sub(r"[<>]", "", prompt)
    escaped = re.sub(r"([\\()\[\]])", r"\\\1", without)
    return re.sub(r"\b(AND|BREAK)\b", lambda found: found[0].lower(), escaped)
