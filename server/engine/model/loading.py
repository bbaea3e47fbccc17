"""A model that is known to run."""

from server.bundle import Bundle, BundleError
from server.engine.errors import DeviceError
from server.engine.model.device_runner import DeviceRunner
from server.engine.model.runner import Runner


def load_runner(bundle: Bundle, device: str, precision: str, threads: int, rows: int, capture: bool) -> Runner:
    """A session on the bundle that has run once, so that the first request is as fast as the others.

    capture: on a GPU, whether to keep decodes as CUDA graphs where the model's operators allow it.
    Raises BundleError for a model that cannot be run, DeviceError for a device that cannot run it.
    """
    end_of_text = bundle.manifest.model.end_of_text
    if device == "cuda":
        runner: Runner = DeviceRunner(bundle, precision, threads, rows, capture=capture)
    else:
        runner = Runner(bundle, precision, threads, rows)
    try:
        runner.prefill(0, 0, [[end_of_text]])
        runner.decode([end_of_text], [1])
    except Exception as error:  # onnxruntime's own exceptions have no common base below Exception
        reason = " ".join(str(error).split())
        if device == "cuda":
            raise DeviceError(f"the GPU cannot run this model ({reason}); choose the device cpu") from error
        raise BundleError(
            f"{bundle.model_file(precision)}: does not run as bundle.json describes it ({reason}); "
            "export the checkpoint again"
        ) from error
    return runner
