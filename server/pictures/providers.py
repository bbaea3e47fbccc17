"""The providers of pictures.

To add one, write a class with the methods of `Provider`, and name it in `PROVIDERS` and in the settings.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

from server.pictures.picture import Progress

PROVIDERS = {
    "stability": "server.pictures.stability:Stability",
    "openai": "server.pictures.openai:OpenAIImages",
    "automatic1111": "server.pictures.automatic1111:Automatic1111",
    "local": "server.pictures.local:Local",
}
"""The class of each provider; only the one in use is imported."""


class Provider(Protocol):
    """A maker of pictures. at_once: the number of pictures to draw at the same time."""

    maker: str
    at_once: int

    def draw(self, prompt: str) -> AsyncGenerator[Progress | bytes, None]:
        """Yield progress, then the bytes of the picture. Closing it stops the work, if possible.

        Raises PictureError.
        """
        ...

    async def close(self) -> None:
        """Close connections."""
        ...
