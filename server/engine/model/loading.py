"""A model that is known to run, and to give a row the same logits alone and among others."""

import numpy as np

from server.bundle import Bundle, BundleError, ModelShape
from server.engine.errors import DeviceError, RowsDiffer
from server.engine.model.cache import BLOCK
from server.engine.model.device_runner import DeviceRunner
from server.engine.model.runner import Runner
from server.engine.sampling.kernels import Floats

COMPANY = 3
"""Rows that a row is compared among: kernels take a row alone, a pair, and the rest of pairs each in its own way."""


def load_runner(bundle: Bundle, device: str, precision: str, threads: int, rows: int, capture: bool) -> Runner:
    """A session on the bundle that has run, so that the first request is as fast as the others.

    capture: on a GPU, whether to keep decodes as CUDA graphs where the model's operators allow it.
    Raises BundleError for a model that cannot be run, DeviceError for a device that cannot run it, and RowsDiffer where
    a row's logits are not the same, bit for bit, alone and among others. On a GPU, where they need not be
    (`DeviceRunner`), the row runs alone, and nothing is compared.
    """
    shape = bundle.manifest.model
    if (block := bundle.manifest.engine.block_size) != BLOCK:
        raise BundleError(
            f"{bundle.path}: reckons with blocks of {block} tokens, this engine with {BLOCK}; "
            "export the checkpoint again"
        )
    if device == "cuda":
        runner: Runner = DeviceRunner(bundle, precision, threads, rows, capture=capture)
    else:
        runner = Runner(bundle, precision, threads, rows)
    try:
        alone = _read_and_decode(runner, shape, 1)
        among = alone if device == "cuda" else _read_and_decode(runner, shape, min(rows, COMPANY))
        runner.decode([0], [shape.context - 1])  # the last position that the manifest promises
    except Exception as error:  # onnxruntime's own exceptions have no common base below Exception
        reason = " ".join(str(error).split())
        if device == "cuda":
            raise DeviceError(f"the GPU cannot run this model ({reason}); choose the device cpu") from error
        raise BundleError(
            f"{bundle.model_file(precision)}: does not run as bundle.json describes it ({reason}); "
            "export the checkpoint again"
        ) from error
    # As whole numbers: NaN is unlike itself.
    if (among[:, ::2].view(np.uint32) != alone.view(np.uint32)).any():
        raise RowsDiffer(bundle.model_file(precision))
    return runner


def _read_and_decode(runner: Runner, shape: ModelShape, rows: int) -> Floats:
    """Logits [2, rows, vocab] after a prompt, and after one token more; every other row is the same as the first."""
    length = min(BLOCK, shape.context) - 1
    one, other = ([step * place % shape.vocab_size for place in range(1, length + 1)] for step in (7, 11))
    prompts = [other if row % 2 else one for row in range(rows)]
    read = runner.prefill(0, 0, prompts).copy()
    return np.stack([read, runner.decode([prompt[0] for prompt in prompts], [length] * rows)])
