"""A tiny model on this machine, made and exported like a real one."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from server.pictures import Fault, Picture, PictureError, Pictures, Progress
from server.pictures import local as local_module
from server.pictures.cap import HourlyCap
from server.pictures.local import MAX_STEPS, Local
from server.settings import Settings, SettingsError


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a tiny pipeline. It takes twenty seconds."""
    pytest.importorskip("diffusers", reason="the extra pictures is not installed")
    folder = tmp_path_factory.mktemp("pipeline")
    script = Path(__file__).with_name("tiny_pipeline.py")
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return folder / "onnx"


def settings(folder: Path) -> Settings:
    return Settings(pictures="local", pictures_model=str(folder), pictures_cap=2)


def pretend(folder: Path) -> None:
    """Make a folder with the file names of an exported pipeline."""
    (folder / "model_index.json").write_text("{}")
    (folder / "unet").mkdir()
    (folder / "unet" / "model.onnx").write_bytes(b"")


def test_it_draws_and_tells_each_step(pipeline: Path) -> None:
    async def work() -> None:
        pictures = Pictures(settings(pipeline))
        steps = [step async for step in pictures.illustrate("A fox. " * 100, "Fox", "Horror", "a")]
        assert steps[:2] == [Progress("Loading the model", 0.0), Progress("Drawing", 1 / MAX_STEPS)]
        assert [step.share for step in steps if isinstance(step, Progress)] == [n / MAX_STEPS for n in range(26)]
        picture = steps[-1]
        assert isinstance(picture, Picture)
        assert picture.media_type == "image/png"
        assert picture.content[16:24] == (64).to_bytes(4, "big") * 2, "width and height"
        assert picture.maker == "Stable Diffusion, onnx"
        await pictures.close()

    asyncio.run(work())


def test_a_reader_who_leaves_stops_it_at_the_next_step(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    left = threading.Event()
    load = local_module._load

    def load_watched(folder: Path) -> Any:
        pipe = load(folder)

        class Watched:
            def __call__(self, prompt: str, num_inference_steps: int = 50, callback_on_step_end: Any = None) -> Any:
                def after_step(*of_step: Any) -> Any:
                    steps.append(of_step[1])
                    found = callback_on_step_end(*of_step)
                    if not again:
                        left.wait(60)
                    return found

                return pipe(prompt, num_inference_steps=num_inference_steps, callback_on_step_end=after_step)

        return Watched()

    again: list[bool] = []
    monkeypatch.setattr(local_module, "_load", load_watched)

    async def work() -> None:
        pictures = Pictures(settings(pipeline))
        reading = pictures.illustrate("A fox.", "Fox", None, "a")
        while (await anext(reading)) != Progress("Drawing", 1 / MAX_STEPS):
            pass
        await reading.aclose()
        left.set()
        again.append(True)
        found = [step async for step in pictures.illustrate("A fox.", "Fox", None, "a")]
        assert isinstance(found[-1], Picture)
        assert found[0] == Progress("Drawing", 0.0), "the model is loaded already"

    asyncio.run(work())
    assert steps == [0, 1, *range(MAX_STEPS)]


def test_it_takes_only_so_long(pipeline: Path) -> None:
    async def work() -> None:
        with pytest.raises(PictureError, match="took too long") as caught:
            async for _ in Local(settings(pipeline), HourlyCap(1), patience=0).draw("A fox."):
                pass
        assert caught.value.fault is Fault.BROKEN

    asyncio.run(work())


def test_a_model_that_fails_is_said_in_words_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("diffusers", reason="the extra pictures is not installed")
    pretend(tmp_path)

    async def work() -> None:
        pictures = Pictures(settings(tmp_path))
        with pytest.raises(PictureError, match="The picture model failed") as caught:
            async for _ in pictures.illustrate("A fox.", "Fox", None, "a"):
                pass
        assert caught.value.fault is Fault.BROKEN

    asyncio.run(work())
    assert f"The diffusion pipeline in {tmp_path} failed" in caplog.messages


def test_a_folder_without_a_pipeline_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no model_index\.json with ONNX models beside it; docs/pictures"):
        Pictures(settings(tmp_path))
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(SettingsError, match="which is not an exported diffusion pipeline"):
        Pictures(settings(tmp_path))


def test_without_its_packages_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(tmp_path)
    monkeypatch.setattr(local_module, "_missing", lambda package: package == "diffusers")
    with pytest.raises(
        SettingsError,
        match=r"is 'local', but diffusers is not installed(.|\n)*-m pip install -c constraints.txt -e '.\[pictures\]'",
    ):
        Pictures(settings(tmp_path))
    monkeypatch.undo()
    assert local_module._missing("no_such_package.at_all")
