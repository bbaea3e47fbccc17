"""Invalid checkpoints are refused, naming the file and the problem."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.checkpoint import read_checkpoint
from export.errors import ExportError


@pytest.fixture
def damaged(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint, to be damaged."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    fields = json.loads(file.read_text())
    change(fields)
    file.write_text(json.dumps(fields))


def test_a_whole_one_is_read(tiny_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    assert (checkpoint.model.layers, checkpoint.model.head_dim, checkpoint.model.context) == (2, 16, 128)
    assert checkpoint.prompt.join("Horror", "A door") == "Horror: A door"
    assert checkpoint.prompt.join(None, "A door") == "Plot: A door"
    assert len(checkpoint.documents) == 60
    assert checkpoint.decode(checkpoint.encode("Zoë 東京 🎭")) == "Zoë 東京 🎭"


@pytest.mark.parametrize("name", ["config.json", "tf_model.h5", "tokenizer.json", "test.jsonl", "plotify.json"])
def test_a_missing_file_is_named(damaged: Path, name: str) -> None:
    (damaged / name).unlink()
    with pytest.raises(ExportError, match=rf"not a checkpoint.*{name} is missing"):
        read_checkpoint(damaged)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"nowhere: no such folder"):
        read_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("config.json", lambda fields: fields.update(model_type="bert"), r"config\.json: model_type is 'bert'"),
        ("config.json", lambda fields: fields.pop("n_head"), r"config\.json: n_head must be a whole number"),
        ("config.json", lambda fields: fields.update(vocab_size=100), r"tokenizer\.json: has 400 tokens.*only 100"),
        ("plotify.json", lambda fields: fields.pop("prompt"), r"plotify\.json: missing or malformed.*prompt"),
        (
            "plotify.json",
            lambda fields: fields["prompt"].update(template="{text} ({genre})"),
            r"plotify\.json: the prompt template .* must contain .* end with \{text\}",
        ),
        (
            "plotify.json",
            lambda fields: fields["sampling"].update(top_p="much"),
            r"plotify\.json: sampling\.top_p must be a number, not 'much'",
        ),
        (
            "tokenizer.json",
            lambda fields: fields["pre_tokenizer"].update(add_prefix_space=True),
            r"tokenizer\.json: not a byte-level BPE without added spaces",
        ),
        ("tokenizer.json", lambda fields: fields.pop("model"), r"tokenizer\.json: not a tokenizer"),
    ],
)
def test_a_wrong_field_is_named(
    damaged: Path, name: str, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(damaged / name, change)
    with pytest.raises(ExportError, match=message):
        read_checkpoint(damaged)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "A door", "genres": []}\n{"text": "half', r"test\.jsonl: line 2 is not a document"),
        ('{"title": "no text"}\n', r"test\.jsonl: line 1 is not a document.*'text'"),
        ("", r"test\.jsonl: contains no document"),
    ],
)
def test_held_out_documents_that_cannot_be_read_are_named_by_line(damaged: Path, content: str, message: str) -> None:
    (damaged / "test.jsonl").write_text(content)
    with pytest.raises(ExportError, match=message):
        read_checkpoint(damaged)
