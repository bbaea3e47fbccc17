"""Our own engine as one more contender: whole requests through its public interface, all of them at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpt2_small import Weights
from benchmarks.peers.peer import Prompt, cores
from server.bundle import Bundle
from server.engine import Engine, Request, Sampling

MANY = 4096
"""More requests than anyone measures at once; none is turned away."""


@dataclass
class Plotify:
    """precision: one that the bundle carries."""

    precision: str
    install: str = "pip install ."
    packages: tuple[str, ...] = ("plotify", "onnxruntime", "onnxruntime-gpu")
    _engine: Engine | None = None

    @property
    def name(self) -> str:
        """With the precision."""
        return f"Plotify {self.precision}"

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Loads the bundle; nothing is converted. Raises BundleError."""
        self._engine = Engine(Bundle.load(weights.bundle), self.precision, cores(), queue=MANY, device="cpu")

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """A request for each prompt, submitted together and read by one event loop, as the web application does."""
        assert self._engine is not None, "prepare comes first"
        return asyncio.run(_read_all(self._engine, prompts, new_tokens))


async def _read_all(engine: Engine, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
    sampling = Sampling(max_tokens=new_tokens, temperature=0, ignore_end=True)
    streams = [engine.submit(Request(prompt, sampling)) for prompt in prompts]

    async def read(index: int) -> list[int]:
        return [token async for chunk in streams[index] for token in chunk.token_ids]

    return list(await asyncio.gather(*map(read, range(len(streams)))))
