"""Loading a model: open a runner, and check that it works and that rows do not depend on each other."""

import hashlib

import numpy as np

from server.bundle import Bundle, BundleError, ModelShape
from server.engine.arrays import Floats
from server.engine.errors import DeviceError, RowsDiffer
from server.engine.model.device_runner import DeviceRunner
from server.engine.model.runner import Runner

COMPANY = 3
"""Rows in the comparison. Kernels differ for a single row, a pair, and an odd row after pairs."""

RESUMED = 4
"""Tokens to decode and to prefill, in the comparison of the two. The second one begins a block."""


def load_runner(bundle: Bundle, device: str, precision: str, threads: int, rows: int, capture: bool) -> Runner:
    """Return a runner for a model of the bundle, after a first run to warm it up and check it.

    On a GPU rows may depend on each other (`DeviceRunner`), so nothing is compared. On a processor, prefill is compared
    with decode, too (`Runner.arithmetic`).

    Args:
        capture: on a GPU, keep decodes as CUDA graphs if the model's operators allow it.

    Raises:
        BundleError: the model cannot run.
        DeviceError: the device cannot run the model.
        RowsDiffer: a row's logits alone and among others are not the same, bit for bit.
    """
    shape = bundle.manifest.model
    if device == "cuda":
        runner: Runner = DeviceRunner(bundle, precision, threads, rows, capture=capture)
    else:
        runner = Runner(bundle, precision, threads, rows)
    try:
        alone = _read_and_decode(runner, shape, 1)
        among = alone if device == "cuda" else _read_and_decode(runner, shape, min(rows, COMPANY))
        runner.decode([0], [shape.context - 1])  # the last position that the manifest promises
        runner.arithmetic = "" if device == "cuda" else _arithmetic(runner, shape)
    except Exception as error:  # onnxruntime's own exceptions have no common base below Exception
        reason = " ".join(str(error).split())
        if device == "cuda":
            raise DeviceError(f"the GPU cannot run this model ({reason}); choose the device cpu") from error
        raise BundleError(
            f"{bundle.model_file(precision)}: does not run as bundle.json describes it ({reason}); "
            "export the checkpoint again"
        ) from error
    # Compare bits, because NaN != NaN.
    if (among[:, ::2].view(np.uint32) != alone.view(np.uint32)).any():
        raise RowsDiffer(bundle.model_file(precision))
    return runner


def _arithmetic(runner: Runner, shape: ModelShape) -> str:
    """Return a digest of keys, values and logits, or "" if a prefill and decodes differ in a bit.

    Another engine with the same digest has the same model and the same kernels, on the same kind of processor.
    """
    length = runner.cache.block_size - 1
    tokens = [7 * place % shape.vocab_size for place in range(1, length + RESUMED + 1)]
    if len(tokens) > shape.context:
        return ""

    def digest(logits: Floats) -> str:
        computed = hashlib.sha256(logits.tobytes())
        for side in runner.cache.sides:
            computed.update(side.values[0, :, : len(tokens)].tobytes())
        return computed.hexdigest()[:16]

    runner.prefill(0, 0, [tokens[:length]])
    for place in range(length, len(tokens)):
        logits = runner.decode([tokens[place]], [place])
    decoded = digest(logits)
    return decoded if digest(runner.prefill(0, 0, [tokens])) == decoded else ""


def _read_and_decode(runner: Runner, shape: ModelShape, rows: int) -> Floats:
    """Return logits [2, rows, vocab]: after a prompt, and after one token more.

    The rows use two prompts by turns, so every other row equals the first.
    """
    length = min(runner.cache.block_size, shape.context) - 1
    one, other = ([step * place % shape.vocab_size for place in range(1, length + 1)] for step in (7, 11))
    prompts = [other if row % 2 else one for row in range(rows)]
    read = runner.prefill(0, 0, prompts).copy()
    return np.stack([read, runner.decode([prompt[0] for prompt in prompts], [length] * rows)])
