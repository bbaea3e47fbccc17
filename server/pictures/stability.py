"""Pictures from the Stability API: https://platform.stability.ai/docs/api-reference"""

from collections.abc import AsyncGenerator

from server.pictures.cap import HourlyCap
from server.pictures.picture import Progress
from server.pictures.responses import refused
from server.pictures.service import Service
from server.settings import Settings

ADDRESS = "https://api.stability.ai"
MODEL = "core"


class Stability:
    """Stable Image of Stability AI, v2beta: core, ultra, or an sd3 model by its name."""

    at_once = 4

    def __init__(self, settings: Settings, cap: HourlyCap, patience: float = 120) -> None:
        model = settings.pictures_model or MODEL
        own_path = model in ("core", "ultra")
        self.maker = f"Stability AI, {model}"
        self.service = Service(settings.pictures_url or ADDRESS, settings.pictures_key, cap, patience=patience)
        self._path = f"/v2beta/stable-image/generate/{model if own_path else 'sd3'}"
        self._fields = {"output_format": "jpeg", "aspect_ratio": "1:1"} | ({} if own_path else {"model": model})

    async def draw(self, prompt: str) -> AsyncGenerator[Progress | bytes, None]:
        yield Progress("Drawing")
        # Form fields as parts of multipart/form-data, which is what the API takes, with or without files.
        fields = {name: (None, value) for name, value in ({"prompt": prompt} | self._fields).items()}
        answer = await self.service.ask(self._path, files=fields, headers={"Accept": "image/*"})
        if answer.headers.get("finish-reason", "SUCCESS") == "CONTENT_FILTERED":
            raise refused("drawn, and filtered")
        yield answer.content

    async def close(self) -> None:
        await self.service.close()
