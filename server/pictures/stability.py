"""Pictures from the Stability API: https://platform.stability.ai/docs/api-reference"""

from collections.abc import AsyncGenerator

from server.pictures.cap import HourlyCap
from server.pictures.http_provider import HttpProvider
from server.pictures.picture import Progress
from server.pictures.responses import refused
from server.settings import Settings

ADDRESS = "https://api.stability.ai"
MODEL = "core"


class Stability(HttpProvider):
    """Stable Image by Stability AI, v2beta: core, ultra, or the name of an sd3 model."""

    def __init__(self, settings: Settings, cap: HourlyCap, patience: float = 120) -> None:
        super().__init__(settings.pictures_url or ADDRESS, settings.pictures_key, cap, patience=patience)
        model = settings.pictures_model or MODEL
        own_path = model in ("core", "ultra")
        self.maker = f"Stability AI, {model}"
        self._path = f"/v2beta/stable-image/generate/{model if own_path else 'sd3'}"
        self._fields = {"output_format": "jpeg", "aspect_ratio": "1:1"} | ({} if own_path else {"model": model})

    async def draw(self, prompt: str) -> AsyncGenerator[Progress | bytes, None]:
        yield Progress("Drawing")
        # The API takes the form fields as parts of multipart/form-data, with or without files.
        fields = {name: (None, value) for name, value in ({"prompt": prompt} | self._fields).items()}
        response = await self.ask(self._path, files=fields, headers={"Accept": "image/*"})
        if response.headers.get("finish-reason", "SUCCESS") == "CONTENT_FILTERED":
            raise refused("drawn, and filtered")
        yield response.content
