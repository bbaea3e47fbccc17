"""The model that is served, as OpenAI's clients ask for it."""

import time

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from server.engine import AnyEngine
from server.http.responses import Failure, keyed
from server.openai.order import check_model
from server.openai.schema import Model, ModelList

STARTED = int(time.time())


@get(
    "/models",
    operation_id="listModels",
    summary="The models",
    response_description="A list of one.",
    responses=keyed(Failure),
)
async def list_models(engine: NamedDependency[AnyEngine]) -> ModelList:
    """All models: the one that is served."""
    return ModelList(data=[_model(engine)])


@get(
    "/models/{model:str}",
    operation_id="retrieveModel",
    summary="One model",
    response_description="The model.",
    responses=keyed(Failure) | {404: Failure(description="Another model than the one that is served.")},
)
async def show_model(model: FromPath[str], engine: NamedDependency[AnyEngine]) -> Model:
    """One model; 404 for another than the one that is served."""
    check_model(model, engine.bundle.manifest)
    return _model(engine)


def _model(engine: AnyEngine) -> Model:
    return Model(id=engine.bundle.manifest.name, created=STARTED)
