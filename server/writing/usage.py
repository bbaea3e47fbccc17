"""What an answer cost, in tokens."""

from typing import Annotated

from msgspec import Meta, Struct


class Usage(Struct, frozen=True):
    """How many tokens were read and written."""

    prompt_tokens: Annotated[int, Meta(description="Of the prompts, each read once, with the template of a genre.")]
    completion_tokens: Annotated[int, Meta(description="Of all that was written.")]
    total_tokens: Annotated[int, Meta(description="Both.")]
