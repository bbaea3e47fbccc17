import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.corpora import invented_texts
from training.batches import Rows
from training.prepare import Document
from training.prompt import PromptTemplate
from training.tokenizer import END_OF_TEXT, train_tokenizer

PROMPT = PromptTemplate(("Comedy", "Horror"))
TOKENIZER = train_tokenizer(invented_texts(), 512)
GENRES: list[list[str]] = [[], ["Horror"], ["Comedy", "Horror"], ["Western"]]
DOCUMENTS = [
    Document(" ".join([text] * (1 + i % 3)), GENRES[i % 4], f"T{i}", "mpst") for i, text in enumerate(invented_texts())
]


def rows(documents: list[Document] = DOCUMENTS, seed: int = 1, batch_tokens: int = 512, context: int = 128) -> Rows:
    return Rows(documents, TOKENIZER, PROMPT, TOKENIZER.token_to_id(END_OF_TEXT), context, batch_tokens, seed)


@given(st.text(min_size=1, max_size=60), st.sampled_from([None, "Horror", "Comedy"]))
@settings(max_examples=200, deadline=None)
def test_a_document_has_the_tokens_of_its_filled_template(text: str, genre: str | None) -> None:
    """The prefix is tokenized apart from the text; a prompt in use is tokenized whole. Both must agree."""
    text = text.strip() or "x"
    whole = PROMPT.template.format(genre=genre or PROMPT.any_genre, text=text)
    parts = [*TOKENIZER.encode(PROMPT.prefix(genre)).ids, *TOKENIZER.encode(PROMPT.body(text)).ids]
    assert parts == TOKENIZER.encode(whole).ids


def test_any_text_survives_the_tokenizer() -> None:
    for text in ("naïve — “café” 😀\n\ttabs", "\x00\x7f", "東京", "plain"):
        assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


def test_an_epoch_reads_every_document_once_in_an_order_of_its_own() -> None:
    one = rows()
    epochs = [one.epoch(e) for e in (0, 1)]
    for epoch in epochs:
        assert sorted(int(i) for batch in epoch for i in batch) == list(range(len(one.documents)))
        assert len(epoch) == one.batches
    assert [list(b) for b in epochs[0]] != [list(b) for b in epochs[1]]
    assert [list(b) for b in rows().epoch(1)] == [list(b) for b in epochs[1]]
    assert [list(b) for b in rows(seed=2).epoch(1)] != [list(b) for b in epochs[1]]


def test_a_row_is_prefix_text_end_and_only_the_latter_two_are_targets() -> None:
    one = rows()
    seen = set()
    for members in one.epoch(0):
        batch = one.training_batch(members, epoch=3)
        again = one.training_batch(members, epoch=3)
        assert np.array_equal(batch.ids, again.ids)
        assert batch.ids.size <= 512
        for row, member in enumerate(members):
            document = one.documents[member]
            length = int(np.flatnonzero(batch.mask[row]).max()) + 1
            start = int(batch.mask[row].argmax())
            assert batch.mask[row, start:length].all()
            prefix = TOKENIZER.decode(batch.ids[row, :start].tolist())
            assert prefix in {f"{genre}:" for genre in ["Plot", *document.genres]} - {"Western:"}
            assert TOKENIZER.decode(batch.ids[row, start : length - 1].tolist()) == " " + document.text
            assert batch.ids[row, length - 1] == one.end_of_text
            assert not batch.ids[row, length:].any()
            seen.add(prefix)
        assert not batch.mask[len(members) :].any()
    assert seen == {"Plot:", "Horror:", "Comedy:"}


def test_shapes_are_those_of_the_buckets() -> None:
    one = rows()
    shapes = {one.evaluation_batch(members).ids.shape for members in one.epoch(0)}
    assert shapes <= {(512 // bucket, bucket) for bucket in one.buckets}
    assert len(shapes) > 1


def test_what_is_over_the_context_is_left_out_and_counted() -> None:
    long = Document(" ".join(invented_texts()[:20]), [], "Long", "cmu")
    one = rows([*DOCUMENTS[:3], long], context=64, batch_tokens=128)
    assert one.too_long == 4 - len(one.documents) >= 1
    assert "Long" not in {document.title for document in one.documents}
    assert one.bytes == sum(len(f" {d.text}".encode()) for d in one.documents)


def test_a_template_must_end_with_its_text() -> None:
    with pytest.raises(ValueError, match="end with"):
        PromptTemplate((), template="{text} ({genre})")
