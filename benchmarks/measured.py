"""The model that a benchmark measures."""

from pathlib import Path

import click

from benchmarks.gpt2_small import weights
from server.bundle import Bundle

GPT2_SMALL = "gpt2-small"


def measured_bundle(model: str, prompt_tokens: int, new_tokens: int) -> Bundle:
    """A bundle by its folder, or GPT-2 small with random weights, which are made first where they are not there.

    Raises BundleError, ChildProcessError when the weights could not be made, and click.UsageError when prompt and new
    tokens are more than the model's context.
    """
    bundle = Bundle.load(weights().bundle if model == GPT2_SMALL else Path(model))
    check_room(bundle, prompt_tokens, new_tokens)
    return bundle


def check_room(bundle: Bundle, prompt_tokens: int, new_tokens: int) -> None:
    """Raises click.UsageError when prompt and new tokens are more than the model's context."""
    context = bundle.manifest.model.context
    if prompt_tokens + new_tokens > context:
        raise click.UsageError(f"{prompt_tokens} prompt and {new_tokens} new tokens are over the model's {context}.")
