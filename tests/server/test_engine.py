"""Requests in, streams out: the same tokens as without a cache, ends, cancelling, errors, bounds."""

import asyncio
import gc
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from server.bundle import Bundle
from server.engine import Chunk, Engine, EngineBusy, EngineError, InvalidRequest, PromptTooLong, Request, Sampling
from server.engine.runner import Runner
from tests.server.live import wait_until_idle

PROMPT = "Plot: A detective in Lisbon"
GREEDY = Sampling(max_tokens=30, temperature=0)


def tokens_of(chunks: list[Chunk]) -> list[int]:
    return [token for chunk in chunks for token in chunk.token_ids]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def recomputed(bundle: Bundle, prompt: list[int], count: int) -> list[int]:
    """Greedy tokens, each from a whole run over everything before it."""
    shape = bundle.manifest.model
    session = ort.InferenceSession(bundle.model_file("fp32"), providers=["CPUExecutionProvider"])
    empty = np.zeros((1, shape.heads, 0, shape.head_dim), dtype=np.float32)
    past = {entry.name: empty for entry in session.get_inputs() if entry.name.startswith("past_key_values")}
    tokens = list(prompt)
    for _ in range(count):
        ids = np.array([tokens])
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "position_ids": np.arange(ids.size)[None]}
        tokens.append(int(session.run(["logits"], inputs | past)[0][0, -1].argmax()))
    return tokens[len(prompt) :]


def test_greedy_tokens_are_those_of_a_run_without_a_cache(bundle: Bundle, engine: Engine) -> None:
    prompt = bundle.tokenizer.encode(PROMPT).ids
    first, second = (list(engine.submit(Request(PROMPT, GREEDY))) for _ in range(2))
    expected = recomputed(bundle, prompt, GREEDY.max_tokens)
    assert bundle.manifest.model.end_of_text not in expected
    assert tokens_of(first) == tokens_of(second) == expected
    assert text_of(first) == bundle.tokenizer.decode(expected)


def test_text_and_token_ids_are_the_same_prompt(bundle: Bundle, engine: Engine) -> None:
    prompt = bundle.tokenizer.encode(PROMPT).ids
    as_text, as_tokens = engine.submit(Request(PROMPT, GREEDY)), engine.submit(Request(prompt, GREEDY))
    assert as_text.prompt_tokens == as_tokens.prompt_tokens == len(prompt)
    assert tokens_of(list(as_text)) == tokens_of(list(as_tokens))


def test_a_seed_gives_the_same_text_and_another_seed_another(engine: Engine) -> None:
    texts = [text_of(list(engine.submit(Request(PROMPT, Sampling(seed=seed))))) for seed in (1, 2, 1)]
    assert texts[0] == texts[2] != texts[1]


def test_a_drawn_seed_gives_its_text_again(engine: Engine) -> None:
    stream = engine.submit(Request(PROMPT, Sampling()))
    again = engine.submit(Request(PROMPT, Sampling(seed=stream.seed)))
    assert text_of(list(stream)) == text_of(list(again))
    assert len({engine.submit(Request(PROMPT, Sampling(max_tokens=1))).seed for _ in range(3)}) == 3


def test_a_stream_ends_with_length_at_max_tokens(engine: Engine) -> None:
    chunks = list(engine.submit(Request(PROMPT, replace(GREEDY, max_tokens=5))))
    assert len(tokens_of(chunks)) == 5
    assert [chunk.finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]


def test_a_stream_ends_with_length_where_the_context_ends(bundle: Bundle, engine: Engine) -> None:
    context = bundle.manifest.model.context
    for prompt_tokens in (context - 1, context - 7):
        chunks = list(engine.submit(Request([5] * prompt_tokens, replace(GREEDY, max_tokens=50))))
        assert len(tokens_of(chunks)) == context - prompt_tokens
        assert chunks[-1].finish_reason == "length"


def test_a_stream_ends_with_stop_at_the_end_of_text(bundle: Bundle) -> None:
    third = recomputed(bundle, bundle.tokenizer.encode(PROMPT).ids, 3)[2]
    ended_there = replace(bundle.manifest, model=replace(bundle.manifest.model, end_of_text=third))
    with Engine(replace(bundle, manifest=ended_there), threads=1) as engine:
        chunks = list(engine.submit(Request(PROMPT, GREEDY)))
    assert chunks[-1].finish_reason == "stop"
    assert third not in tokens_of(chunks)
    assert len(tokens_of(chunks)) <= 2


def test_many_at_once_get_what_one_alone_gets(engine: Engine) -> None:
    alone = [text_of(list(engine.submit(Request(PROMPT, Sampling(seed=seed))))) for seed in range(4)]
    streams = [engine.submit(Request(PROMPT, Sampling(seed=seed))) for seed in range(4)]

    async def read_all() -> list[str]:
        async def read(index: int) -> str:
            return "".join([chunk.text async for chunk in streams[index]])

        return list(await asyncio.gather(*map(read, reversed(range(4)))))

    assert asyncio.run(read_all())[::-1] == alone


def test_the_event_loop_stays_free_while_a_stream_is_read(engine: Engine, slow_decoding: float) -> None:
    async def count_while_reading() -> int:
        ticks, reading = 0, asyncio.create_task(read())
        while not reading.done():
            ticks += 1
            await asyncio.sleep(slow_decoding / 5)
        return ticks

    async def read() -> None:
        async for _ in engine.submit(Request(PROMPT, replace(GREEDY, max_tokens=8))):
            pass

    assert asyncio.run(count_while_reading()) >= 16


def test_cancelling_stops_within_one_decode_step(engine: Engine, slow_decoding: float) -> None:
    stream = engine.submit(Request(PROMPT, GREEDY))
    next(stream)
    stream.cancel()
    steps = engine.steps
    assert list(stream)[-1] == Chunk("", (), "cancelled")
    wait_until_idle(engine)
    assert engine.steps <= steps + 1
    assert list(stream) == []


def test_cancelling_wakes_a_reader(engine: Engine, slow_decoding: float) -> None:
    blocking, waiting = (engine.submit(Request(PROMPT, Sampling(max_tokens=40))) for _ in range(2))
    threading.Timer(0.1, waiting.cancel).start()
    assert [chunk.finish_reason for chunk in waiting] == ["cancelled"]
    assert engine.running == 1
    blocking.cancel()


def test_a_stream_that_nobody_holds_stops(engine: Engine, slow_decoding: float) -> None:
    stream = engine.submit(Request(PROMPT, GREEDY))
    next(stream)
    steps = engine.steps
    del stream
    gc.collect()
    wait_until_idle(engine)
    assert engine.steps <= steps + 1


def test_a_reader_whose_event_loop_has_ended_is_no_longer_served(engine: Engine, slow_decoding: float) -> None:
    stream = engine.submit(Request(PROMPT, GREEDY))

    async def wait_a_little() -> None:
        async with asyncio.timeout(slow_decoding / 2):
            async for _ in stream:
                pass

    with pytest.raises(TimeoutError):
        asyncio.run(wait_a_little())
    wait_until_idle(engine)
    assert engine.steps < GREEDY.max_tokens


def test_an_error_in_the_session_ends_one_stream_and_no_other(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = text_of(list(engine.submit(Request(PROMPT, GREEDY))))
    decode, calls = Runner.decode, iter(range(1000))

    def fail_once(runner: Runner, token_id: int) -> object:
        # A token outside the vocabulary makes ONNX Runtime itself fail.
        return decode(runner, 10**6 if next(calls) == 3 else token_id)

    monkeypatch.setattr(Runner, "decode", fail_once)
    failing, following = (engine.submit(Request(PROMPT, GREEDY)) for _ in range(2))
    with pytest.raises(EngineError, match="the model failed"):
        list(failing)
    assert list(failing) == []
    assert text_of(list(following)) == expected


def test_the_queue_is_bounded_and_frees_itself(engine: Engine, slow_decoding: float) -> None:
    running = engine.submit(Request(PROMPT, Sampling(max_tokens=100)))
    next(running)
    waiting = [engine.submit(Request(PROMPT, GREEDY)) for _ in range(engine.queue)]
    assert (engine.running, engine.waiting) == (1, engine.queue)
    with pytest.raises(EngineBusy, match="4 requests are waiting already; try again"):
        engine.submit(Request(PROMPT, GREEDY))
    waiting[1].cancel()
    assert engine.waiting == engine.queue - 1
    last = engine.submit(Request(PROMPT, replace(GREEDY, max_tokens=2)))
    for stream in (running, *waiting):
        stream.cancel()
    assert len(tokens_of(list(last))) == 2


@pytest.mark.parametrize(
    ("prompt", "says"),
    [("", "empty"), ([], "empty"), ([-1], "outside the vocabulary"), ([10**6], "outside"), ("\ud800", "not Unicode")],
)
def test_prompts_that_cannot_be_served(engine: Engine, prompt: str | list[int], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        engine.submit(Request(prompt, GREEDY))


def test_a_prompt_that_is_too_long_says_by_how_much(bundle: Bundle, engine: Engine) -> None:
    context = bundle.manifest.model.context
    with pytest.raises(PromptTooLong, match=f"is {context} tokens long, this model reads at most {context - 1}"):
        engine.submit(Request([5] * context, GREEDY))


def test_closing_ends_every_stream(bundle: Bundle, slow_decoding: float) -> None:
    engine = Engine(bundle, threads=1)
    streams = [engine.submit(Request(PROMPT, GREEDY)) for _ in range(3)]
    next(streams[0])
    engine.close()
    for stream in streams:
        with pytest.raises(EngineError, match="closed"):
            list(stream)
    with pytest.raises(EngineError, match="closed"):
        engine.submit(Request(PROMPT, GREEDY))


def test_the_engine_has_no_web_code_in_it() -> None:
    for module in (Path(__file__).parents[2] / "server" / "engine").glob("*.py"):
        assert "litestar" not in module.read_text()
