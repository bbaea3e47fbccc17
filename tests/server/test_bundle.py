"""A bundle is loaded whole or refused with one clear line."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from server.bundle import Bundle, BundleError, LengthClass, PromptTemplate
from server.engine import Engine, EngineConfig, Observer, Request, Sampling, StepStats

Damage = Callable[[str, bytes], Path]


class Counts(Observer):
    """Counts the tokens of prompts found in the prefix cache."""

    hits = 0

    def stepped(self, step: StepStats) -> None:
        self.hits += step.cache_hits


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as refused, Engine(Bundle.load(folder), EngineConfig(threads=1)):
        pass
    message = str(refused.value)
    assert "\n" not in message
    assert "again" in message or "name a folder" in message, "it says what to do"
    return message


def changed(tiny_bundle: Path, change: Callable[[dict[str, Any]], object]) -> bytes:
    manifest = json.loads((tiny_bundle / "bundle.json").read_bytes())
    change(manifest)
    return json.dumps(manifest).encode()


def test_a_whole_bundle_loads(tiny_bundle: Path) -> None:
    bundle = Bundle.load(str(tiny_bundle))
    assert bundle.manifest.name == "plotify-tiny"
    assert bundle.model_file("fp32").is_file()
    with pytest.raises(BundleError, match=r"no int3 model in this bundle; choose one of: .*fp32"):
        bundle.model_file("int3")


def test_no_folder(tmp_path: Path) -> None:
    assert "there is no such folder" in refusal(tmp_path / "nowhere")


def test_no_manifest(tmp_path: Path) -> None:
    assert "bundle.json cannot be read (No such file or directory)" in refusal(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 2}', b'{"format": 2, "name": 3}', b'{"a":' * 9999]
)
def test_a_manifest_that_is_none(damaged: Damage, content: bytes) -> None:
    assert "bundle.json: " in refusal(damaged("bundle.json", content))


@pytest.mark.parametrize("found", [0, 1, 4, "2", None])
def test_another_format(damaged: Damage, tiny_bundle: Path, found: object) -> None:
    folder = damaged("bundle.json", changed(tiny_bundle, lambda manifest: manifest.update(format=found)))
    assert f"format is {found!r}, this Plotify reads formats 2 and 3" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda manifest: manifest["model"].update(context="128"), "context"),
        (lambda manifest: manifest["model"].update(layers=0), "Expected `int` >= 1 - at `$.model.layers`"),
        (lambda manifest: manifest["model"].update(end_of_text=10**6), "outside the vocabulary"),
        (lambda manifest: manifest["model"].update(end_of_text=3), "is not a special token"),
        (lambda manifest: manifest["model"].update(context=129), "does not run as bundle.json describes it"),
        (
            lambda manifest: [each.update(cache_type="float64") for each in manifest["precisions"].values()],
            "not those of a 2-layer GPT-2",
        ),
        (lambda manifest: manifest["model"].update(layers=3), "not those of a 3-layer GPT-2"),
        (
            lambda manifest: manifest["model"].update(heads=4, head_dim=8),
            "the dimensions and cache type of bundle.json",
        ),
        (lambda manifest: manifest["model"].update(vocab_size=500), "the dimensions and cache type of bundle.json"),
        (lambda manifest: manifest["model"].update(layers=2**40), "Expected `int` <= 1048576 - at `$.model.layers`"),
        (lambda manifest: manifest["sampling"].update(top_p=0), "Expected `float` > 0.0 - at `$.sampling.top_p`"),
        (lambda manifest: manifest["engine"].update(block_size=0), "Expected `int` >= 1 - at `$.engine.block_size`"),
        (
            lambda manifest: manifest["engine"].update(block_size=513),
            "Expected `int` <= 512 - at `$.engine.block_size`",
        ),
        (
            lambda manifest: manifest["engine"].update(guidance_floor=0),
            "Expected `float` > 0.0 - at `$.engine.guidance_floor`",
        ),
        (
            lambda manifest: manifest["precisions"]["int8"].update(cache_type="int4"),
            "dimensions and cache type of bundle.json",
        ),
        (lambda manifest: manifest["model"].update(vocab_size=300), "tokens, but bundle.json says 300"),
        (lambda manifest: manifest["prompt"].update(template="{genre}"), "{genre} and {text}, once each"),
        (lambda manifest: manifest["prompt"].update(template="{text.__class__}{genre}"), "once each"),
        (lambda manifest: manifest["prompt"].update(template="{text}{genre"), "prompt"),
        (lambda manifest: manifest["prompt"].update(template="{genre:>9999999999}{text}"), "once each"),
        (lambda manifest: manifest["precisions"].clear(), "names no model"),
        (lambda manifest: manifest["precisions"]["fp32"].update(file="../model.onnx"), "not a file name"),
        (lambda manifest: manifest["tokenizer"].update(file=""), "not a file name"),
        (lambda manifest: manifest["tokenizer"].update(file=".."), "not a file name"),
        (lambda manifest: manifest["tokenizer"].update(file="a\0b"), "not a file name"),
        (lambda manifest: manifest.pop("sampling"), "sampling"),
    ],
)
def test_a_manifest_that_disagrees(
    damaged: Damage, tiny_bundle: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    assert says in refusal(damaged("bundle.json", changed(tiny_bundle, change)))


@pytest.mark.parametrize("name", ["model.fp32.onnx", "tokenizer.json"])
def test_a_file_with_one_bit_wrong(damaged: Damage, tiny_bundle: Path, name: str) -> None:
    content = bytearray((tiny_bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    message = refusal(damaged(name, bytes(content)))
    assert name in message
    assert "sha256 is" in message


@pytest.mark.parametrize("name", ["model.fp32.onnx", "tokenizer.json"])
def test_a_file_that_is_missing(tiny_bundle: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(tiny_bundle, tmp_path / "copy")
    (folder / name).unlink()
    assert f"{name}: cannot be read (No such file or directory)" in refusal(folder)


@pytest.mark.parametrize(
    ("kind", "name", "content", "says"),
    [
        ("tokenizer", "tokenizer.json", b"{}", "not a tokenizer"),
        ("int8", "model.int8.onnx", b"not a graph", "ONNX Runtime cannot load it"),
    ],
)
def test_a_file_that_is_something_else(
    damaged: Damage, tiny_bundle: Path, kind: str, name: str, content: bytes, says: str
) -> None:
    def sign(manifest: dict[str, Any]) -> None:
        entry = manifest["tokenizer"] if kind == "tokenizer" else manifest["precisions"][kind]
        entry["sha256"] = hashlib.sha256(content).hexdigest()

    folder = damaged(name, content)
    (folder / "bundle.json").write_bytes(changed(tiny_bundle, sign))
    assert says in refusal(folder)


def test_a_prompt_is_filled_in_as_text() -> None:
    template = PromptTemplate("{genre}: {text}", "Plot", ("Horror",))
    assert template.fill("a {genre} {0}") == "Plot: a {genre} {0}"
    assert template.fill("x", "Horror") == "Horror: x"
    with pytest.raises(ValueError, match="unknown genre 'Western'; this model knows Horror"):
        template.fill("x", "Western")


LENGTHS = (LengthClass("line", "A line", 1, 29), LengthClass("page", "A page", 30, None))
TAUGHT = {"length": ", {length}", "notes": " [{notes}]", "continues": " …", "lengths": LENGTHS}


def test_a_prompt_holds_length_and_notes_where_the_model_was_taught_them() -> None:
    template = PromptTemplate("{genre}{length}{notes}: {text}", "Plot", ("Horror",), **TAUGHT)  # type: ignore[arg-type]
    assert template.fill("A door") == "Plot: A door"
    assert template.fill("A door", "Horror", "line", ["Anna", "{x}"]) == "Horror, line [Anna, {x}]: A door"
    assert template.fill("a door", length="page", begins=False) == "Plot, page: … a door"
    assert [template.length_of(words) for words in (0, 29, 30, 9999)] == ["line", "line", "page", "page"]
    with pytest.raises(ValueError, match="unknown length 'tome'; this model knows line, page"):
        template.fill("x", length="tome")
    old = PromptTemplate("{genre}: {text}", "Plot", ("Horror",))
    assert old.length_of(50) is None
    assert old.fill("A door", None, None, ["Anna"], begins=False) == "Plot: A door"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"template": "{genre}: {text}"}, "template must hold {genre}, {length}, {notes} and {text}, once each"),
        ({"length": ", {genre}"}, "length must hold {length} once"),
        ({"notes": "[{notes!r}]"}, "notes must hold {notes} once"),
        ({"default_length": "tome"}, "default_length 'tome' is none of lengths"),
    ],
)
def test_a_prompt_that_cannot_be_filled_is_refused(
    damaged: Damage, tiny_bundle: Path, change: dict[str, Any], says: str
) -> None:
    taught = {**TAUGHT, "lengths": [], "template": "{genre}{length}{notes}: {text}", **change}
    folder = damaged("bundle.json", changed(tiny_bundle, lambda manifest: manifest["prompt"].update(taught)))
    assert says in refusal(folder)


def test_a_bundle_of_format_2_is_served(damaged: Damage, tiny_bundle: Path) -> None:
    def age(manifest: dict[str, Any]) -> None:
        manifest["format"] = 2
        del manifest["engine"], manifest["precisions"]["fp32"]["cache_type"]
        manifest["prompt"] = {name: manifest["prompt"][name] for name in ("template", "any_genre", "genres")}

    bundle = Bundle.load(damaged("bundle.json", changed(tiny_bundle, age)))
    with Engine(bundle, EngineConfig("fp32", threads=1)) as engine:
        assert list(engine.submit(Request("Plot: A door", Sampling(max_tokens=4, seed=1))))


def engine_with(damaged: Damage, tiny_bundle: Path, **numbers: float) -> Engine:
    """Load the bundle with other numbers in its engine contract."""
    folder = damaged("bundle.json", changed(tiny_bundle, lambda manifest: manifest["engine"].update(numbers)))
    return Engine(Bundle.load(folder), EngineConfig("fp32", threads=1))


def test_the_engine_takes_its_block_size_from_the_bundle(damaged: Damage, tiny_bundle: Path) -> None:
    prompt = "Plot: A door opens on a fox and a dog and a fox " * 3
    request = Request(prompt, Sampling(max_tokens=4, seed=1))
    observer = Counts()
    with engine_with(damaged, tiny_bundle, block_size=32) as engine:
        engine.observers.add(observer)
        first, second = ("".join(chunk.text for chunk in engine.submit(request)) for _ in range(2))
    tokens = len(engine.tokenizer.encode(prompt))
    assert first == second
    assert observer.hits == (tokens - 1) // 32 * 32 > 32


@pytest.mark.parametrize(("floor", "alike"), [(1.0, True), (0.02, False)])
def test_the_engine_takes_its_guidance_floor_from_the_bundle(
    damaged: Damage, tiny_bundle: Path, floor: float, alike: bool
) -> None:
    """With a floor of 1, guidance leaves only the likeliest token."""
    with engine_with(damaged, tiny_bundle, guidance_floor=floor) as engine:
        texts = set()
        for seed in range(4):
            sampling = Sampling(max_tokens=12, temperature=5.0, guidance=3.0, seed=seed, ignore_end=True)
            stream = engine.submit(Request("Horror: A door", sampling, "Plot: A door"))
            texts.add("".join(chunk.text for chunk in stream))
    assert (len(texts) == 1) is alike


@pytest.mark.parametrize("location", ["../secret.bin", "{folder}/secret.bin", "link.bin"])
def test_a_model_reads_nothing_outside_its_bundle(tiny_bundle: Path, tmp_path: Path, location: str) -> None:
    """ONNX Runtime accepts weights beside an ONNX file, but not elsewhere, even through a link."""
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    secret = tmp_path / "secret.bin"
    model = onnx.load(folder / "model.fp32.onnx")
    weights = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    secret.write_bytes(weights.raw_data)
    (folder / "link.bin").symlink_to(secret)
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location.format(folder=tmp_path))
    (folder / "model.fp32.onnx").write_bytes(model.SerializeToString())
    digest = hashlib.sha256((folder / "model.fp32.onnx").read_bytes()).hexdigest()

    def only_this(manifest: dict[str, Any]) -> None:
        manifest["precisions"] = {"fp32": manifest["precisions"]["fp32"] | {"sha256": digest}}

    (folder / "bundle.json").write_bytes(changed(tiny_bundle, only_this))
    assert "External data path" in refusal(folder)
