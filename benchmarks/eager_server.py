"""The eager baseline: serves a checkpoint like the first Plotify, one request at a time, same API.

Run `python -m benchmarks.eager_server --model FOLDER --framework tensorflow`. docs/load.md explains the set-up.
"""

import asyncio
import functools
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import click
import msgspec
import uvicorn
from litestar import Litestar, Response, get, post
from litestar.response import Stream

from export.checkpoint import Checkpoint, read_checkpoint
from export.convert import load_tensorflow, to_torch
from export.errors import ExportError
from server.completions.errors import RequestError, refusal
from server.completions.routes import StrictRequest
from server.completions.schema import Choice, Completion, CompletionRequest, Model, ModelList, with_defaults
from server.completions.streaming import DONE, event
from server.cores import cores
from server.engine.text.detokenizer import Detokenizer, token_bytes
from server.http.responses import EVENT_STREAM
from server.writing.usage import Usage

OnToken = Callable[[int], None]
"""Takes each new token as soon as it is drawn. An exception from it ends the generation."""


class Left(Exception):
    """The client has left."""


class Eager:
    """A framework's own `generate`, in float32, with its KV cache, on all cores.

    Args:
        framework: "pytorch" for GPT2LMHeadModel, "tensorflow" for TFGPT2LMHeadModel.
    """

    def __init__(self, checkpoint: Checkpoint, framework: str) -> None:
        import tensorflow

        tensorflow.config.threading.set_intra_op_parallelism_threads(cores())
        self._model: Any = load_tensorflow(checkpoint)
        self._tensor, self._seed = tensorflow.constant, tensorflow.random.set_seed
        if framework == "pytorch":
            import torch

            torch.set_num_threads(cores())
            self._model = to_torch(self._model)
            self._tensor, self._seed = torch.tensor, torch.manual_seed
        self._inputs = self._model.prepare_inputs_for_generation
        self._end = self._model.config.eos_token_id

    def write(self, prompt: Sequence[int], order: CompletionRequest, limit: int, on_token: OnToken) -> None:
        """Generate up to `limit` tokens, and pass each to `on_token`, the end-of-text token included.

        `generate` calls `prepare_inputs_for_generation` before each step; its last input is the token just drawn.
        """
        steps = 0

        @functools.wraps(self._inputs)
        def inputs(tokens: Any, **more: Any) -> Any:
            nonlocal steps
            if steps:  # the first step is the prefill
                on_token(int(tokens[0, -1]))
            steps += 1
            return self._inputs(tokens, **more)

        self._model.prepare_inputs_for_generation = inputs
        self._model.generation_config.eos_token_id = end = None if order.ignore_eos else self._end
        self._seed(order.seed or 0)
        drawing = {"temperature": order.temperature, "top_k": order.top_k, "top_p": order.top_p}
        text = self._model.generate(
            self._tensor([prompt]),
            attention_mask=self._tensor([[1] * len(prompt)]),
            max_new_tokens=limit,
            eos_token_id=end,
            pad_token_id=self._end,
            **({"do_sample": True} | drawing if order.temperature != 0 else {"do_sample": False}),
        )
        for token in text[0, len(prompt) + steps - 1 :].numpy():
            on_token(int(token))


class Baseline:
    """Serves one model, one request at a time; the others wait in order.

    Attributes:
        written: the number of tokens sent since the start.
    """

    def __init__(self, checkpoint: Checkpoint, eager: Eager) -> None:
        self.checkpoint = checkpoint
        self.written = 0
        self._eager = eager
        self._pieces = token_bytes(checkpoint.tokenizer)
        self._thread = ThreadPoolExecutor(1)  # requests wait in its queue
        warming = CompletionRequest("", temperature=0)
        eager.write([checkpoint.model.end_of_text], warming, 2, lambda token: None)

    def read(self, order: CompletionRequest) -> list[int]:
        """Return the prompt's token ids.

        Raises:
            RequestError: the baseline does not serve such a request.
        """
        shape = self.checkpoint.model
        if order.model != self.checkpoint.name:
            said = f"model: this server has only {self.checkpoint.name!r}."
            raise RequestError(said, "model", "model_not_found", 404)
        if order.n != 1 or order.best_of not in (1, None) or order.logprobs is not None or order.echo:
            raise RequestError("The baseline gives one plain continuation: leave out n, best_of, logprobs and echo.")
        match order.prompt:
            case str() as text:
                prompt = self.checkpoint.encode(text)
            case [int(), *_] as ids if all(isinstance(token, int) and token < shape.vocab_size for token in ids):
                prompt = cast(list[int], ids)
            case _:
                raise RequestError("prompt: must be a text, or token ids from the vocabulary.", "prompt")
        if not 0 < len(prompt) < shape.context:
            said = f"prompt: {len(prompt)} tokens; must be 1 to {shape.context - 1}."
            raise RequestError(said, "prompt", "context_length_exceeded")
        return prompt

    async def write(self, prompt: Sequence[int], order: CompletionRequest) -> AsyncGenerator[Choice | Usage, None]:
        """Yield a choice for each token as it comes, one with the finish reason, and then the usage."""
        limit = min(order.max_tokens or 0, self.checkpoint.model.context - len(prompt))
        detokenizer, written, ended = Detokenizer(self._pieces), 0, False
        drawn: asyncio.Queue[int | None] = asyncio.Queue()
        loop, left = asyncio.get_running_loop(), False

        def on_token(token: int) -> None:
            if left:
                raise Left
            loop.call_soon_threadsafe(drawn.put_nowait, token)

        def generate() -> None:
            try:
                if limit and not left:
                    self._eager.write(prompt, order, limit, on_token)
            finally:
                loop.call_soon_threadsafe(drawn.put_nowait, None)

        writing = self._thread.submit(generate)
        try:
            while (token := await drawn.get()) is not None:
                ended = token == self.checkpoint.model.end_of_text and not order.ignore_eos
                if not ended:
                    written += 1
                    self.written += 1
                    yield Choice(detokenizer.push(token), 0)
        finally:
            left = True
        await asyncio.wrap_future(writing)  # raises its exception
        yield Choice(detokenizer.flush(), 0, finish_reason="stop" if ended else "length")
        yield Usage(len(prompt), written, len(prompt) + written)


def create_app(baseline: Baseline) -> Litestar:
    """Return an app with the part of OpenAI's API needed by a load test, and with the count of tokens."""
    name = baseline.checkpoint.name

    def completion(choices: list[Choice], usage: Any = msgspec.UNSET) -> Completion:
        return Completion(id="cmpl-eager", created=0, model=name, choices=choices, usage=usage)

    @post("/v1/completions", status_code=200, request_class=StrictRequest)
    async def complete(data: CompletionRequest) -> Response[Any]:
        order = with_defaults(data)
        prompt = baseline.read(order)
        if order.stream:
            return Stream(events(prompt, order), media_type=EVENT_STREAM)
        parts = [part async for part in baseline.write(prompt, order)]
        choices = [part for part in parts if isinstance(part, Choice)]
        text = "".join(choice.text for choice in choices)
        return Response(completion([Choice(text, 0, finish_reason=choices[-1].finish_reason)], parts[-1]))

    async def events(prompt: list[int], order: CompletionRequest) -> AsyncIterator[bytes]:
        usage_too = order.stream_options is not None and order.stream_options.include_usage
        async with aclosing(baseline.write(prompt, order)) as parts:
            async for part in parts:
                if isinstance(part, Choice):
                    yield event(completion([part]))
                elif usage_too:
                    yield event(completion([], part))
        yield DONE

    @get("/v1/models")
    async def list_models() -> ModelList:
        return ModelList(data=[Model(id=name, created=0)])

    @get("/healthz")
    async def health() -> dict[str, str | int]:
        return {"status": "ok", "model": name, "written": baseline.written}

    return Litestar(
        [complete, list_models, health],
        exception_handlers={Exception: lambda _, error: refusal(error)},
        openapi_config=None,
        logging_config=None,
    )


@click.command()
@click.option("--model", required=True, type=click.Path(path_type=Path), help="A checkpoint from `plotify train`.")
@click.option("--framework", default="tensorflow", show_default=True, type=click.Choice(["tensorflow", "pytorch"]))
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 listens on every network.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free port.")
def main(model: Path, framework: str, host: str, port: int) -> None:
    """Serve a checkpoint eagerly, one request at a time, until interrupted. This is the baseline.

    \b
    Example:
      python -m benchmarks.eager_server --model build/gpt2-small/checkpoint --framework tensorflow --port 8001
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        checkpoint = read_checkpoint(model)
        baseline = Baseline(checkpoint, Eager(checkpoint, framework))
    except ExportError as error:
        raise click.ClickException(str(error)) from error

    listener = socket.create_server((host, port))
    click.echo(f"Eager {framework} writes with {checkpoint.name} at http://{host}:{listener.getsockname()[1]}")
    config = uvicorn.Config(create_app(baseline), log_level="warning", timeout_graceful_shutdown=3)
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
