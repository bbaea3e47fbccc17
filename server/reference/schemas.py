"""The schemas of requests and responses. They are msgspec's own, so the server enforces them."""

from typing import Any

import msgspec

from server.completions.schema import Completion, CompletionRequest, ErrorResponse, Model, ModelList, StreamOptions
from server.engine import AnyEngine
from server.http.responses import JSON
from server.observability.routes import Health, Readiness
from server.plots.journal import Done, Failed, Token
from server.plots.place import EVENT_ID
from server.plots.schema import PlotRequest, PlotSoFar, Refusal, Started
from server.writing.brief import ANY_GENRE

REQUESTS = (CompletionRequest, StreamOptions, PlotRequest)
PLOT_EVENTS = (Token, Done, Failed)
PLOTS = (Started, PlotSoFar, *PLOT_EVENTS, Refusal)
ANSWERS = (Completion, Model, ModelList, ErrorResponse, *PLOTS, Health, Readiness)
PLOT_FORM = "PlotForm"
COMPLETION_EVENT = "CompletionEvent"
PLOT_EVENT = "PlotEvent"

Schema = dict[str, Any]


def schemas(engine: AnyEngine) -> dict[str, Schema]:
    """Return the JSON schemas by name, with the engine's model, genres, vocabulary and rows."""
    _, found = msgspec.json.schema_components((*REQUESTS, *ANSWERS), ref_template=reference("{name}"))
    for name in found.keys() - {struct.__name__ for struct in REQUESTS}:
        _complete_answer(found[name])
    _narrow_completion(found[CompletionRequest.__name__]["properties"], engine)
    plot = found[PlotRequest.__name__]
    plot["required"] = ["prompt"]
    plot["properties"]["prompt"].pop("default")
    plot["properties"]["genre"]["enum"] = [*_genres(engine), "", None]
    found[PLOT_FORM] = plot | {
        "title": PLOT_FORM,
        "properties": {name: _typed(field) for name, field in plot["properties"].items()},
    }
    found |= {COMPLETION_EVENT: _completion_event(), PLOT_EVENT: _plot_event()}
    return dict(sorted(found.items()))


def reference(name: str) -> str:
    """Return the reference to a schema of the document."""
    return f"#/components/schemas/{name}"


def _completion_event() -> Schema:
    """Return the schema of an event, with JSON as the text of its data."""
    data = [{"const": "[DONE]"}, _json_text(Completion), _json_text(ErrorResponse)]
    return {
        "title": COMPLETION_EVENT,
        "description": f"The data is a {Completion.__name__}; the last is `[DONE]` or an {ErrorResponse.__name__}.",
        "type": "object",
        "properties": {"data": {"type": "string", "anyOf": data}},
        "required": ["data"],
    }


def _plot_event() -> Schema:
    return {
        "title": PLOT_EVENT,
        "description": "A `token` with a Token; the last event is `done` with a Done, or `error` with a Failed.",
        "type": "object",
        "properties": {
            "event": {"enum": [event.name for event in PLOT_EVENTS]},
            "id": {
                "type": "string",
                "pattern": EVENT_ID,
                "description": "The tokens and a digest of the text.",
            },
            "data": {"type": "string", "description": "JSON."},
        },
        "required": ["event", "id", "data"],
        "oneOf": [{"properties": {"event": {"const": event.name}, "data": _json_text(event)}} for event in PLOT_EVENTS],
    }


def _json_text(struct: type[msgspec.Struct]) -> Schema:
    return {"type": "string", "contentMediaType": JSON, "contentSchema": {"$ref": reference(struct.__name__)}}


def _genres(engine: AnyEngine) -> list[str]:
    return [*engine.bundle.manifest.prompt.genres, ANY_GENRE]


def _complete_answer(answer: Schema) -> None:
    """Require the fields with a default: they may be absent from a request, but not from a response."""
    fields = answer["properties"]
    given = [name for name, field in fields.items() if "default" in field or name in answer["required"]]
    answer["required"] = given
    for field in fields.values():
        field.pop("default", None)


def _narrow_completion(fields: Schema, engine: AnyEngine) -> None:
    shape = engine.bundle.manifest.model
    fields["model"]["enum"] = [engine.bundle.manifest.name]
    fields["genre"]["enum"] = [*_genres(engine), None]
    for name in ("n", "best_of"):
        fields[name]["anyOf"][0]["maximum"] = engine.config.rows
    # Decoding allows mixed kinds of prompts; `ParsedRequest.read` refuses them.
    text = {"type": "string", "minLength": 1}
    tokens = {
        "type": "array",
        "items": {"type": "integer", "minimum": 0, "maximum": engine.tokenizer.size - 1},
        "minItems": 1,
        "maxItems": shape.context,
    }
    several = {"type": "array", "minItems": 1, "maxItems": engine.config.queue + engine.config.rows}
    fields["prompt"]["anyOf"] = [text, several | {"items": text}, tokens, several | {"items": tokens}, {"type": "null"}]


def _typed(field: Schema) -> Schema:
    """Return the schema of a form's field: the text for the values of a JSON field."""
    (text,) = (kind for kind in field.get("anyOf", [field]) if kind["type"] == "string")
    typed: Schema = {"description": field["description"]} | text
    if "enum" in field:
        typed["enum"] = [value for value in field["enum"] if isinstance(value, str)]
    return typed
