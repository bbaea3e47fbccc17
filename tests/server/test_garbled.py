"""Parsers raise only their own error, for any input."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from server.bundle import Bundle, BundleError
from server.completions.errors import RequestError, error_response
from server.completions.parsed_request import ParsedRequest
from server.completions.schema import CompletionRequest
from server.engine import Engine, EngineConfig, InvalidRequest
from server.engine.text.tokenizer import Tokenizer
from server.plots.place import EVENT_ID, LastEvent, UnknownEvent
from server.plots.schema import PlotRequest
from server.settings import Settings, SettingsError, variable
from server.writing.brief import DEFAULTS, Brief, BriefError

# All examples share the fixtures of this module.
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
FEWER = settings(SHARED, max_examples=40)

NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([-1, 0, 1, 2, 3, 127, 128, 399, 400, 2**31, 2**63, 2**64, 10**400])
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=8,
)
COMPLETION = st.dictionaries(st.sampled_from([field.name for field in msgspec.structs.fields(CompletionRequest)]), JSON)
TYPED = st.dictionaries(st.sampled_from([*DEFAULTS, "other"]), st.text())
SETTINGS = st.dictionaries(st.sampled_from([variable(field.name) for field in fields(Settings)]), st.text())


@st.composite
def mutations(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Draw a function that overwrites, cuts out, doubles or cuts off a few places of any content."""
    share = st.floats(0, 1, exclude_max=True)
    places = draw(st.lists(st.tuples(share, st.integers(1, 64), st.integers(0, 3), st.binary(max_size=4)), min_size=1))

    def mutate(content: bytes) -> bytes:
        changed = bytearray(content)
        for where, length, kind, other in places:
            at = int(where * len(changed))
            match kind:
                case 0:
                    changed[at : at + len(other)] = other
                case 1:
                    del changed[at : at + length]
                case 2:
                    changed[at:at] = changed[at : at + length]
                case _:
                    del changed[at:]
        return bytes(changed)

    return mutate


@SHARED
@given(body=st.one_of(COMPLETION.map(lambda content: json.dumps(content).encode()), st.binary()))
@example(b'{"model":"plotify-tiny","prompt":"' + b"a" * 100_000 + b'"}')
@example(b'{"model":"plotify-tiny","prompt":[[' + b"9" * 400 + b"]]}")
@example(b'{"model":"plotify-tiny","logit_bias":{"18446744073709551616":1}}')
@example(b"[" * 100_000)
def test_an_order(engine: Engine, body: bytes) -> None:
    refusal: Exception | None = None
    try:
        # With the name of the model, so that the other fields are checked.
        request = msgspec.json.decode(body, type=CompletionRequest)
        ParsedRequest.read(msgspec.structs.replace(request, model="plotify-tiny"), engine)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refusal = RequestError.of_json(error)
    except (RequestError, InvalidRequest) as error:
        refusal = error
    assert refusal is None or error_response(refusal).error.type == "invalid_request_error"


@SHARED
@given(TYPED)
def test_a_form(bundle: Bundle, typed: dict[str, str]) -> None:
    problems: dict[str, str] = {}
    try:
        brief = Brief.read(typed, bundle.manifest)
        assert brief.request(bundle.manifest, 256).sampling.seed == brief.seed
    except BriefError as error:
        problems = error.problems
    assert problems.keys() <= DEFAULTS.keys()


@SHARED
@given(st.dictionaries(st.sampled_from([*DEFAULTS, "other"]), JSON))
def test_a_brief_as_json(bundle: Bundle, content: dict[str, Any]) -> None:
    with suppress(msgspec.DecodeError, BriefError):
        brief = Brief.read(msgspec.json.decode(json.dumps(content), type=PlotRequest).typed, bundle.manifest)
        assert brief.prompt == content["prompt"].replace("\r\n", "\n").strip()


@given(st.text() | st.integers().map(str) | st.from_regex(EVENT_ID))
@example("٣")
@example("9" * 5000)
@example("1\n")
@example("1-0123456789\n")
def test_an_event(given: str) -> None:
    with suppress(UnknownEvent):
        last = LastEvent.read(given)
        assert 0 <= (last.place.tokens if last.place else last.number) < 10**9


@given(SETTINGS)
@example({"PLOTIFY_PORT": "9" * 5000})
@example({"PLOTIFY_PORT": "\ud800"})
def test_an_environment(environment: dict[str, str]) -> None:
    with suppress(SettingsError):
        assert Settings.read(environment).port in range(65536)


@pytest.fixture
def folder(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle to damage, with one model."""
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    for name in ("fp32", "fp16"):
        (folder / f"model.{name}.onnx").unlink()
    manifest = json.loads((folder / "bundle.json").read_bytes())
    manifest["precisions"] = {"int8": manifest["precisions"]["int8"]}
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


@contextmanager
def replaced(file: Path, change: Callable[[bytes], bytes]) -> Iterator[None]:
    """Replace the content of a file for the time of a `with`."""
    content = file.read_bytes()
    file.write_bytes(change(content))
    try:
        yield
    finally:
        file.write_bytes(content)


@contextmanager
def signed(folder: Path, name: str, change: Callable[[bytes], bytes]) -> Iterator[None]:
    """Replace a file of the bundle, and its sha256 in the manifest, for the time of a `with`."""
    before = hashlib.sha256((folder / name).read_bytes()).hexdigest().encode()
    with replaced(folder / name, change):
        after = hashlib.sha256((folder / name).read_bytes()).hexdigest().encode()
        with replaced(folder / "bundle.json", lambda manifest: manifest.replace(before, after)):
            yield


def load(folder: Path) -> None:
    """Read everything of a bundle, without a thread or a session."""
    with suppress(BundleError):
        bundle = Bundle.load(folder)
        for genre in (None, *bundle.manifest.prompt.genres):
            assert "a" in bundle.manifest.prompt.fill("a", genre)
        vocabulary = Tokenizer(bundle.tokenizer, bundle.manifest.model.context)
        assert all(0 <= token < vocabulary.size for token in vocabulary.encode("A fox 🦊 <|endoftext|>"))


@SHARED
@given(mutations())
def test_a_manifest_in_bytes(folder: Path, mutate: Callable[[bytes], bytes]) -> None:
    with replaced(folder / "bundle.json", mutate):
        load(folder)


@SHARED
@given(st.data())
def test_a_manifest_in_values(folder: Path, data: st.DataObject) -> None:
    manifest = json.loads((folder / "bundle.json").read_bytes())
    place = manifest
    while isinstance(place[name := data.draw(st.sampled_from(sorted(place)))], dict) and data.draw(st.booleans()):
        place = place[name]
        if not place:
            return
    place[name] = data.draw(JSON)
    with replaced(folder / "bundle.json", lambda _: json.dumps(manifest).encode()):
        load(folder)


@SHARED
@given(mutations())
def test_a_tokenizer(folder: Path, mutate: Callable[[bytes], bytes]) -> None:
    with signed(folder, "tokenizer.json", mutate):
        load(folder)


@FEWER
@given(mutations())
def test_a_model(folder: Path, mutate: Callable[[bytes], bytes]) -> None:
    with signed(folder, "model.int8.onnx", mutate), suppress(BundleError):
        Engine(Bundle.load(folder), EngineConfig(threads=1, rows=2, kept=0)).close()
