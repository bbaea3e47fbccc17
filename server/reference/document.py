"""The OpenAPI document: what Litestar reads off the routes, made true. https://spec.openapis.org/oas/v3.1.0"""

from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import License, Tag

from server.engine import AnyEngine
from server.http.responses import FORM, JSON
from server.http.sse import EVENT_STREAM
from server.reference.examples import answers, paths, requests
from server.reference.schemas import COMPLETION_EVENT, PLOT_EVENT, PLOT_FORM, reference, schemas

Document = dict[str, Any]

DESCRIPTION = """\
A few words in, a few plot lines out. Where the server has keys, send one as \
`Authorization: Bearer KEY`; where it has none, nobody needs one.

What is described here is all that there is: another address is answered with 404, another method with 405 and `Allow`,
in the form of the other errors beside it. Fields that are not described are ignored.
"""

TAGS = [
    Tag("completions", "The completions of OpenAI's API: for programs that speak it already."),
    Tag("plots", "Plots by a writer's words, as event streams that survive a lost connection."),
    Tag("server", "The server itself."),
]

HEADERS = {
    "201": {
        "Location": {
            "description": "Path of what is there of the plot.",
            "required": True,
            "schema": {"type": "string"},
        }
    },
    "401": {"WWW-Authenticate": {"description": "Bearer.", "required": True, "schema": {"type": "string"}}},
    "429": {
        "Retry-After": {
            "description": "Seconds after which to try again.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        }
    },
    "503": {
        "Retry-After": {
            "description": "Seconds after which to try again.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        }
    },
}
"""What every answer of a status carries."""


PARAMETERS = {"model": "The model's name, as the list tells it.", "plot_id": "The plot's id, as its start told it."}
"""What stands in the paths."""


class Reference(JsonRenderPlugin):
    """Completes the document and serves it. Made for one engine, whose model decides on some of what may be asked.

    model: that model's name.
    """

    def __init__(self, engine: AnyEngine) -> None:
        super().__init__(media_type=MediaType.JSON)
        self.model = engine.bundle.manifest.name
        self._engine = engine
        self._document: Document | None = None

    def document(self, app: Litestar) -> Document:
        """The whole document, the same for as long as the app is there."""
        if self._document is None:
            self._document = _complete(app.openapi_schema.to_schema(), self._engine)
        return self._document

    def render(self, request: Request[Any, Any, Any], openapi_schema: Document) -> bytes:
        """The document as JSON."""
        return msgspec.json.encode(self.document(request.app))

    def config(self) -> OpenAPIConfig:
        """What Litestar has to know to read its part off the routes."""
        return OpenAPIConfig(
            title="Plotify",
            version=version("plotify"),
            description=DESCRIPTION,
            license=License("MIT", identifier="MIT"),
            tags=TAGS,
            path="/openapi",
            render_plugins=[self],
            use_handler_docstrings=True,
        )


def operations(document: Document) -> dict[str, Document]:
    """The document's operations by id, each with its `method` and `path`."""
    return {
        operation["operationId"]: operation | {"method": method.upper(), "path": path}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def _complete(document: Document, engine: AnyEngine) -> Document:
    document["components"]["schemas"] = schemas(engine)
    tags = [tag.name for tag in TAGS]
    document["paths"] = dict(
        sorted(
            document["paths"].items(),
            key=lambda item: (min(tags.index(each["tags"][0]) for each in item[1].values()), item[0]),
        )
    )
    found = operations(document)
    for operation in found.values():
        answers_ = operation["responses"]
        # Litestar presumes that it answers what does not fit itself; where nothing is declared, nothing can be unfit.
        if "$ref" not in answers_.get("400", {}).get("content", {}).get(JSON, {}).get("schema", {"$ref"}):
            del answers_["400"]
        for status, headers in HEADERS.items():
            if status in answers_:
                answers_[status].setdefault("headers", {}).update(headers)
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "path":
                name = parameter["name"]
                parameter |= {"description": PARAMETERS[name], "example": paths(engine.bundle.manifest)[name]}
    # As those who write SDKs read OpenAPI before 3.2: the schema of a stream is that of each of its events.
    for id, event in (("createCompletion", COMPLETION_EVENT), ("followPlot", PLOT_EVENT)):
        found[id]["responses"]["200"]["content"][EVENT_STREAM] = {"schema": {"$ref": reference(event)}}
    found["startPlot"]["requestBody"]["content"][FORM] = {"schema": {"$ref": reference(PLOT_FORM)}}
    found["startPlot"]["responses"]["201"]["links"] = {
        id: {"operationId": id, "parameters": {"plot_id": "$response.body#/id"}}
        for id in ("readPlot", "stopPlot", "followPlot")
    }
    for id, kinds in requests(engine.bundle.manifest).items():
        for kind, examples in kinds.items():
            found[id]["requestBody"]["content"][kind]["examples"] = examples
    for (id, status), kinds in answers(engine.bundle.manifest).items():
        for kind, examples in kinds.items():
            found[id]["responses"][status]["content"][kind]["examples"] = examples
    return document
