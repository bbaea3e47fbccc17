"""Our own engine as a contender: whole requests through its public interface, all at once."""

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
"""The size of the queue: more requests than any benchmark sends, so none is refused."""


@dataclass
class Plotify:
    """Our own engine.

    Attributes:
        precision: one of the bundle's precisions.
        device: "cpu" or "cuda".
        rows: the most sequences to run at once.
        capture: on a GPU, keep decodes as CUDA graphs.
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
        """Load the bundle. There is nothing to convert.

        Raises:
            BundleError: the bundle has no such model.
            DeviceError: the GPU cannot run it, or not with CUDA graphs.
        """
        self._engine = Engine(
            Bundle.load(weights.bundle),
            EngineConfig(self.precision, cores(), queue=MANY, rows=self.rows, device=self.device, capture=self.capture),
        )
        if self.device == "cuda" and self.capture:
            if not self._engine.captures:
                raise DeviceError("cuda: ONNX Runtime cannot keep CUDA graphs of this model; the log has the reason")
            meet_every_count(self._engine)

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """Submit a request for each prompt, all together, and read them on one event loop, like the server."""
        assert self._engine is not None, "prepare comes first"
        return asyncio.run(_read_all(self._engine, prompts, new_tokens))


def meet_every_count(engine: Engine) -> None:
    """Decode with one row, with two, and so on up to all rows, to capture every CUDA graph.

    A graph is captured at the first decode with its number of rows. A server soon has all of them. Here some numbers
    could come up first in a counted turn: the number of rows in a step depends on the arrival of the requests.
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
