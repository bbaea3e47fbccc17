"""The OpenAPI document (https://spec.openapis.org/oas/v3.1.0): Litestar's, completed."""

from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import License, Server, Tag

from server.engine import AnyEngine
from server.http.responses import FORM, JSON
from server.http.sse import EVENT_STREAM
from server.reference.examples import paths, requests, responses
from server.reference.schemas import COMPLETION_EVENT, PLOT_EVENT, PLOT_FORM, reference, schemas

Document = dict[str, Any]

DESCRIPTION = """\
A few words in, a few plot lines out. If the server has keys, send one as `Authorization: Bearer KEY`.

The response to any other address is 404, and to any other method 405 with `Allow`, in the same form as the other
errors. The server ignores unknown fields.
"""

TAGS = [
    Tag("completions", "The completions of OpenAI's API, for its existing clients."),
    Tag("plots", "Plots from a few words, as event streams that survive a lost connection."),
    Tag("server", "The server itself."),
]


def _header(description: str, **schema: Any) -> Document:
    return {"description": description, "required": True, "schema": schema}


RETRY_AFTER = {"Retry-After": _header("Seconds to wait before the next try.", type="integer", minimum=1)}

HEADERS = {
    "201": {"Location": _header("The path of the plot so far.", type="string")},
    "401": {"WWW-Authenticate": _header("Bearer.", type="string")},
    "429": RETRY_AFTER,
    "503": RETRY_AFTER,
}
"""The headers of every response with a status."""

PARAMETERS = {"model": "The model's name, from the list of models.", "plot_id": "The plot's id, from its start."}
"""Descriptions of the parameters in paths."""


class Reference(JsonRenderPlugin):
    """Completes the document with the limits of an engine's model, and serves it.

    model: its name. sampling: its defaults.
    """

    def __init__(self, engine: AnyEngine) -> None:
        super().__init__(media_type=MediaType.JSON)
        self.model = engine.bundle.manifest.name
        self.sampling = engine.bundle.manifest.sampling
        self._engine = engine
        self._document: Document | None = None

    def document(self, app: Litestar) -> Document:
        """Return the complete document, built once for the app."""
        if self._document is None:
            self._document = _complete(app.openapi_schema.to_schema(), self._engine)
        return self._document

    def render(self, request: Request[Any, Any, Any], openapi_schema: Document) -> bytes:
        """Return the document as JSON."""
        return msgspec.json.encode(self.document(request.app))

    def config(self, root_path: str = "") -> OpenAPIConfig:
        """Return Litestar's configuration of its part of the document."""
        return OpenAPIConfig(
            title="Plotify",
            version=version("plotify"),
            description=DESCRIPTION,
            license=License("MIT", identifier="MIT"),
            tags=TAGS,
            path="/openapi",
            servers=[Server(root_path or "/")],
            render_plugins=[self],
            use_handler_docstrings=True,
        )


def operations(document: Document) -> dict[str, Document]:
    """Return the document's operations by id, each with its `method` and `path`."""
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
        found_responses = operation["responses"]
        # Litestar adds its own 400 to every operation with parameters. Without a declared 400, none can happen.
        if "$ref" not in found_responses.get("400", {}).get("content", {}).get(JSON, {}).get("schema", {"$ref"}):
            del found_responses["400"]
        for status, headers in HEADERS.items():
            if status in found_responses:
                found_responses[status].setdefault("headers", {}).update(headers)
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "path":
                name = parameter["name"]
                parameter |= {"description": PARAMETERS[name], "example": paths(engine.bundle.manifest)[name]}
    # Before OpenAPI 3.2, tools take the schema of a stream as that of each event.
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
    for (id, status), kinds in responses(engine.bundle.manifest).items():
        for kind, examples in kinds.items():
            found[id]["responses"][status]["content"][kind]["examples"] = examples
    return document
