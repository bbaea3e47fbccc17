"""The tokens of a request and its response."""

from typing import Annotated

from msgspec import Meta, Struct


class Usage(Struct, frozen=True):
    """Numbers of tokens."""

    prompt_tokens: Annotated[int, Meta(description="Of the prompts, each counted once, with the template of a genre.")]
    completion_tokens: Annotated[int, Meta(description="Of all generated text.")]
    total_tokens: Annotated[int, Meta(description="The sum of both.")]
