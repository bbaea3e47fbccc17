"""The model on ONNX Runtime: prefill a prompt, then decode a token at a time with the KV cache."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from server.bundle import Bundle, BundleError
from server.engine.guidance import guide


class Runner:
    """One session and the KV caches of the sequence it is on. Not thread-safe: one thread owns it.

    Raises BundleError for a graph that is not the one the manifest describes.
    """

    def __init__(self, bundle: Bundle, precision: str, threads: int) -> None:
        path, shape = bundle.model_file(precision), bundle.manifest.model
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Threads that spin while they wait would starve the event loop of the web server beside them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions have no common base below Exception
            raise BundleError(f"{path}: ONNX Runtime cannot load it ({error}); export the checkpoint again") from error
        sides = [f"{layer}.{side}" for layer in range(shape.layers) for side in ("key", "value")]
        self._past_names = [f"past_key_values.{side}" for side in sides]
        self._output_names = ["logits", *(f"present.{side}" for side in sides)]
        expected = {"input_ids", "attention_mask", "position_ids", *self._past_names}
        if {entry.name for entry in self._session.get_inputs()} != expected:
            raise BundleError(
                f"{path}: its inputs are not those of a {shape.layers}-layer GPT-2 with a KV cache; "
                "export the checkpoint again"
            )
        empty = np.zeros((1, shape.heads, 0, shape.head_dim), dtype=np.float32)
        self._empty = [ort.OrtValue.ortvalue_from_numpy(empty) for _ in sides]
        self._caches: list[Cache] = []
        self._guidance = 1.0

    def prefill(
        self, token_ids: Sequence[int], against: Sequence[int] = (), guidance: float = 1.0
    ) -> npt.NDArray[np.float32]:
        """Starts a sequence: logits [vocab] after the last of `token_ids`, of which there is at least one.

        With `against`, the tokens of the prompt without its genre, a second cache runs beside the first, and the logits
        of this call and of every `decode` after it are guided.
        """
        self._guidance = guidance
        prompts = [token_ids, against] if against else [token_ids]
        self._caches = [Cache(self._empty) for _ in prompts]
        return self._merge([self._run(*started) for started in zip(self._caches, prompts, strict=True)])

    def decode(self, token_id: int) -> npt.NDArray[np.float32]:
        """Goes on with the sequence: logits [vocab] after one more token."""
        return self._merge([self._run(cache, [token_id]) for cache in self._caches])

    def _merge(self, logits: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        return logits[0] if len(logits) == 1 else guide(logits[0], logits[1], self._guidance)

    def _run(self, cache: "Cache", token_ids: Sequence[int]) -> npt.NDArray[np.float32]:
        end = cache.length + len(token_ids)
        inputs = {
            "input_ids": np.array([token_ids], dtype=np.int64),
            "attention_mask": np.ones((1, end), dtype=np.int64),
            "position_ids": np.arange(cache.length, end, dtype=np.int64)[np.newaxis],
        }
        feeds = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in inputs.items()}
        feeds.update(zip(self._past_names, cache.values, strict=True))
        # The new cache stays an OrtValue and is fed back as it is: turned into numpy it would be copied at every step.
        logits, *cache.values = self._session.run_with_ort_values(self._output_names, feeds)
        cache.length = end
        result: npt.NDArray[np.float32] = logits.numpy()[0, -1]
        return result


@dataclass
class Cache:
    """The keys and values of `length` tokens: for each layer and side [1, heads, length, head_dim] float32."""

    values: list[ort.OrtValue]
    length: int = 0
