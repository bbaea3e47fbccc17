"""Devices: the choice, the messages without a GPU, and a GPU's code on the cpu."""

import ctypes
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from server.bundle import Bundle
from server.engine import Engine, EngineConfig, EngineError, Request, Sampling
from server.engine.errors import DeviceError
from server.engine.model import device as devices
from server.engine.model import loading
from server.engine.model.cache import Cache
from server.engine.model.device import (
    COPYING,
    NO_DRIVER,
    NO_LIBRARIES,
    NO_PROVIDER,
    choose_device,
    choose_device_and_precision,
    driver_answers,
    gpu_name,
    open_session,
    what_cuda_lacks,
)
from server.engine.model.device_cache import DeviceCache
from server.engine.model.device_runner import DeviceRunner
from server.engine.model.runner import Runner


@pytest.fixture
def without_fp16(bundle: Bundle) -> Bundle:
    precisions = {name: each for name, each in bundle.manifest.precisions.items() if name != "fp16"}
    return replace(bundle, manifest=replace(bundle.manifest, precisions=precisions))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the code believe in a usable GPU."""
    monkeypatch.setattr(devices, "what_cuda_lacks", lambda: None)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "what_cuda_lacks", lambda: NO_DRIVER)


@pytest.fixture
def on_device(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the engine use a GPU's code in the processor's memory."""
    monkeypatch.setattr(loading, "DeviceRunner", partial(DeviceRunner, device="cpu"))


def test_the_cpu_is_taken_without_looking_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "what_cuda_lacks", lambda: pytest.fail("looked for a GPU"))
    assert choose_device("cpu") == "cpu"


@pytest.mark.usefixtures("no_gpu")
def test_auto_is_the_cpu_where_there_is_no_gpu_and_cuda_says_what_to_do(capfd: pytest.CaptureFixture[str]) -> None:
    assert choose_device("auto") == "cpu"
    assert capfd.readouterr() == ("", "")
    with pytest.raises(DeviceError, match="cuda: there is no working NVIDIA driver; install one") as caught:
        choose_device("cuda")
    assert isinstance(caught.value, EngineError)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("gpu")
def test_auto_is_cuda_where_there_is_a_gpu() -> None:
    assert choose_device("auto") == choose_device("cuda") == "cuda"


def test_a_build_of_onnx_runtime_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert what_cuda_lacks() == NO_PROVIDER


def test_a_missing_driver_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "DRIVER", "libno-such-driver.so.1")
    monkeypatch.setattr(ort, "get_available_providers", lambda: [devices.CUDA])
    assert not driver_answers()
    assert what_cuda_lacks() == NO_DRIVER


@pytest.mark.parametrize(
    ("initialized", "counted", "gpus", "answers"),
    [(0, 0, 1, True), (0, 0, 0, False), (100, 0, 1, False), (0, 3, 1, False)],
)
def test_a_driver_answers_that_starts_and_counts_a_gpu(
    monkeypatch: pytest.MonkeyPatch, initialized: int, counted: int, gpus: int, answers: bool
) -> None:
    def count(there: object) -> int:
        there._obj.value = gpus  # type: ignore[attr-defined]
        return counted

    driver = SimpleNamespace(cuInit=lambda flags: initialized, cuDeviceGetCount=count)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    assert driver_answers() is answers


def test_a_gpu_has_the_name_that_the_driver_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def name_it(name: Any, room: int, gpu: ctypes.c_int) -> int:
        assert gpu.value == 7
        name.value = b"Invented 4090"
        return 0

    def choose_it(gpu: object, index: int) -> int:
        gpu._obj.value = 7 + index  # type: ignore[attr-defined]
        return 0

    driver = SimpleNamespace(cuInit=lambda flags: 0, cuDeviceGet=choose_it, cuDeviceGetName=name_it)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    assert gpu_name() == "Invented 4090"


def test_missing_cuda_libraries_are_named_without_noise(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [devices.CUDA])
    monkeypatch.setattr(devices, "driver_answers", lambda: True)
    # A session looks like this if its CUDA provider cannot be loaded.
    monkeypatch.setattr(ort.InferenceSession, "get_providers", lambda session: ["CPUExecutionProvider"])
    assert what_cuda_lacks() == NO_LIBRARIES
    assert capfd.readouterr() == ("", "")
    assert "onnxruntime-gpu[cuda,cudnn]" in NO_LIBRARIES


@pytest.mark.usefixtures("gpu")
def test_a_gpu_is_taken_for_what_runs_on_it(bundle: Bundle, without_fp16: Bundle) -> None:
    assert choose_device_and_precision(bundle, "auto", None) == ("cuda", "fp16")
    assert choose_device_and_precision(bundle, "auto", "int8") == ("cpu", "int8")
    assert choose_device_and_precision(bundle, "cpu", None) == ("cpu", "int8")
    assert choose_device_and_precision(without_fp16, "auto", None) == ("cpu", "int8")


@pytest.mark.usefixtures("gpu")
def test_a_precision_that_does_not_run_on_a_gpu_is_refused(bundle: Bundle, without_fp16: Bundle) -> None:
    for carried, precision in ((bundle, "fp32"), (bundle, "int8"), (without_fp16, None)):
        with pytest.raises(DeviceError, match=r"does not run on cuda, where only fp16 does; export .*--precision all"):
            choose_device_and_precision(carried, "cuda", precision)


@pytest.mark.usefixtures("no_gpu")
def test_an_engine_without_a_gpu(bundle: Bundle) -> None:
    with Engine(bundle, EngineConfig(threads=1, rows=2, kept=0)) as engine:
        assert (engine.device, engine.precision) == ("cpu", "int8")
    with pytest.raises(DeviceError, match="no working NVIDIA driver"):
        Engine(bundle, EngineConfig(device="cuda"))


def test_the_copying_model_is_one_identity() -> None:
    source, target = (
        helper.make_tensor_value_info(name, TensorProto.UINT8, ["bytes"]) for name in ("source", "target")
    )
    graph = helper.make_graph([helper.make_node("Identity", ["source"], ["target"])], "copy", [source], [target])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    onnx.checker.check_model(model)
    assert model.SerializeToString() == COPYING


def test_a_session_of_the_cpu_is_one() -> None:
    assert open_session(COPYING, "cpu", ort.SessionOptions()).get_providers() == ["CPUExecutionProvider"]


def tensors_of(cache: Cache) -> list[Any]:
    """Return the OrtValue of each side."""
    return [side.values for side in cache.sides]


def rows_of(cache: Cache) -> list[np.ndarray]:
    """Return the rows of each side."""
    return [tensor.numpy().copy() for tensor in tensors_of(cache)]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_a_row_is_copied_and_no_other_changes(bundle: Bundle, dtype: type) -> None:
    shape = bundle.manifest.model
    cache, numbers = DeviceCache(shape, 3, dtype, "cpu"), np.random.default_rng(1)
    for tensor in tensors_of(cache):
        tensor.update_inplace(numbers.integers(-100, 100, tensor.shape()).astype(dtype))
    before = rows_of(cache)
    cache.copy(2, 0, shape.context)
    cache.copy(1, 1, shape.context)
    for old, new in zip(before, rows_of(cache), strict=True):
        assert np.array_equal(new[0], old[2])
        assert not np.array_equal(old[0], old[2])
        assert np.array_equal(new[1:], old[1:])


def test_both_caches_lay_rows_out_alike(bundle: Bundle) -> None:
    shape = bundle.manifest.model
    host, device = Cache(shape, 3, np.float16), DeviceCache(shape, 3, np.float16, "cpu")
    assert (host.capacity, host.dtype, host.row_bytes) == (device.capacity, device.dtype, device.row_bytes)
    assert [side.name for side in host.sides] == [side.name for side in device.sides]
    for cache in (host, device):
        side = cache.sides[1]
        assert cache.address(side, 2) - cache.address(side, 0) == 2 * shape.heads * cache.capacity * shape.head_dim * 2
    assert not any(rows.any() for rows in rows_of(device))


def test_a_cache_that_does_not_fit_says_so(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise RuntimeError("CUDA failure 2: out of memory")

    monkeypatch.setattr(ort.OrtValue, "ortvalue_from_numpy", no_memory)
    with pytest.raises(DeviceError, match=r"no room for 3 rows of cache; use fewer .*out of memory"):
        DeviceCache(bundle.manifest.model, 3, np.float16, "cpu")


@pytest.fixture(params=["fp32", "fp16", "int8"])
def runners(request: pytest.FixtureRequest, bundle: Bundle) -> tuple[Runner, DeviceRunner]:
    return Runner(bundle, request.param, 1, 4), DeviceRunner(bundle, request.param, 1, 4, device="cpu")


def test_a_runner_on_a_device_computes_the_same(runners: tuple[Runner, DeviceRunner]) -> None:
    """Prefills together, in pieces and with all logits, decodes of several sizes, and a copied row.

    On a device total_sequence_length is always the capacity, so only the lengths of the rows count.
    """
    given: list[list[np.ndarray]] = []
    for runner in runners:
        logits = [runner.prefill(0, 0, [[5, 6, 7], [8, 9]]).copy()]
        logits.append(runner.prefill(2, 0, [list(range(16))]).copy())
        logits.append(runner.prefill(2, 16, [list(range(20))]).copy())
        logits.append(runner.decode([1, 2, 3], [3, 2, 36]).copy())
        logits.append(runner.decode([4, 5, 6], [4, 3, 37]).copy())
        runner.cache.copy(2, 1, 38)
        logits.append(runner.decode([7, 8], [5, 38]).copy())
        logits += [part.copy() for (part,) in runner.prefill_all_logits(3, 0, [list(range(40))])]
        given.append(logits)
    for host, device in zip(*given, strict=True):
        assert host.shape == device.shape
        assert np.array_equal(host, device)
    assert runners[1].seconds > 0


def test_a_device_writes_the_cache_in_place(bundle: Bundle) -> None:
    runner = DeviceRunner(bundle, "fp32", 1, 2, device="cpu")
    places = [runner.cache.address(side, 0) for side in runner.cache.sides]
    runner.prefill(0, 0, [[5, 6, 7]])
    held = rows_of(runner.cache)
    assert all(rows[0, :, :3].any() and not rows[1].any() for rows in held)
    runner.decode([1], [3])
    for before, after in zip(held, rows_of(runner.cache), strict=True):
        assert np.array_equal(before[0, :, :3], after[0, :, :3])
        assert not np.array_equal(before[0, :, 3], after[0, :, 3])
    assert places == [runner.cache.address(side, 0) for side in runner.cache.sides]


def texts(bundle: Bundle, device: str) -> list[str]:
    """Return the texts of several requests at once: long, short, with cache hits, guided and not."""
    prompts = ["A detective in Lisbon", "Two sisters and a lighthouse " * 8, "A detective in Lisbon"]
    with Engine(bundle, EngineConfig(threads=1, rows=6, kept=2, precision="fp16", device=device)) as engine:
        assert engine.device == device
        requests = [
            Request(prompt, Sampling(max_tokens=20, seed=seed), against="Plot:" if seed % 2 else None)
            for seed, prompt in enumerate(prompts * 2)
        ]
        streams = [stream for request in requests for stream in engine.submit_several(request, 2)]
        return ["".join(chunk.text for chunk in stream) for stream in streams]


@pytest.mark.usefixtures("on_device")
def test_a_whole_engine_on_a_device_writes_the_same(bundle: Bundle) -> None:
    assert texts(bundle, "cuda") == texts(bundle, "cpu")


@pytest.mark.usefixtures("on_device")
def test_a_gpu_that_fails_is_not_blamed_on_the_bundle(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(runner: DeviceRunner, *_: object) -> None:
        raise RuntimeError("CUDA error 700:\n an illegal memory access")

    monkeypatch.setattr(DeviceRunner, "decode", fail)
    with pytest.raises(DeviceError, match=r"cannot run this model \(CUDA error 700: an illegal .*device cpu"):
        Engine(bundle, EngineConfig(device="cuda"))


@pytest.mark.usefixtures("gpu")
def test_an_engine_hands_on_whether_to_capture_graphs(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Mock(side_effect=partial(DeviceRunner, device="cpu"))
    monkeypatch.setattr(loading, "DeviceRunner", made)
    for capture in (True, False):
        Engine(bundle, EngineConfig(rows=1, kept=0, device="cuda", capture=capture)).close()
    assert [call.kwargs["capture"] for call in made.call_args_list] == [True, False]
