"""The model on a GPU: all but the tokens and the logits of a step stays in its memory.

The source of its statements on ONNX Runtime is version 1.31: the Python package and the CUDA provider.
"""

import logging
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime as ort
from onnxruntime import OrtValue

from server.bundle import Bundle, ModelShape
from server.engine.errors import DeviceError
from server.engine.model.cache import Cache
from server.engine.model.device import open_session
from server.engine.model.device_cache import DeviceCache
from server.engine.model.runner import Runner
from server.engine.sampling.kernels import Floats

logger = logging.getLogger(__name__)

WITHOUT_GRAPH = "-1"
"""The graph id of a run that is neither captured nor replayed. 0 is reserved, other numbers name a graph each."""


class DeviceRunner(Runner):
    """A Runner whose session, cache and inputs are on `device`, "cuda" or, to be tested anywhere, "cpu".

    capture: keep decodes as CUDA graphs, one for each number of rows, where the model's operators allow it. A graph is
    launched in one go, where a small model would spend more time on launching its operators than on computing them. It
    repeats what was captured, with the addresses, the shapes and the values on the host of then; what changes from step
    to step has to be in the device's memory. ONNX Runtime keeps the graphs of each thread apart.

    A row's logits may differ in their last bits with the number of rows beside it: so do the kernels that cuBLAS takes.
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
            except Exception as error:  # as where a node of the model has no CUDA kernel
                logger.warning("Decoding without CUDA graphs: %s", error)
                self.captures = False
        return open_session(path, self.device, options)

    def _new_cache(self, shape: ModelShape, rows: int, dtype: npt.DTypeLike) -> Cache:
        return DeviceCache(shape, rows, dtype, self.device)

    def _allocate(self, name: str, values: npt.NDArray[Any]) -> int:
        # A copy, since on the cpu an OrtValue would share the array's memory.
        self._mirrors[name] = OrtValue.ortvalue_from_numpy(values.copy(), self.device, 0)
        return int(self._mirrors[name].data_ptr())

    def _bind_input(self, binding: Any, name: str, values: npt.NDArray[Any]) -> None:
        # GroupQueryAttention's CUDA kernel declares total_sequence_length as an input on the host.
        device = "cpu" if name == "total_sequence_length" else self.device
        binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(values, device, 0))

    def _run(self, binding: Any, count: int, options: ort.RunOptions | None = None) -> Floats:
        return super()._run(binding, count, options or self._without_graph)

    def _run_decode(self, count: int) -> Floats:
        # Read on the host, it stays in a graph as it was captured. The kernel takes each row's length from seqlens_k;
        # this tells it whether a prompt begins, and into how many parts to split the attention of a row: always as
        # many then, whatever lengths the others have.
        self._total[0] = self.cache.capacity
        for name, values in (
            ("input_ids", self._ids),
            ("position_ids", self._positions),
            ("seqlens_k", self._seqlens),
        ):
            self._mirrors[name].update_inplace(values)
        # The first run of a graph is several: to allocate, then to capture. Each writes the same to the same place.
        return self._run(self._decode_binding(count), count, self._graphs[count])

    def _fetch_logits(self, binding: Any, count: int) -> Floats:
        logits: Floats = binding.get_outputs()[0].numpy()  # bound first
        return logits

    def _graph(self, number: str) -> ort.RunOptions | None:
        if not self.captures:
            return None
        options = ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", number)
        return options
