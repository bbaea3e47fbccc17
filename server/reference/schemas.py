"""The schemas of what is asked and answered: msgspec's own, so that they promise what is enforced."""

from typing import Any

import msgspec

from server.completions.schema import Completion, CompletionRequest, ErrorResponse, Model, ModelList, StreamOptions
from server.engine import AnyEngine
from server.http.responses import JSON
from server.observability.routes import Health, Readiness
from server.plots.journal import Done, Failed, Token
from server.plots.schema import PlotRequest, PlotSoFar, Refusal, Started
from server.writing.brief import ANY_GENRE

REQUESTS = (CompletionRequest, StreamOptions, PlotRequest)
ANSWERS = (
    Completion,
    Model,
    ModelList,
    ErrorResponse,
    Started,
    PlotSoFar,
    Token,
    Done,
    Failed,
    Refusal,
    Health,
    Readiness,
)
PLOT_FORM = "PlotForm"
COMPLETION_EVENT = "CompletionEvent"
PLOT_EVENT = "PlotEvent"

Schema = dict[str, Any]


def schemas(engine: AnyEngine) -> dict[str, Schema]:
    """JSON schemas by name, with what only the running server knows: its model, genres, vocabulary and rows."""
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
    """The address of a schema within the document."""
    return f"#/components/schemas/{name}"


def _completion_event() -> Schema:
    """An event has fields, of which data is text; that text is JSON."""
    data = [{"const": "[DONE]"}, _json_text(Completion), _json_text(ErrorResponse)]
    return {
        "title": COMPLETION_EVENT,
        "description": f"Its data is a {Completion.__name__}; the last one's `[DONE]`, or an {ErrorResponse.__name__}.",
        "type": "object",
        "properties": {"data": {"type": "string", "anyOf": data}},
        "required": ["data"],
    }


def _plot_event() -> Schema:
    kinds = [
        {"properties": {"event": {"const": event.name}, "data": _json_text(event)}} for event in (Token, Done, Failed)
    ]
    return {
        "title": PLOT_EVENT,
        "description": "Each is a `token` with a Token; the last one is `done` with a Done, or `error` with a Failed.",
        "type": "object",
        "properties": {
            "event": {"enum": [event.name for event in (Token, Done, Failed)]},
            "id": {"type": "string", "pattern": "^[1-9][0-9]*$", "description": "Its number: 1, 2, and so on."},
            "data": {"type": "string", "description": "JSON."},
        },
        "required": ["event", "id", "data"],
        "oneOf": kinds,
    }


def _json_text(struct: type[msgspec.Struct]) -> Schema:
    return {
        "type": "string",
        "contentMediaType": JSON,
        "contentSchema": {"$ref": reference(struct.__name__)},
    }


def _genres(engine: AnyEngine) -> list[str]:
    return [*engine.bundle.manifest.prompt.genres, ANY_GENRE]


def _complete_answer(answer: Schema) -> None:
    """What has a default may be absent of a request; in an answer it is there."""
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
    # Decoding would let kinds of prompts be mixed; `ParsedRequest.read` does not.
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
    """A field of a form: the text that stands for the values of a field of JSON."""
    (text,) = (kind for kind in field.get("anyOf", [field]) if kind["type"] == "string")
    typed: Schema = {"description": field["description"]} | text
    if "enum" in field:
        typed["enum"] = [value for value in field["enum"] if isinstance(value, str)]
    return typed
