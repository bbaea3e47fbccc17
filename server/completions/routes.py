"""The routes of OpenAI's API: completions, and the models."""

import asyncio
import time
from functools import partial
from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.params import FromPath, JSONBody

from server.completions.errors import RequestError, UnknownModel, openai_error
from server.completions.parsed_request import ParsedRequest
from server.completions.running import RunningCompletion
from server.completions.schema import Completion, CompletionRequest, ErrorResponse, Model, ModelList
from server.engine import AnyEngine
from server.http.access import client_of, for_completion
from server.http.dependency import EngineDependency
from server.http.rate_limit import WORK
from server.http.request import CLIENT_LEFT, TimedRequest
from server.http.responses import ERRORS, error_specs, response_spec
from server.http.sse import EventStream

ANOTHER_MODEL = {404: "The server has another model."}

SHORT = 512
"""Bytes of a request that the event loop reads itself, because handing it to a thread takes as long."""

STARTED = int(time.time())


class StrictRequest(TimedRequest):
    """A request with a strictly typed body. Litestar alone would accept "1" for 1."""

    async def json(self) -> CompletionRequest:
        """Decode the body. Raises RequestError, with the field at fault."""
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
    responses={
        200: response_spec(Completion, description="The completion; a stream has its chunks as text/event-stream.")
    }
    | error_specs(
        ErrorResponse,
        ANOTHER_MODEL
        | {
            400: "A field is wrong; `param` names it.",
            500: "The engine failed. In a stream that has begun, an event says so and ends it.",
            503: f"{ERRORS[503]} No prompt was taken.",
            504: "The request took longer than the server allows, the queue included.",
        },
        *(401, 403, 408, 413, 429),
    ),
)
async def complete(
    data: JSONBody[CompletionRequest],
    request: Request[Any, Any, Any],
    engine: EngineDependency,
) -> Response[Any]:
    """Continues one or several prompts, in one piece, or with `stream` as server-sent events.

    Each event is `data: {…}` with a chunk of the same form, and the last one `data: [DONE]`. If the engine fails in
    between, the last event is `data: {"error": …}`.
    """
    reading = partial(ParsedRequest.read, data, engine, client_of(request))
    # A long prompt takes a tenth of a second to tokenize, and other streams must go on.
    parsed = await asyncio.to_thread(reading) if len(await request.body()) > SHORT else reading()
    running = RunningCompletion(engine, parsed)
    if parsed.stream:
        return EventStream(running.events(), running.cancel)
    completion = await running.whole(request.receive)
    return Response(completion, status_code=200 if completion else CLIENT_LEFT, headers={"Cache-Control": "no-store"})


@get(
    "/models",
    operation_id="listModels",
    summary="The models",
    response_description="The list.",
    responses=error_specs(ErrorResponse, {}, 401, 403, 500),
)
async def list_models(engine: EngineDependency) -> ModelList:
    """Lists the one model of the server."""
    return ModelList(data=[_model(engine)])


@get(
    "/models/{model:str}",
    operation_id="retrieveModel",
    summary="One model",
    response_description="The model.",
    responses=error_specs(ErrorResponse, ANOTHER_MODEL, 401, 403, 500),
)
async def show_model(model: FromPath[str], engine: EngineDependency) -> Model:
    """Describes the model of the server; 404 for any other."""
    if model != engine.bundle.manifest.name:
        raise UnknownModel(model, engine.bundle.manifest.name)
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
