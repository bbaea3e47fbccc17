"""A text goes on behind tokens that another engine drew, as if this one had drawn them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from server.bundle import Bundle
from server.engine import Chunk, Engine, EngineConfig, InvalidRequest, Request, Sampling
from server.engine.arrays import Floats
from server.engine.model.loading import load_runner
from server.engine.model.runner import Runner
from server.settings import SHIPPED_MODEL
from tests.server.reading import PRECISIONS, some_requests, tokens_of
from tests.server.runs import Run

SHIPPED = Bundle.load(SHIPPED_MODEL)
WHOLE = Sampling(max_tokens=24, temperature=1, repetition_penalty=1.2, presence_penalty=0.5, ignore_end=True, seed=7)


def resumed(engine: Engine, request: Request, drawn: Sequence[Sequence[int]]) -> list[list[Chunk]]:
    begun = replace(request, drawn=tuple(map(tuple, drawn)), drawn_with=engine.arithmetic)
    streams = engine.submit_several(begun, len(drawn))
    return [list(stream) for stream in streams]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_stream_is_the_same(bundle: Bundle, precision: str) -> None:
    with Engine(bundle, EngineConfig(precision, threads=1, kept=2)) as engine:
        for place, request in enumerate(some_requests(30, seed=25)):
            whole = list(engine.submit(request))
            tokens = tokens_of(whole)
            for count in {1, place % len(tokens), len(tokens) - 1, len(tokens)}:
                assert resumed(engine, request, [tokens[:count]]) == [whole]


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_the_model_that_ships_prefills_what_was_drawn(runs: list[Run], guidance: float) -> None:
    request = Request("Crime: A fox", replace(WHOLE, guidance=guidance), against="Plot: A fox")
    with Engine(SHIPPED, EngineConfig(threads=1, rows=8)) as engine:
        whole = [list(stream) for stream in engine.submit_several(request, 3)]
        texts = [tokens_of(chunks) for chunks in whole]
        assert len(set(map(tuple, texts))) == 3
        runs.clear()
        assert resumed(engine, request, [texts[0][:20], (), texts[2][:7]]) == whole
        assert sum(run.kind == "decode" for run in runs) >= 23
        runs.clear()
        assert resumed(engine, request, [tokens[:20] for tokens in texts]) == whole
        decodes = sum(run.kind == "decode" for run in runs)
        # Each may begin a step after the one before it.
        assert decodes <= 4 + 2 if engine.arithmetic else decodes >= 23
        runs.clear()
        begun = replace(request, drawn=tuple(tuple(tokens[:20]) for tokens in texts), drawn_with="another processor's")
        assert [list(stream) for stream in engine.submit_several(begun, 3)] == whole
        assert sum(run.kind == "decode" for run in runs) >= 23


def test_stop_strings_and_words_to_avoid_hold_from_the_beginning(bundle: Bundle) -> None:
    with Engine(bundle, EngineConfig("int8", threads=1)) as engine:
        free = Request("A fox", WHOLE)
        text = "".join(chunk.text for chunk in engine.submit(free))
        for sampling in (
            replace(WHOLE, stop=(text[20:26],)),
            replace(WHOLE, bad_words=(text[20:26].strip(),)),
            replace(WHOLE, min_tokens=12, ignore_end=False),
        ):
            request = replace(free, sampling=sampling)
            whole = list(engine.submit(request))
            delivered = [token for chunk in whole[:-1] for token in chunk.token_ids]
            assert resumed(engine, request, [delivered]) == [whole]


def test_log_probabilities_are_computed_anew(bundle: Bundle) -> None:
    with Engine(bundle, EngineConfig("int8", threads=1)) as engine:
        request = Request("A fox", replace(WHOLE, logprobs=2), prompt_logprobs=1)
        whole = list(engine.submit(request))
        assert resumed(engine, request, [tokens_of(whole)[:9]]) == [whole]


def test_tokens_that_cannot_have_been_drawn_are_refused(bundle: Bundle, engine: Engine) -> None:
    for drawn, says in (([(1,), (2,)], "drawn: 2 for 1"), ([(bundle.manifest.model.vocab_size,)], "drawn: a token id")):
        with pytest.raises(InvalidRequest, match=says):
            engine.submit(Request("A fox", WHOLE, drawn=tuple(drawn)))


@pytest.mark.parametrize("differs", ["keys", "logits"])
def test_a_model_whose_prefill_gives_other_bits_draws_again(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, runs: list[Run], differs: str
) -> None:
    prefill: Callable[..., Floats] = Runner.prefill

    def altered(runner: Runner, row: int, start: int, pieces: Sequence[Sequence[int]]) -> Floats:
        logits = prefill(runner, row, start, pieces)
        if len(pieces) == 1 and len(pieces[0]) > runner.cache.block_size:
            changed = logits if differs == "logits" else runner.cache.sides[0].values[row, 0, 3]
            changed.view("u1")[..., 0] ^= 1
        return logits

    with monkeypatch.context() as patched:
        patched.setattr(Runner, "prefill", altered)
        assert load_runner(bundle, "cpu", "int8", 1, 2, False).arithmetic == ""
        engine = Engine(bundle, EngineConfig("int8", threads=1))
    with engine:
        request = Request("A fox", WHOLE)
        whole = list(engine.submit(request))
        runs.clear()
        assert resumed(engine, request, [tokens_of(whole)[:20]]) == [whole]
        assert sum(run.kind == "decode" for run in runs) == 23
