"""The whole pipeline, from corpora to a streaming page: train, export and serve a tiny model."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server.following import following, start
from tests.training.corpora import DOES, ENDS, WHOM, write_corpora

PLOTIFY = Path(sys.executable).with_name("plotify")


def plotify(*words: object) -> str:
    done = subprocess.run([PLOTIFY, *map(str, words)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    mpst, cmu = write_corpora(folder)
    plotify("prepare", "--mpst", mpst, "--cmu", cmu, "--out", folder / "data")
    plotify(
        *("train", "--data", folder / "data", "--base", "minute", "--out", folder / "checkpoint"),
        *("--epochs", 12, "--batch-tokens", 512, "--learning-rate", 0.01),
    )
    plotify("export", folder / "checkpoint", "--out", folder / "bundle")
    return folder / "bundle"


@pytest.fixture(scope="module")
def address(bundle: Path) -> Iterator[str]:
    server = subprocess.Popen([PLOTIFY, "serve", "--model", bundle, "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    line = server.stdout.readline()
    found = re.search(r"http://\S+", line)
    assert found, f"the server said {line!r}"
    yield found[0]
    server.terminate()
    server.wait(timeout=30)


def test_the_page_offers_what_the_model_was_trained_on(address: str) -> None:
    page = httpx.get(address).text
    assert re.findall(r"<option>([^<]+)</option>", page) == ["Comedy", "Horror", "Science Fiction"]


def test_tokens_arrive_one_by_one_and_the_model_has_learned(address: str) -> None:
    events, words = 0, []
    fields = {
        "prompt": "A retired lighthouse keeper",
        "genre": "Horror",
        "length": "lines",
        "wildness": "1",
        "seed": "1",
    }
    with following(start(address, fields)) as source:
        for event in source.iter_sse():
            if event.event == "token":
                events += 1
                words.append(event.json()["text"])
            else:
                assert event.event == "done"
                done = event.json()
    assert events > 5
    assert done["seed"] == 1
    text = "".join(words)
    # the model is tiny, but has learned phrases of its corpus
    phrases = [" ".join(p.split()[i : i + 3]) for p in (*DOES, *WHOM, *ENDS) for i in range(len(p.split()) - 2)]
    assert any(phrase in text for phrase in phrases), text


def test_generate_and_the_stream_write_the_same_words_again(bundle: Path) -> None:
    words = ("generate", "A deaf violin maker", "--model", bundle, "--seed", 7, "--max-tokens", 20)
    first, second = plotify(*words), plotify(*words)
    assert first == second
    assert first.startswith("A deaf violin maker")
    assert len(first) > len("A deaf violin maker\n")
    others = {plotify(*words[:-3], seed, *words[-2:]) for seed in (8, 9, 10)}
    assert others != {first}  # so small a model may write the same line under two seeds


def test_the_manifest_tells_where_the_model_comes_from(bundle: Path) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert [corpus["file"] for corpus in manifest["provenance"]["corpora"]] == ["mpst.csv", "books.txt"]
    assert manifest["provenance"]["training"]["base"] == "minute"
    assert set(manifest["precisions"]) == {"fp32", "int8"}
    assert "in the layout of MPST" in (bundle / "MODEL_CARD.md").read_text()


def test_a_missing_extra_is_answered_with_the_line_that_installs_it() -> None:
    for package, command, extra in (("tensorflow", "train", "train"), ("onnx", "export", "export")):
        code = (
            f"import sys; sys.modules['{package}'] = None; from server.cli import main; "
            f"main(['{command}', *sys.argv[1:]])"
        )
        words = ["--data", ".", "--out", "x"] if command == "train" else [".", "--out", "x"]
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)
        assert done.returncode == 1
        assert f"{package} is not installed" in done.stderr
        assert f"-m pip install -c constraints.txt -e '.[{extra}]'" in done.stderr
        assert "Traceback" not in done.stderr
