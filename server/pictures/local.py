"""Pictures from Stable Diffusion on this machine, through Optimum's ONNX pipeline: the extra `pictures`."""

import asyncio
import importlib.util
import inspect
import io
import logging
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from server.pictures.cap import HourlyCap
from server.pictures.picture import Fault, PictureError, Progress
from server.settings import Settings, SettingsError

logger = logging.getLogger(__name__)

MAX_STEPS = 25
"""Denoising steps; models that are made for few, such as LCM, take their own default."""

FAILED = "The model that draws pictures failed. Tell whoever runs this server to look at the log."
HIDDEN = "The model does not show what it drew. Change the plot's last sentences, or go on."
TOO_LONG = "The picture took too long. Try again when less is going on."


class Stopped(Exception):
    """Nobody waits for the picture any more."""


class Local:
    """A pipeline in a folder, as `optimum-cli export onnx` writes it; loaded for the first picture, then kept.

    patience: seconds that a picture may take. Raises SettingsError for a folder without a pipeline, and where the
    packages are missing.
    """

    at_once = 1

    def __init__(self, settings: Settings, cap: HourlyCap, patience: float = 900) -> None:
        self._folder = Path(settings.pictures_model)
        if not (self._folder / "model_index.json").is_file() or not any(self._folder.glob("*/*.onnx")):
            raise SettingsError(
                f"PLOTIFY_PICTURES_MODEL is {settings.pictures_model!r}, which is no exported diffusion pipeline: it "
                "has no model_index.json with ONNX models beside it; docs/pictures.md says how to make one"
            )
        for package in ("diffusers", "optimum.onnxruntime"):
            if _missing(package):
                raise SettingsError(
                    f"PLOTIFY_PICTURES is 'local', which needs {package}, which is not installed. Install it with:\n"
                    f"  {sys.executable} -m pip install -c constraints.txt -e '.[pictures]'"
                )
        self.maker = f"Stable Diffusion, {self._folder.name}"
        self._cap = cap
        self._patience = patience
        self._pipeline: Any = None
        self._one_at_a_time = threading.Lock()

    async def draw(self, prompt: str) -> AsyncGenerator[Progress | bytes, None]:
        loop = asyncio.get_running_loop()
        shares: asyncio.Queue[float | None] = asyncio.Queue()
        stop = threading.Event()

        def tell(share: float) -> None:
            if not loop.is_closed():  # as it may be when the server has stopped in the middle
                loop.call_soon_threadsafe(shares.put_nowait, share)

        def ended(drawing: asyncio.Task[bytes]) -> None:
            if not drawing.cancelled():
                drawing.exception()  # which asyncio would complain of where nobody waits for it any more
            shares.put_nowait(None)

        self._cap.take()
        yield Progress("Drawing" if self._pipeline else "Loading the model", 0.0)
        drawing = asyncio.create_task(asyncio.to_thread(self._draw, prompt, tell, stop))
        drawing.add_done_callback(ended)
        try:
            while (share := await shares.get()) is not None:
                yield Progress("Drawing", share)
            content = await drawing
        finally:
            stop.set()
        yield content

    def _draw(self, prompt: str, tell: Callable[[float], None], stop: threading.Event) -> bytes:
        """On a thread. One that was stopped may still be in a step when the next begins, which waits for it."""
        with self._one_at_a_time:
            end = time.monotonic() + self._patience
            if stop.is_set():
                return b""  # nobody reads it
            try:
                pipeline = self._pipeline = self._pipeline or _load(self._folder)
                default = inspect.signature(pipeline.__call__).parameters["num_inference_steps"].default
                steps = min(default, MAX_STEPS)

                def after_step(_: Any, step: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
                    if stop.is_set():
                        raise Stopped
                    if time.monotonic() > end:
                        raise TimeoutError
                    tell((step + 1) / steps)
                    return tensors

                result = pipeline(prompt, num_inference_steps=steps, callback_on_step_end=after_step)
            except Stopped:
                return b""
            except TimeoutError:
                raise PictureError(Fault.BROKEN, TOO_LONG, f"not done after {self._patience:g} seconds") from None
            except Exception:
                logger.exception("The diffusion pipeline in %s failed", self._folder)
                raise PictureError(Fault.BROKEN, FAILED, "the pipeline failed") from None
        if any(getattr(result, "nsfw_content_detected", None) or ()):
            raise PictureError(Fault.REFUSED, HIDDEN, "the safety checker hid the picture")
        written = io.BytesIO()
        result.images[0].save(written, "PNG")
        return written.getvalue()

    async def close(self) -> None:
        self._pipeline = None


def _missing(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is None
    except ModuleNotFoundError:  # of the package around it
        return True


def _load(folder: Path) -> Any:
    from diffusers.utils.logging import set_verbosity_error
    from optimum.onnxruntime import ORTPipelineForText2Image

    set_verbosity_error()  # its warning of a prompt that is too long repeats it
    pipeline = ORTPipelineForText2Image.from_pretrained(folder, export=False, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
