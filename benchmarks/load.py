"""A closed loop on the engine: so many clients, each with one request at a time, the next as soon as it ends."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.timing import Timing
from server.bundle import Bundle, BundleError, SamplingDefaults
from server.engine import Engine, Request, Sampling

Prompt = tuple[int, ...]

NEVER = "ÿ"
"""The token of byte 0xFF in a byte-level BPE, which no UTF-8 text holds and a trained model therefore never draws."""


def load_endless(folder: Path) -> Bundle:
    """The bundle at `folder`, but for its end of text, which is `NEVER`: each request gets all the tokens it asks for.

    So the work is the same in every run and on both sides of a comparison, whatever the model thinks of the prompts.
    Raises BundleError.
    """
    bundle = Bundle.load(folder)
    never = bundle.tokenizer.token_to_id(NEVER)
    if never is None:
        raise BundleError(
            f"{folder}: its tokenizer is no byte-level BPE; only bundles of `plotify export` are measured"
        )
    model = replace(bundle.manifest.model, end_of_text=never)
    return replace(bundle, manifest=replace(bundle.manifest, model=model))


def make_prompts(bundle: Bundle, count: int, tokens: int, seed: int = 0) -> list[Prompt]:
    """`count` prompts of `tokens` random tokens each, never the end of text; the same seed gives the same prompts."""
    ids = np.random.default_rng(seed).integers(0, bundle.tokenizer.get_vocab_size() - 1, (count, tokens))
    ids += ids >= bundle.manifest.model.end_of_text
    return [tuple(row) for row in ids.tolist()]


def sampling_of(defaults: SamplingDefaults, new_tokens: int, seed: int) -> Sampling:
    """The bundle's own decoding defaults, as a writer's request has them."""
    return Sampling(
        max_tokens=new_tokens,
        temperature=defaults.temperature,
        top_k=defaults.top_k,
        top_p=defaults.top_p,
        repetition_penalty=defaults.repetition_penalty,
        seed=seed,
    )


def run_load(engine: Engine, prompts: Sequence[Prompt], new_tokens: int, concurrency: int) -> list[Timing]:
    """Whole requests through the engine's public interface, one for each of `prompts`, by `concurrency` clients."""
    defaults = engine.bundle.manifest.sampling

    def ask(numbered: tuple[int, Prompt]) -> Timing:
        seed, prompt = numbered
        submitted = time.perf_counter()
        stream = engine.submit(Request(prompt, sampling_of(defaults, new_tokens, seed)))
        arrivals = tuple((time.perf_counter(), len(chunk.token_ids)) for chunk in stream)
        return Timing(submitted, time.perf_counter(), tuple(arrival for arrival in arrivals if arrival[1]))

    with ThreadPoolExecutor(concurrency) as clients:
        return list(clients.map(ask, enumerate(prompts)))
