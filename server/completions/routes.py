"""Completions, and the model that writes them, as OpenAI's clients ask for them."""

import asyncio
import time
from functools import partial
from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from server.completions.errors import RequestError, openai_error
from server.completions.full import full_completion
from server.completions.parsed_request import ParsedRequest, check_model
from server.completions.running import RunningCompletion
from server.completions.schema import Completion, CompletionRequest, ErrorResponse, Model, ModelList
from server.completions.streaming import completion_events
from server.engine import AnyEngine
from server.http.access import Access, for_completion
from server.http.dependency import EngineDependency
from server.http.rate_limit import WORK
from server.http.request import CLIENT_LEFT, TimedRequest
from server.http.responses import key_errors, rate_errors, response_spec, server_errors
from server.http.sse import event_stream

error_spec = partial(response_spec, ErrorResponse)
"""An error of /v1, as its operation describes it."""

COMMON = key_errors(error_spec) | server_errors(error_spec)
"""Responses of all operations."""

STARTED = int(time.time())


class StrictRequest(TimedRequest):
    """One whose body is decoded as what it has to be; Litestar alone would take "1" for 1."""

    async def json(self) -> CompletionRequest:
        """Raises RequestError, which names the field."""
        try:
            return msgspec.json.decode(await self.body(), type=CompletionRequest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RequestError.of_json(error) from error


@post(
    "/completions",
    status_code=200,
    request_class=StrictRequest,
    opt={WORK: True},
    operation_id="createCompletion",
    summary="Continue a prompt",
    responses=COMMON
    | rate_errors(error_spec)
    | {
        200: response_spec(
            Completion, description="The completion; with `stream`, chunks of one as text/event-stream."
        ),
        400: error_spec(description="Something in the request is wrong; `param` names it."),
        404: error_spec(description="Another model than the one that is served."),
        408: error_spec(description="The body took too long to arrive."),
        413: error_spec(description="The body is far larger than any prompt that the model can read."),
        500: error_spec(description="The engine failed. In a stream that has begun, an event says so and ends it."),
        504: error_spec(description="It took longer than the server's deadline, waiting included."),
        503: error_spec(description="Too many wait; try again after Retry-After seconds. No prompt was taken."),
    },
)
async def complete(
    data: JSONBody[CompletionRequest],
    request: Request[Any, Any, Any],
    engine: EngineDependency,
    access: NamedDependency[Access],
) -> Response[Any]:
    """Continues a prompt, or several: in one piece, or with `stream` as server-sent events.

    The events are chunks of the same form, each `data: {…}`, and `data: [DONE]` at the end; an engine that fails in
    their middle ends them with `data: {"error": …}`.
    """
    # In a thread: a body full of text takes a tenth of a second to tokenize, and other streams have to go on.
    parsed = await asyncio.to_thread(ParsedRequest.read, data, engine, access.client_of(request))
    running = RunningCompletion(engine, parsed)
    if parsed.stream:
        return event_stream(completion_events(running), running.cancel)
    completion = await full_completion(running, request.receive)
    return Response(completion, status_code=200 if completion else CLIENT_LEFT, headers={"Cache-Control": "no-store"})


@get(
    "/models",
    operation_id="listModels",
    summary="The models",
    response_description="A list of one.",
    responses=COMMON,
)
async def list_models(engine: EngineDependency) -> ModelList:
    """All models: the one that is served."""
    return ModelList(data=[_model(engine)])


@get(
    "/models/{model:str}",
    operation_id="retrieveModel",
    summary="One model",
    response_description="The model.",
    responses=COMMON | {404: error_spec(description="Another model than the one that is served.")},
)
async def show_model(model: FromPath[str], engine: EngineDependency) -> Model:
    """One model; 404 for another than the one that is served."""
    check_model(model, engine.bundle.manifest)
    return _model(engine)


def _model(engine: AnyEngine) -> Model:
    return Model(id=engine.bundle.manifest.name, created=STARTED)


completions_api = Router(
    "/v1",
    route_handlers=[complete, list_models, show_model],
    guards=[for_completion],
    exception_handlers={Exception: openai_error},
    tags=["completions"],
)
