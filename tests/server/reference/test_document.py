"""The OpenAPI document is valid and complete, and its examples are true."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import pytest
import schemathesis
from litestar import Litestar
from litestar.testing import TestClient

from server.engine import Engine
from server.http.sse import EVENT_STREAM
from server.reference.document import operations

Client = TestClient[Litestar]

JSON = "application/json"


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    answer = client.get("/openapi")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == JSON
    assert client.get("/openapi/openapi.json").content == answer.content
    found: dict[str, Any] = answer.json()
    return found


def validator(document: dict[str, Any], schema: dict[str, Any]) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator(schema | {"components": document["components"]})


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(document).validate()
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
        assert schema["description"]


def test_every_address_for_programs_is_in_it_and_none_for_people(client: Client, document: dict[str, Any]) -> None:
    served = {
        (method, re.sub(r":\w+}", "}", route.path))
        for route in client.app.routes
        if route.path.startswith(("/v1", "/api", "/healthz", "/readyz"))
        for handler in getattr(route, "route_handlers", [])
        for method in handler.http_methods
        if method != "OPTIONS"
    }
    described = {(operation["method"], operation["path"]) for operation in operations(document).values()}
    assert described == served
    assert len(described) == 9
    for operation in operations(document).values():
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]


def test_every_status_is_declared_with_what_it_carries(document: dict[str, Any]) -> None:
    declared = {id: set(operation["responses"]) for id, operation in operations(document).items()}
    assert declared == {
        "createCompletion": {"200", "400", "401", "403", "404", "408", "413", "429", "500", "503", "504"},
        "listModels": {"200", "401", "403", "500"},
        "retrieveModel": {"200", "401", "403", "404", "500"},
        "startPlot": {"201", "400", "401", "403", "408", "413", "415", "422", "429", "500", "503"},
        "readPlot": {"200", "400", "404", "409", "500", "503"},
        "stopPlot": {"204", "404", "500", "503"},
        "followPlot": {"200", "204", "400", "404", "500", "503"},
        "readHealth": {"200"},
        "readReadiness": {"200", "503"},
    }
    for id, operation in operations(document).items():
        for status, answer in operation["responses"].items():
            assert (status == "204") == ("content" not in answer)
            assert (status in ("429", "503")) == ("Retry-After" in answer.get("headers", {}))
            assert (status == "401") == ("WWW-Authenticate" in answer.get("headers", {}))
            if status >= "400":
                (content,) = answer["content"].values()
                form = {"readReadiness": "Readiness"}.get(id, "Refusal" if id.endswith("Plot") else "ErrorResponse")
                assert content["schema"] == {"$ref": f"#/components/schemas/{form}"}
    assert "Location" in operations(document)["startPlot"]["responses"]["201"]["headers"]


def test_the_model_decides_what_may_be_asked(document: dict[str, Any], engine: Engine) -> None:
    schemas, manifest = document["components"]["schemas"], engine.bundle.manifest
    completion, plot = schemas["CompletionRequest"]["properties"], schemas["PlotRequest"]["properties"]
    assert completion["model"]["enum"] == [manifest.name]
    assert completion["genre"]["enum"] == [*manifest.prompt.genres, "any", None]
    assert plot["genre"]["enum"] == [*manifest.prompt.genres, "any", "", None]
    assert schemas["PlotForm"]["properties"]["genre"]["enum"] == [*manifest.prompt.genres, "any", ""]
    assert completion["n"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": engine.config.rows}


def test_every_example_agrees_with_its_schema(document: dict[str, Any]) -> None:
    checked = 0
    for operation in operations(document).values():
        for described in (operation.get("requestBody", {}), *operation["responses"].values()):
            for content in described.get("content", {}).values():
                for example in content.get("examples", {}).values():
                    validator(document, content["schema"]).validate(example["value"])
                    checked += 1
    assert checked > 20


def asked(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield the operation, media type, name and body of each example of a request."""
    for id, operation in operations(document).items():
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            for name, example in content["examples"].items():
                yield id, media, name, example["value"]


def test_every_request_is_accepted_and_answered_as_its_example(client: Client, document: dict[str, Any]) -> None:
    sent = []
    for id, media, name, body in asked(document):
        operation = operations(document)[id]
        content = json.dumps(body) if media == JSON else urlencode(body)
        answer = client.request(
            operation["method"], operation["path"], content=content, headers={"Content-Type": media}
        )
        (status,) = (status for status in operation["responses"] if status < "204")
        assert answer.status_code == int(status)
        told = answer.headers["content-type"].split(";")[0]
        described = operation["responses"][status]["content"][told]
        if told == JSON:
            validator(document, described["schema"]).validate(answer.json())
            (example,) = described["examples"].values()
            assert answer.json().keys() == example["value"].keys()
        else:
            check_events(document, described, answer.text)
        sent.append((id, media, name, told))
    assert ("createCompletion", JSON, "stream", EVENT_STREAM) in sent
    assert len(sent) == 6


def check_events(document: dict[str, Any], content: dict[str, Any], text: str) -> None:
    """Check that the events of a stream fit their schema, and the last one its example."""
    *events, rest = text.removeprefix("retry: 1000\n").split("\n\n")
    assert rest == ""
    read = [dict(line.split(": ", 1) for line in event.split("\n")) for event in events]
    *_, last = (example["value"] for example in content["examples"].values())
    assert read[-1].keys() == last.keys()
    for event in read:
        validator(document, content["schema"]).validate(event)


def test_a_plot_is_answered_as_described(client: Client, document: dict[str, Any]) -> None:
    found = operations(document)
    started = client.post("/api/plots", json={"prompt": "A fox", "length": "line"})
    assert started.headers["location"] == started.json()["self"]
    for name, link in found["startPlot"]["responses"]["201"]["links"].items():
        assert link == {"operationId": name, "parameters": {"plot_id": "$response.body#/id"}}
    content = found["followPlot"]["responses"]["200"]["content"][EVENT_STREAM]
    check_events(document, content, client.get(started.json()["events"]).text)
    so_far = client.get(started.json()["self"]).json()
    (example,) = found["readPlot"]["responses"]["200"]["content"][JSON]["examples"].values()
    assert so_far.keys() == example["value"].keys()


@pytest.mark.parametrize(
    ("id", "status", "method", "path", "body"),
    [
        ("createCompletion", 400, "POST", "/v1/completions", {"model": "plotify-tiny", "temperature": 11}),
        ("createCompletion", 404, "POST", "/v1/completions", {"model": "gpt-4"}),
        ("retrieveModel", 404, "GET", "/v1/models/gpt-4", None),
        ("startPlot", 422, "POST", "/api/plots", {"prompt": "A fox", "wildness": 9}),
        ("readPlot", 404, "GET", "/api/plots/none", None),
        ("stopPlot", 404, "DELETE", "/api/plots/none", None),
        ("followPlot", 404, "GET", "/api/plots/none/events", None),
    ],
)
def test_a_refusal_is_the_one_in_the_example(
    client: Client, document: dict[str, Any], id: str, status: int, method: str, path: str, body: Any
) -> None:
    answer = client.request(method, path, json=body)
    assert answer.status_code == status
    (example,) = operations(document)[id]["responses"][str(status)]["content"][JSON]["examples"].values()
    assert answer.json() == example["value"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/plots", {"POST"}),
        ("PUT", "/api/plots/none", {"GET", "DELETE"}),
        ("OPTIONS", "/api/plots/none", {"GET", "DELETE"}),
        ("GET", "/v1/completions", {"POST"}),
        ("PUT", "/desk", {"GET", "POST"}),
    ],
)
def test_another_method_is_told_which_there_are(client: Client, method: str, path: str, allowed: set[str]) -> None:
    answer = client.request(method, path)
    assert answer.status_code == (204 if method == "OPTIONS" else 405)
    assert {*answer.headers["allow"].split(", ")} == {*allowed, "OPTIONS"}


def test_the_page_has_a_section_for_each_operation_and_an_entry_for_each_field(
    client: Client, document: dict[str, Any]
) -> None:
    page = client.get("/docs").text
    assert len(page) < 60_000
    assert page.count("<h1") == page.count("<main>") == 1
    for id, operation in operations(document).items():
        (section,) = re.findall(rf'<section aria-labelledby="{id}">(.*?)</section>', page, re.DOTALL)
        assert operation["summary"] in section
        for status in operation["responses"]:
            assert f"<dt>{status}</dt>" in section
        for content in operation.get("requestBody", {}).get("content", {}).values():
            name = content["schema"]["$ref"].rsplit("/", 1)[-1]
            for field in document["components"]["schemas"][name]["properties"]:
                assert f"<code>{field}</code>" in section


@pytest.mark.parametrize("host", ["<b>&amp;", "[::1", "", "a b", "x" * 5000, "ü"])
def test_the_page_trusts_no_host(client: Client, host: str) -> None:
    answer = client.get("/docs", headers={b"Host": host.encode()})
    assert answer.status_code in (200, 400)
    assert "<b>" not in answer.text
