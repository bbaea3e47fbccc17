"""Parts of the OpenAPI document in words, for the page /docs."""

import json
import shlex
from dataclasses import dataclass

from server.http.responses import JSON
from server.http.sse import EVENT_STREAM
from server.reference.document import Document

TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}


@dataclass(frozen=True)
class Field:
    """A field of a request or an object. kind: its type and limits; default: as JSON, if it has one.

    required: a request must have it.
    """

    name: str
    kind: str
    meaning: str
    default: str | None = None
    required: bool = False


def body_fields(operation: Document, schemas: Document) -> list[Field]:
    """Return the fields of a request's body, if it has one."""
    body = operation.get("requestBody")
    schema = schemas[name_of(body["content"][JSON]["schema"])] if body else {}
    return [
        Field(
            name,
            kind(field),
            field.get("description", ""),
            json.dumps(field["default"]) if field.get("default") is not None else None,
            name in schema.get("required", ()),
        )
        for name, field in schema.get("properties", {}).items()
    ]


def parameters(operation: Document) -> list[Field]:
    """Return the parameters in an operation's path, query and headers."""
    return [
        Field(each["name"], f"{kind(each['schema'])}, in the {each['in']}", each["description"], None, each["required"])
        for each in operation.get("parameters", ())
    ]


def headers(response: Document) -> list[str]:
    """Return the names of a response's required headers."""
    return [name for name, header in response.get("headers", {}).items() if header.get("required")]


def objects(schemas: Document) -> dict[str, Document]:
    """Return the schemas of the objects in responses."""
    return {name: schema for name, schema in schemas.items() if not name.endswith(("Request", "Form", "Options"))}


def object_fields(schema: Document) -> list[Field]:
    """Return the fields of an object in a response. There, null is a value, and fields may be absent."""
    return [
        Field(
            name,
            kind(field)
            + (" or null" if {"type": "null"} in field.get("anyOf", ()) else "")
            + ("" if name in schema["required"] else "; may be absent"),
            field.get("description", ""),
        )
        for name, field in schema["properties"].items()
    ]


def kind(schema: Document) -> str:
    """Return a schema's type and limits in words. It leaves out null, the default."""
    match schema:
        case {"const": value}:
            return json.dumps(value)
        case {"enum": values}:
            # A number may also be sent as text; name it once.
            return (
                ", ".join(
                    json.dumps(value)
                    for value in values
                    if value not in ("", None) and not (isinstance(value, str) and value.isdecimal())
                )
                or "null"
            )
        case {"$ref": _}:
            return name_of(schema)
        case {"anyOf": kinds}:
            return "; or ".join(kind(each) for each in kinds if each.get("type") != "null")
        case {"type": "array"}:
            # The document has the limits of the items; here they would hide the limits of the list.
            return f"list of {kind(schema['items']).split(', ')[0]}{_range(schema, 'Items', ' of them')}"
        case {"type": "object"}:
            return f"object{_range(schema, 'Properties', ' of them')}"
        case {"type": "string"}:
            return TYPES["string"] + _range(schema, "Length", " characters")
    return TYPES[schema["type"]] + _range(schema, "imum", "")


def _range(schema: Document, of: str, unit: str) -> str:
    low, high, over = schema.get(f"min{of}"), schema.get(f"max{of}"), schema.get("exclusiveMinimum")
    begin = f"over {over}" if over is not None else low
    if high is None:
        return f", {begin} or more{unit}" if low else ""
    return f", up to {high}{unit}" if begin is None else f", {begin} to {high}{unit}"


def examples(operation: Document) -> list[tuple[str, str]]:
    """Return the media type and the text of each example of a successful response."""
    found = []
    for status, response in operation["responses"].items():
        for media, content in response.get("content", {}).items() if status.startswith("2") else ():
            values = [example["value"] for example in content.get("examples", {}).values()]
            if media == EVENT_STREAM:
                events = ["\n".join(f"{name}: {value}" for name, value in event.items()) for event in values]
                found.append((media, "\n\n".join(events)))
            else:
                found += [(media, json.dumps(value, indent=2)) for value in values]
    return found


def curl(operation: Document, origin: str) -> str:
    """Return a curl command for the first example of a request."""
    path = operation["path"]
    for parameter in operation.get("parameters", ()):
        path = path.replace(f"{{{parameter['name']}}}", str(parameter.get("example")))
    words = ["curl"]
    if operation["method"] == "DELETE":
        words += ["-X", "DELETE"]
    body = operation.get("requestBody")
    if not body and EVENT_STREAM in operation["responses"].get("200", {}).get("content", {}):
        words.append("-N")
    command = shlex.join([*words, origin + path])
    if body:
        value = next(iter(body["content"][JSON]["examples"].values()))["value"]
        command += f" --json {shlex.quote(json.dumps(value))}"
    return command


def name_of(schema: Document) -> str:
    """Return the name of a referenced schema."""
    return str(schema["$ref"]).rsplit("/", 1)[-1]
