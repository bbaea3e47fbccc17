"""The KV cache in the memory of a device."""

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime import OrtValue

from server.bundle import ModelShape
from server.engine.errors import DeviceError
from server.engine.model.cache import BLOCK, Cache, Side
from server.engine.model.device import COPYING, open_session


class DeviceCache(Cache):
    """Rows of keys and values on `device`: "cuda", or "cpu" for tests. Allocates all memory at once.

    Raises:
        DeviceError: the rows do not fit.
    """

    def __init__(
        self, shape: ModelShape, rows: int, dtype: npt.DTypeLike, device: str, block_size: int = BLOCK
    ) -> None:
        self._device = device
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._copying = open_session(COPYING, device, options)
        self._binding = self._copying.io_binding()
        super().__init__(shape, rows, dtype, block_size)

    def address(self, side: Side, row: int) -> int:
        """Return the address of `row` of `side` on the device; the next rows follow without a gap."""
        memory: OrtValue = side.values
        return int(memory.data_ptr()) + row * self.row_bytes

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copy a whole row to another, whatever `tokens` is.

        A whole row is one piece of memory for each side; its first tokens would be one piece for each head. The call
        waits for the device, so the model's next run finds the copy.
        """
        if source == target:
            return
        for side in self.sides:
            begin, end = self.address(side, source), self.address(side, target)
            self._binding.bind_input("source", self._device, 0, np.uint8, [self.row_bytes], begin)
            self._binding.bind_output("target", self._device, 0, np.uint8, [self.row_bytes], end)
            self._copying.run_with_iobinding(self._binding)

    def _zeros(self, shape: tuple[int, ...]) -> OrtValue:
        """Return zeros: attention may multiply unused entries by 0, and garbage could be infinite."""
        try:
            return OrtValue.ortvalue_from_numpy(np.zeros(shape, self.dtype), self._device, 0)
        except Exception as error:  # onnxruntime's own exceptions have no common base below Exception
            raise DeviceError(f"{self._device}: no room for {shape[0]} rows of cache; use fewer ({error})") from error
