"""Pictures from Stable Diffusion on this machine. Optimum's ONNX pipeline needs the extra `pictures`."""

import asyncio
import importlib.util
import inspect
import io
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from server.extras import missing
from server.pictures.cap import HourlyCap
from server.pictures.picture import Fault, PictureError, Progress
from server.settings import Settings, SettingsError

logger = logging.getLogger(__name__)

MAX_STEPS = 25
"""Denoising steps. A model made for fewer, such as LCM, takes its own default."""

FAILED = "The picture model failed. Ask the server's operator to look at the log."
HIDDEN = "The model hides what it drew. Change the plot's last sentences, or go on."
TOO_LONG = "The picture took too long. Try again when the server is less busy."


class Stopped(Exception):
    """The reader of the picture has left."""


class Local:
    """A pipeline from `optimum-cli export onnx`, loaded for the first picture and then kept.

    patience: seconds for a picture. Raises SettingsError for a folder without a pipeline, and for missing
    packages.
    """

    at_once = 1

    def __init__(self, settings: Settings, cap: HourlyCap, patience: float = 900) -> None:
        self._folder = Path(settings.pictures_model)
        if not (self._folder / "model_index.json").is_file() or not any(self._folder.glob("*/*.onnx")):
            raise SettingsError(
                f"PLOTIFY_PICTURES_MODEL is {settings.pictures_model!r}, which is not an exported diffusion pipeline: "
                "it has no model_index.json with ONNX models beside it; docs/pictures.md says how to make one"
            )
        for package in ("diffusers", "optimum.onnxruntime"):
            if _missing(package):
                raise SettingsError(f"PLOTIFY_PICTURES is 'local', but {missing(package, 'pictures')}")
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
            if not loop.is_closed():  # the server may have stopped meanwhile
                loop.call_soon_threadsafe(shares.put_nowait, share)

        def ended(drawing: asyncio.Task[bytes]) -> None:
            if not drawing.cancelled():
                drawing.exception()  # or asyncio would complain if its reader has left
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
        """Draw, on a thread. A stopped drawing may still be in a step; the next one waits for it."""
        with self._one_at_a_time:
            end = time.monotonic() + self._patience
            if stop.is_set():
                return b""  # its reader has left
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
    except ModuleNotFoundError:  # the parent package is missing
        return True


def _load(folder: Path) -> Any:
    from diffusers.utils.logging import set_verbosity_error
    from optimum.onnxruntime import ORTPipelineForText2Image

    set_verbosity_error()  # its warning about a long prompt repeats the prompt
    pipeline = ORTPipelineForText2Image.from_pretrained(folder, export=False, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
