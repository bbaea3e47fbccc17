import re
from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.corpora import invented_texts
from training.batches import Batch, Rows, pack
from training.guided_rows import GuidedRows
from training.prepare import Document
from training.prompt import PromptTemplate
from training.tokenizer import END_OF_TEXT, train_tokenizer

PROMPT = PromptTemplate(("Comedy", "Horror"))
TOKENIZER = train_tokenizer(invented_texts(), 512)
GENRES: list[list[str]] = [[], ["Horror"], ["Comedy", "Horror"], ["Western"]]
CONTEXT = 128


def document(number: int, text: str) -> Document:
    """Make a document. Some lack their beginning or end, some are prose, some have names."""
    return Document(
        " ".join([text] * (1 + number % 3)), GENRES[number % 4], f"T{number}", "prose" if number % 7 == 6 else "mpst",
        words=20 * (number % 13), names=["Anna", "Lisbon"][: number % 3], begins=number % 5 > 0, ends=number % 9 > 0,
    )  # fmt: skip


DOCUMENTS = [document(i, text) for i, text in enumerate(invented_texts())]


def rows(documents: list[Document] = DOCUMENTS, seed: int = 1, batch_tokens: int = 512, context: int = CONTEXT) -> Rows:
    return Rows(documents, TOKENIZER, PROMPT, TOKENIZER.token_to_id(END_OF_TEXT), context, batch_tokens, seed)


def read(batch: Batch) -> list[tuple[str, str, bool]]:
    """Return the documents of a batch as (prefix, text, True if the end of text follows)."""
    end_of_text = TOKENIZER.token_to_id(END_OF_TEXT)
    found = []
    for ids, starts, mask in zip(batch.ids, batch.starts, batch.mask, strict=True):
        for start in np.unique(starts):
            whole = np.flatnonzero(starts == start)
            if not mask[whole].any():
                assert not ids[whole].any()
                continue
            assert (np.diff(whole) == 1).all()
            body = whole[mask[whole] == 1]
            assert body[-1] == whole[-1]
            text = ids[body].tolist()
            ended = text[-1] == end_of_text
            prefix = TOKENIZER.decode(ids[whole[: -len(body)]].tolist())
            found.append((prefix, TOKENIZER.decode(text[:-1] if ended else text), ended))
    return found


NOTES = st.lists(st.sampled_from(["Anna", "Lisbon", "the lake house"]), max_size=2, unique=True)


@given(
    st.text(min_size=1, max_size=60), st.sampled_from([None, "Horror"]), st.sampled_from([None, "lines"]), NOTES,
    st.booleans(),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_a_prefix_apart_has_the_tokens_that_it_has_before_its_text(
    text: str, genre: str | None, length: str | None, notes: list[str], begins: bool
) -> None:
    """Training tokenizes prefix and text apart. At inference, a prompt is tokenized whole.

    Both must give the same tokens.
    """
    text = text.strip() or "x"
    prefix, body = PROMPT.prefix(genre, length, notes, begins), PROMPT.body(text)
    assert [*TOKENIZER.encode(prefix).ids, *TOKENIZER.encode(body).ids] == TOKENIZER.encode(prefix + body).ids


def test_a_prefix_holds_what_it_is_given_and_no_more() -> None:
    assert PROMPT.prefix(None) + PROMPT.body("A door") == "Plot: A door"
    assert PROMPT.prefix("Horror", "lines", ["Anna", "Lisbon"]) == "Horror, lines [Anna, Lisbon]:"
    assert PROMPT.prefix("Horror", begins=False) == "Horror: …"


def test_length_classes_follow_one_another() -> None:
    assert [PROMPT.length_of(words) for words in (1, 29, 30, 99, 100, 219, 220, 9999)] == [
        "line", "line", "lines", "lines", "paragraph", "paragraph", "page", "page",
    ]  # fmt: skip


def test_any_text_survives_the_tokenizer() -> None:
    for text in ("naïve — “café” 😀\n\ttabs", "\x00\x7f", "東京", "plain"):
        assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


def test_an_epoch_reads_every_document_once_in_an_order_of_its_own() -> None:
    one = rows()
    epochs = [one.epoch(e) for e in (0, 1)]
    for epoch in epochs:
        assert sorted(i for batch in epoch for row in batch for i in row) == list(range(len(one.documents)))
        assert all(len(batch) == one.rows == 4 for batch in epoch[:-1])
    assert epochs[0] != epochs[1]
    assert rows().epoch(1) == epochs[1]
    assert rows(seed=2).epoch(1) != epochs[1]
    assert one.batches_in(2) == len(epochs[0]) + len(epochs[1])
    assert one.batches_in(2, most=3) == 3


def test_a_stream_goes_on_where_a_killed_training_stood() -> None:
    stream = rows().training_stream(0)
    batches = [next(stream) for _ in range(len(rows().epoch(0)) + 3)]
    for step in (0, 5, len(batches) - 2):
        again = next(rows().training_stream(step))
        assert np.array_equal(again.ids, batches[step].ids)
        assert np.array_equal(again.starts, batches[step].starts)
        assert np.array_equal(again.mask, batches[step].mask)


def test_a_row_holds_documents_behind_their_prefixes_and_only_texts_are_targets() -> None:
    one = rows()
    stream = one.training_stream(0)
    found = [each for _ in range(one.batches_in(3)) for each in read(next(stream))]
    texts = Counter(text for _, text, _ in found)
    assert texts == {f" {document.text}": 3 for document in one.documents}
    ends = {f" {document.text}": document.ends for document in one.documents}
    assert all(ended == ends[text] for _, text, ended in found)
    heads = Counter(prefix.partition(":")[0].partition(",")[0].partition(" [")[0] for prefix, _, _ in found)
    assert heads.keys() == {"Plot", "Horror", "Comedy", "Story"}
    kinds = {"length": ", lines", "no length": "Horror:", "notes": "[Anna]", "continued": ": …"}
    assert all(any(part in prefix for prefix, _, _ in found) for part in kinds.values())
    assert not any("Story, " in prefix for prefix, _, _ in found)


def test_guidance_is_learned_from_the_same_texts_at_the_same_places_with_and_without_genres() -> None:
    genres = ["Science Fiction", "War"]  # one has more tokens than "Plot", one has fewer
    documents = [replace(each, genres=genres[number % 3 :]) for number, each in enumerate(DOCUMENTS)]
    prompt = PromptTemplate(tuple(genres))
    guided = GuidedRows(documents, TOKENIZER, prompt, TOKENIZER.token_to_id(END_OF_TEXT), CONTEXT, 512, seed=1)
    longer = {len(prefix) - len(guided.plain(prefix)) for prefix in guided.drawn_prefixes(0)}
    assert min(longer) < 0 < max(longer)
    found = []
    for batch in islice(guided.training_stream(0), len(guided.epoch(0))):
        half = len(batch.ids) // 2
        assert not batch.mask[half:].any()
        with_genre = read(Batch(batch.ids[:half], batch.starts[:half], batch.mask[:half]))
        without = read(Batch(batch.ids[half:], batch.starts[half:], batch.mask[:half]))
        assert [(re.sub("^(Science Fiction|War)", "Plot", prefix), *rest) for prefix, *rest in with_genre] == without
        found += with_genre
    assert len(found) == len(guided.documents)
    assert {re.split("[,: ]", prefix)[0] for prefix, *_ in found} == {"Science", "War", "Plot"}


def test_an_evaluation_reads_every_document_with_its_first_genre_and_its_length() -> None:
    one = rows()
    stream = one.evaluation_stream()
    found = {text: prefix for _ in one.evaluated[1] for prefix, text, _ in read(next(stream))}
    assert found == {f" {each.text}": one.plain_prefix(each) for each in one.documents}
    assert one.plain_prefix(DOCUMENTS[2]) == "Comedy, lines:"


def test_next_to_nothing_is_padding() -> None:
    one = rows(DOCUMENTS[::3])
    stream, batches = one.training_stream(0), one.batches_in(1)
    tokens = sum(int((next(stream).ids != 0).sum()) for _ in range(batches))
    assert tokens > 0.9 * (batches - 1) * one.rows * CONTEXT


@given(st.lists(st.integers(1, 50), min_size=1, max_size=300))
def test_packing_places_every_document_where_it_fits(lengths: list[int]) -> None:
    packed = pack(range(len(lengths)), lengths, 50)
    assert sorted(i for row in packed for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= 50 for row in packed)


def test_documents_over_the_context_are_left_out_and_counted() -> None:
    long = Document(" ".join(invented_texts()[:20]), [], "Long", "cmu", words=300)
    one = rows([*DOCUMENTS[:3], long], context=96, batch_tokens=192)
    assert one.too_long == 4 - len(one.documents) >= 1
    assert "Long" not in {document.title for document in one.documents}
    assert one.bytes == sum(len(f" {d.text}".encode()) for d in one.documents)


def test_a_split_is_read_up_to_the_tokens_asked_for() -> None:
    end_of_text = TOKENIZER.token_to_id(END_OF_TEXT)
    some = Rows(DOCUMENTS, TOKENIZER, PROMPT, end_of_text, CONTEXT, 512, 1, most_tokens=1000)
    assert 900 < some.tokens <= 1000
    assert some.documents == rows().documents[: len(some.documents)]


def test_a_template_must_end_with_its_text() -> None:
    with pytest.raises(ValueError, match="end with"):
        PromptTemplate((), template="{text} ({genre})")
