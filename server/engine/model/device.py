"""Devices: choose the processor or an NVIDIA GPU, and open ONNX Runtime sessions on it."""

import contextlib
import ctypes
import io
import logging
from pathlib import Path
from typing import Literal

import onnxruntime as ort

from server.bundle import FASTEST_FIRST, Bundle
from server.engine.errors import DeviceError

logger = logging.getLogger(__name__)

Device = Literal["cpu", "cuda"]

CUDA = "CUDAExecutionProvider"

DRIVER = "libcuda.so.1"

RUNS_ON_CUDA = FASTEST_FIRST["cuda"]
"""The precisions for CUDA.

ONNX Runtime 1.31 has GroupQueryAttention on CUDA only for float16 and bfloat16, and no MatMulIntegerToFloat. Operators
without a CUDA kernel fall back to the processor: every layer would copy the whole cache there and back.
"""

NO_PROVIDER = (
    "this ONNX Runtime was built without CUDA; install onnxruntime-gpu instead (it exists for Linux on x86-64)"
)
NO_DRIVER = (
    "there is no working NVIDIA driver; install one, so that nvidia-smi lists a GPU (in a container: docker run "
    "--gpus all), or choose the device cpu"
)
NO_LIBRARIES = (
    "ONNX Runtime finds a GPU, but cannot load its CUDA libraries; run "
    f"pip install 'onnxruntime-gpu[cuda,cudnn]=={ort.__version__}' and use a new enough driver, "
    "or choose the device cpu"
)

COPYING = (
    b'\x08\x08:X\n\x1a\n\x06source\x12\x06target"\x08Identity\x12\x04copyZ\x19\n\x06source\x12\x0f\n\r\x08\x02\x12\t'
    b"\n\x07\x12\x05bytesb\x19\n\x06target\x12\x0f\n\r\x08\x02\x12\t\n\x07\x12\x05bytesB\x04\n\x00\x10\x10"
)
"""An ONNX model with one Identity, from `source` to `target`, both uint8 [bytes].

It copies within a device's memory, and tests if a session opens there. It is stored as bytes because the server has no
onnx package to build it. A test builds it and compares.
"""


def choose_device_and_precision(bundle: Bundle, device: str, precision: str | None) -> tuple[Device, str]:
    """Return the device and the precision to use.

    Args:
        device: "cpu", "cuda", or "auto": a GPU if one of the possible precisions runs on it, otherwise the processor.
        precision: None chooses the fastest on the device.

    Raises:
        DeviceError: the device is missing or cannot run the precision.
    """
    possible = bundle.manifest.precisions if precision is None else [precision]
    if device == "auto" and not any(each in RUNS_ON_CUDA for each in possible):
        device = "cpu"
    chosen = choose_device(device)
    precision = precision or bundle.fastest_precision(chosen)
    if chosen == "cuda" and precision not in RUNS_ON_CUDA:
        raise DeviceError(
            f"{bundle.path}: its {precision} model does not run on cuda, where only {', '.join(RUNS_ON_CUDA)} does; "
            "export the checkpoint with --precision all and choose that, or choose the device cpu"
        )
    return chosen, precision


def choose_device(device: str) -> Device:
    """Resolve "auto", "cpu" or "cuda" on this machine: "auto" is "cuda" if a GPU can be used.

    Raises:
        DeviceError: the device is "cuda", and there is no usable GPU.
    """
    if device == "cpu":
        return "cpu"
    missing = what_cuda_lacks()
    if missing is None:
        return "cuda"
    if device == "cuda":
        raise DeviceError(f"cuda: {missing}")
    logger.info("Computing on the processor: %s", missing)
    return "cpu"


def what_cuda_lacks() -> str | None:
    """Return a sentence with the part missing to use a GPU and the remedy; None if nothing is missing."""
    if CUDA not in ort.get_available_providers():
        return NO_PROVIDER
    if not driver_answers():
        return NO_DRIVER
    ort.set_default_logger_severity(4)  # NO_LIBRARIES is clearer than its own warning
    try:
        open_session(COPYING, "cuda", ort.SessionOptions())
    except Exception:  # onnxruntime's own exceptions have no common base below Exception
        return NO_LIBRARIES
    finally:
        ort.set_default_logger_severity(2)  # its default
    return None


def driver_answers() -> bool:
    """Return True if the NVIDIA driver is installed, works, and has a GPU."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def gpu_name() -> str:
    """Return the name of the first GPU, the one in use. Call it only if `driver_answers`."""
    driver, gpu, name = ctypes.CDLL(DRIVER), ctypes.c_int(0), ctypes.create_string_buffer(256)
    driver.cuInit(0)
    driver.cuDeviceGet(ctypes.byref(gpu), 0)
    driver.cuDeviceGetName(name, len(name), gpu)
    return name.value.decode()


def open_session(
    model: Path | bytes, device: str, options: ort.SessionOptions, capture: bool = False
) -> ort.InferenceSession:
    """Return a session on `device`. With `capture` it may keep runs as CUDA graphs.

    Raises:
        DeviceError: CUDA cannot be loaded.
        Exception: ONNX Runtime's own errors, for a model it cannot run.
    """
    if device == "cpu":
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    # The dynamic loader does not find libraries installed by pip. Hide the printed warnings about missing ones: they
    # may not be needed, and if they are, the provider is missing below.
    with contextlib.redirect_stdout(io.StringIO()):
        ort.preload_dlls()
    provider = (CUDA, {"enable_cuda_graph": "1" if capture else "0"})
    session = ort.InferenceSession(model, options, providers=[provider], enable_fallback=0)
    # Without its libraries ONNX Runtime only logs a warning and uses the processor.
    if session.get_providers()[0] != CUDA:
        raise DeviceError(f"cuda: {NO_LIBRARIES}")
    return session
