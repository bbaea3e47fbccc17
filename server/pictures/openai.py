"""Pictures from OpenAI's images endpoint, or a compatible one.

https://platform.openai.com/docs/api-reference/images/create
"""

from collections.abc import AsyncGenerator

import msgspec

from server.pictures.cap import HourlyCap
from server.pictures.http_provider import HttpProvider
from server.pictures.picture import Progress
from server.pictures.responses import decoded, unreadable
from server.settings import Settings

ADDRESS = "https://api.openai.com/v1"
MODEL = "gpt-image-1"


class Drawn(msgspec.Struct):
    """A picture in a response: in base64, or its URL."""

    b64_json: str | None = None
    url: str | None = None


class Images(msgspec.Struct):
    """The answer of /images/generations."""

    data: list[Drawn]


class OpenAIImages(HttpProvider):
    """A service with /images/generations. Sends no `response_format`: some models refuse it."""

    def __init__(self, settings: Settings, cap: HourlyCap, patience: float = 180) -> None:
        super().__init__(settings.pictures_url or ADDRESS, settings.pictures_key, cap, patience=patience)
        self.maker = settings.pictures_model or MODEL

    async def draw(self, prompt: str) -> AsyncGenerator[Progress | bytes, None]:
        yield Progress("Drawing")
        body = {"model": self.maker, "prompt": prompt, "n": 1, "size": "1024x1024"}
        response = await self.ask("/images/generations", json=body)
        images = response.read(Images).data
        match images[0] if images else None:
            case Drawn(b64_json=str(text)):
                yield decoded(text)
            case Drawn(url=str(address)):
                yield await self.fetch(address)
            case _:
                raise unreadable("neither b64_json nor url")
