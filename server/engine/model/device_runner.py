"""The model runner for a GPU. Everything but a step's tokens and logits stays in the GPU's memory.

The comments on ONNX Runtime refer to the source of version 1.31: the Python package and the CUDA provider.
"""

import logging
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime as ort
from onnxruntime import OrtValue

from server.bundle import Bundle, ModelShape
from server.engine.arrays import Floats
from server.engine.errors import DeviceError
from server.engine.model.cache import Cache
from server.engine.model.device import open_session
from server.engine.model.device_cache import DeviceCache
from server.engine.model.runner import Runner

logger = logging.getLogger(__name__)

WITHOUT_GRAPH = "-1"
"""The graph id of a run without capture or replay. 0 is reserved; each other number names a graph."""


class DeviceRunner(Runner):
    """A Runner with its session, cache and inputs on `device`: "cuda", or "cpu" for tests on any machine.

    With `capture` it keeps decodes as CUDA graphs, one for each number of rows, if the model's operators allow it. A
    graph is launched as a whole; without graphs a small model spends more time on launching operators than on computing
    them. A graph repeats the captured run with its addresses, shapes and host values, so all changing values must be in
    the device's memory. ONNX Runtime keeps separate graphs for each thread.

    The last bits of a row's logits may depend on the number of rows beside it, because cuBLAS then uses other kernels.
    """

    def __init__(
        self, bundle: Bundle, precision: str, threads: int, rows: int, device: str = "cuda", capture: bool = True
    ) -> None:
        self.device = device
        self.captures = capture and device == "cuda"
        self._mirrors: dict[str, OrtValue] = {}
        super().__init__(bundle, precision, threads, rows)
        self._without_graph = self._graph(WITHOUT_GRAPH)
        self._graphs = {count: self._graph(str(count)) for count in range(1, rows + 1)}

    def _open(self, path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
        if self.captures:
            try:
                return open_session(path, self.device, options, capture=True)
            except DeviceError:
                raise
            except Exception as error:  # for example, a node of the model has no CUDA kernel
                logger.warning("Decoding without CUDA graphs: %s", error)
                self.captures = False
        return open_session(path, self.device, options)

    def _new_cache(self, shape: ModelShape, rows: int, dtype: npt.DTypeLike, block_size: int) -> Cache:
        return DeviceCache(shape, rows, dtype, self.device, block_size)

    def _allocate(self, name: str, values: npt.NDArray[Any]) -> int:
        # A copy: on the cpu an OrtValue would share the array's memory.
        self._mirrors[name] = OrtValue.ortvalue_from_numpy(values.copy(), self.device, 0)
        return int(self._mirrors[name].data_ptr())

    def _bind_input(self, binding: Any, name: str, values: npt.NDArray[Any]) -> None:
        # GroupQueryAttention's CUDA kernel declares total_sequence_length as an input on the host.
        device = "cpu" if name == "total_sequence_length" else self.device
        binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(values, device, 0))

    def _run(self, binding: Any, count: int, options: ort.RunOptions | None = None) -> Floats:
        return super()._run(binding, count, options or self._without_graph)

    def _run_decode(self, count: int) -> Floats:
        # The kernel reads this value on the host, so a graph keeps the captured one. Each row's length comes from
        # seqlens_k. This value only tells if a prompt begins, and how many parts to split a row's attention into: the
        # capacity always gives the same number, whatever the lengths of the other rows.
        self._total[0] = self.cache.capacity
        for name, values in (
            ("input_ids", self._ids),
            ("position_ids", self._positions),
            ("seqlens_k", self._seqlens),
        ):
            self._mirrors[name].update_inplace(values)
        # The first call runs the graph several times, to allocate and to capture. All runs write the same values.
        return self._run(self._decode_binding(count), count, self._graphs[count])

    def _fetch_logits(self, binding: Any, count: int) -> Floats:
        logits: Floats = binding.get_outputs()[0].numpy()  # `_bind` binds logits first
        return logits

    def _graph(self, number: str) -> ort.RunOptions | None:
        if not self.captures:
            return None
        options = ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", number)
        return options
