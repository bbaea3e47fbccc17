"""The document in the words of the page /docs."""

import json
import shlex
from dataclasses import dataclass

from server.http.responses import JSON
from server.http.sse import EVENT_STREAM
from server.reference.document import Document, operations

LIMITS = {"integer": "whole number", "number": "number", "string": "text", "array": "list", "boolean": "true or false"}


@dataclass(frozen=True)
class Field:
    """Of a request or an object. kind: its type and limits; default: as JSON, None where there is none.

    required: whether a request must have it.
    """

    name: str
    kind: str
    meaning: str
    default: str | None = None
    required: bool = False


@dataclass(frozen=True)
class Example:
    """What an answer looks like: the type of its body, and the text."""

    kind: str
    text: str


@dataclass(frozen=True)
class ResponseDoc:
    """Of one status. holds: the names of the objects that it may be. headers: those that it always has."""

    status: str
    meaning: str
    holds: list[str]
    headers: list[str]


@dataclass(frozen=True)
class Section:
    """Of one operation. curl: an example of it; examples: what it is answered with where all goes well."""

    id: str
    method: str
    path: str
    summary: str
    paragraphs: list[str]
    fields: list[Field]
    parameters: list[Field]
    answers: list[ResponseDoc]
    curl: str
    examples: list[Example]


@dataclass(frozen=True)
class Thing:
    """An object that answers hold."""

    name: str
    meaning: str
    fields: list[Field]


def sections(document: Document, origin: str) -> list[Section]:
    """Every operation, in the document's order. origin: where the server is, for the examples."""
    return [_section(id, operation, document, origin) for id, operation in operations(document).items()]


def things(document: Document) -> list[Thing]:
    """Every object that an answer holds, in the order of their names."""
    schemas = document["components"]["schemas"]
    asked = {name for name in schemas if name.endswith(("Request", "Form", "Options"))}
    return [Thing(name, schema["description"], _told(schema)) for name, schema in schemas.items() if name not in asked]


def _section(id: str, operation: Document, document: Document, origin: str) -> Section:
    body = operation.get("requestBody", {}).get("content", {})
    asked = document["components"]["schemas"][_name(body[JSON]["schema"])] if body else {}
    return Section(
        id=id,
        method=operation["method"],
        path=operation["path"],
        summary=operation["summary"],
        paragraphs=operation["description"].split("\n\n"),
        fields=_fields(asked),
        parameters=[_parameter(parameter) for parameter in operation.get("parameters", [])],
        answers=[_answer(status, answer) for status, answer in sorted(operation["responses"].items())],
        curl=_curl(operation, body, origin),
        examples=_examples(operation),
    )


def _fields(schema: Document) -> list[Field]:
    required = schema.get("required", [])
    return [
        Field(
            name,
            kind(field),
            field.get("description", ""),
            json.dumps(field["default"]) if field.get("default") is not None else None,
            name in required,
        )
        for name, field in schema.get("properties", {}).items()
    ]


def _told(schema: Document) -> list[Field]:
    """The fields of an answer: null is a value there, and whether they may be absent is worth a word."""
    return [
        Field(
            name,
            kind(field)
            + (" or null" if {"type": "null"} in field.get("anyOf", []) else "")
            + ("" if name in schema["required"] else "; may be absent"),
            field.get("description", ""),
        )
        for name, field in schema.get("properties", {}).items()
    ]


def _parameter(parameter: Document) -> Field:
    where = f"{kind(parameter['schema'])}, in the {parameter['in']}"
    return Field(parameter["name"], where, parameter["description"], required=parameter["required"])


def kind(schema: Document) -> str:
    """A schema's type and limits, in words; of null, which stands for the default or for nothing, none."""
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        values = [value for value in schema["enum"] if value not in ("", None)]
        # A number may be sent as text too: once is enough.
        shown = [json.dumps(value) for value in values if not (isinstance(value, str) and value.isdecimal())]
        return ", ".join(shown) or "null"
    if "$ref" in schema:
        return _name(schema)
    if "anyOf" in schema:
        return "; or ".join(kind(each) for each in schema["anyOf"] if each.get("type") != "null")
    if schema.get("type") == "array":
        # What each of them may be is in the document; here it would drown how many there may be.
        return f"list of {kind(schema['items']).split(', ')[0]}{_range(schema, 'minItems', 'maxItems')}"
    if schema.get("type") == "object":
        return f"object{_range(schema, 'minProperties', 'maxProperties')}"
    name = LIMITS[schema["type"]]
    if schema["type"] == "string":
        return name + _range(schema, "minLength", "maxLength")
    return name + _range(schema, "minimum", "maximum")


def _range(schema: Document, least: str, most: str) -> str:
    low, high = schema.get(least), schema.get(most)
    over = schema.get("exclusiveMinimum")
    begin = f"over {over}" if over is not None else f"{low}" if low is not None else None
    unit = {"minLength": " characters", "minItems": " of them", "minProperties": " of them"}.get(least, "")
    if high is None:
        return f", {begin} or more{unit}" if begin is not None and low else ""
    return f", {begin} to {high}{unit}" if begin is not None else f", up to {high}{unit}"


def _answer(status: str, answer: Document) -> ResponseDoc:
    content = answer.get("content", {})
    holds = [_name(each["schema"]) for each in content.values()]
    headers = [name for name, header in answer.get("headers", {}).items() if header.get("required")]
    return ResponseDoc(status, answer["description"], holds, headers)


def _examples(operation: Document) -> list[Example]:
    found = []
    for status, answer in operation["responses"].items():
        for media, content in answer.get("content", {}).items() if status.startswith("2") else ():
            values = [example["value"] for example in content.get("examples", {}).values()]
            if media == EVENT_STREAM:
                found.append(Example(media, "\n\n".join(map(_framed, values))))
            else:
                found += [Example(media, json.dumps(value, indent=2)) for value in values]
    return found


def _framed(event: dict[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in event.items())


def _curl(operation: Document, body: Document, origin: str) -> str:
    path = operation["path"]
    for parameter in operation.get("parameters", []):
        path = path.replace(f"{{{parameter['name']}}}", str(parameter.get("example")))
    words = ["curl"]
    if operation["method"] == "DELETE":
        words += ["-X", "DELETE"]
    if not body and EVENT_STREAM in operation["responses"].get("200", {}).get("content", {}):
        words.append("-N")
    command = shlex.join([*words, origin + path])
    if body:
        value = next(iter(body[JSON]["examples"].values()))["value"]
        command += f" --json {shlex.quote(json.dumps(value))}"
    return command


def _name(schema: Document) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[-1]
