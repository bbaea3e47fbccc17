"""Pictures from a Stable Diffusion web UI on one's own machines: AUTOMATIC1111's, or Forge, started with --api."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec

from server.pictures.cap import HourlyCap
from server.pictures.picture import PictureError, Progress
from server.pictures.responses import decoded, unreadable
from server.pictures.service import Service
from server.settings import Settings

ADDRESS = "http://127.0.0.1:7860"
BETWEEN_LOOKS = 1.0
"""Seconds between questions how far it is."""


class Txt2Img(msgspec.Struct):
    """What /sdapi/v1/txt2img answers: pictures in base64."""

    images: list[str]


class Far(msgspec.Struct):
    """What /sdapi/v1/progress answers: from 0 to 1."""

    progress: float


class Automatic1111:
    """A web UI, which draws one picture at a time; so its progress, and what `interrupt` ends, are ours.

    Its own model draws, or the checkpoint that the settings name. A key is user:password, as in --api-auth.
    """

    at_once = 1

    def __init__(self, settings: Settings, cap: HourlyCap, patience: float = 600, look: float = BETWEEN_LOOKS) -> None:
        self.maker = settings.pictures_model or "Stable Diffusion"
        self.service = Service(
            settings.pictures_url or ADDRESS, settings.pictures_key, cap, patience=patience, basic=True
        )
        self._look = look
        self._options = {"override_settings": {"sd_model_checkpoint": settings.pictures_model}}
        if not settings.pictures_model:
            self._options = {}

    async def draw(self, prompt: str) -> AsyncGenerator[Progress | bytes, None]:
        yield Progress("Drawing", 0.0)
        asked = {"prompt": plain(prompt), "steps": 25, "width": 512, "height": 512, "save_images": False}
        asking = asyncio.create_task(self.service.ask("/sdapi/v1/txt2img", json=asked | self._options))
        try:
            share = 0.0
            while not (await asyncio.wait({asking}, timeout=self._look))[0]:
                found = await self._progress()
                if found > share:
                    share = found
                    yield Progress("Drawing", share)
            answer = asking.result()
        except BaseException:  # also of a reader who leaves
            asking.cancel()
            await self.service.tell("POST", "/sdapi/v1/interrupt")
            raise
        images = answer.read(Txt2Img).images
        if not images:
            raise unreadable("no picture in it")
        yield decoded(images[0])

    async def _progress(self) -> float:
        answer = await self.service.tell("GET", "/sdapi/v1/progress?skip_current_image=true")
        with suppress(PictureError):
            return min(answer.read(Far).progress, 1.0) if answer else 0.0
        return 0.0

    async def close(self) -> None:
        await self.service.close()


def plain(prompt: str) -> str:
    """The prompt with what the web UI would take for its own syntax made mere text.

    Brackets weigh words, <…> loads networks, AND and BREAK split prompts.
    """
    without = re.sub(r"[<>]", "", prompt)
    escaped = re.sub(r"([\\()\[\]])", r"\\\1", without)
    return re.sub(r"\b(AND|BREAK)\b", lambda found: found[0].lower(), escaped)
