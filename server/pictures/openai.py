"""Pictures from an endpoint in the form of OpenAI's: https://platform.openai.com/docs/api-reference/images/create"""

from collections.abc import AsyncGenerator

import msgspec

from server.pictures.cap import HourlyCap
from server.pictures.picture import Progress
from server.pictures.responses import decoded, unreadable
from server.pictures.service import Service
from server.settings import Settings

ADDRESS = "https://api.openai.com/v1"
MODEL = "gpt-image-1"


class Drawn(msgspec.Struct):
    """A picture in an answer: in it, or where it is kept."""

    b64_json: str | None = None
    url: str | None = None


class Images(msgspec.Struct):
    """What /images/generations answers."""

    data: list[Drawn]


class OpenAIImages:
    """Any service with OpenAI's /images/generations. `response_format` is not sent: some models refuse it."""

    at_once = 4

    def __init__(self, settings: Settings, cap: HourlyCap, patience: float = 180) -> None:
        self._model = settings.pictures_model or MODEL
        self.maker = self._model
        self.service = Service(settings.pictures_url or ADDRESS, settings.pictures_key, cap, patience=patience)

    async def draw(self, prompt: str) -> AsyncGenerator[Progress | bytes, None]:
        yield Progress("Drawing")
        asked = {"model": self._model, "prompt": prompt, "n": 1, "size": "1024x1024"}
        answer = await self.service.ask("/images/generations", json=asked)
        images = answer.read(Images).data
        match images[0] if images else None:
            case Drawn(b64_json=str(text)):
                yield decoded(text)
            case Drawn(url=str(address)):
                yield await self.service.fetch(address)
            case _:
                raise unreadable("neither b64_json nor url")

    async def close(self) -> None:
        await self.service.close()
