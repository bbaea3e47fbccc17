"""Our own engine as one more contender: whole requests through its public interface, all of them at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpt2_small import Weights
from benchmarks.peers.contenders import Prompt
from server.bundle import Bundle
from server.cores import cores
from server.engine import Engine, EngineConfig, Request, Sampling, Stream
from server.engine.errors import DeviceError

MANY = 4096
"""More requests than anyone measures at once; none is turned away."""


@dataclass
class Plotify:
    """precision: one that the bundle carries.

    device: "cpu" or "cuda". rows: requests that are written at once. capture: on a GPU, keep decodes as CUDA graphs.
    """

    precision: str
    device: str = "cpu"
    rows: int = 64
    capture: bool = True
    install: str = "pip install ."
    packages: tuple[str, ...] = ("plotify", "onnxruntime", "onnxruntime-gpu")
    name: str = ""
    _engine: Engine | None = None

    def __post_init__(self) -> None:
        self.name = f"Plotify {self.precision}{'' if self.capture else ' without graphs'}"

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Loads the bundle; nothing is converted. Raises BundleError, and DeviceError of a GPU that cannot do it so."""
        self._engine = Engine(
            Bundle.load(weights.bundle),
            EngineConfig(self.precision, cores(), queue=MANY, rows=self.rows, device=self.device, capture=self.capture),
        )
        if self.device == "cuda" and self.capture:
            if not self._engine.captures:
                raise DeviceError("cuda: ONNX Runtime keeps no CUDA graphs of this model; the log says why")
            meet_every_count(self._engine)

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """A request for each prompt, submitted together and read by one event loop, as the web application does."""
        assert self._engine is not None, "prepare comes first"
        return asyncio.run(_read_all(self._engine, prompts, new_tokens))


def meet_every_count(engine: Engine) -> None:
    """Decodes with one row, with two, and so on up to all of them.

    A CUDA graph is captured when its number of rows is first met. A server has met them all before long; here some
    would come up only in turns that count, since how many requests a step takes in depends on when each arrives.
    """
    request = Request([0], Sampling(max_tokens=2, temperature=0, ignore_end=True))
    for count in range(1, engine.config.rows + 1):
        for stream in engine.submit_several(request, count):
            list(stream)


async def _read_all(engine: Engine, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
    sampling = Sampling(max_tokens=new_tokens, temperature=0, ignore_end=True)

    async def read(stream: Stream) -> list[int]:
        return [token async for chunk in stream for token in chunk.token_ids]

    return await asyncio.gather(*[read(engine.submit(Request(prompt, sampling))) for prompt in prompts])
