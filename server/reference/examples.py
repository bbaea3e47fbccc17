"""Examples of what is asked and answered, in the words of the model that is served. Tests send and compare them."""

from collections.abc import Iterable
from typing import Any

import msgspec

from server.bundle import Manifest
from server.http.responses import FORM, JSON
from server.http.sse import EVENT_STREAM

Examples = dict[str, dict[str, Any]]
"""By name: each with a summary and its value."""

OPENING = "A detective in Lisbon"
PLOT = "Xr3K0dVnSg6vYq1bZtW2uA"


def paths(manifest: Manifest) -> dict[str, str]:
    """What stands in a path, by the name of the parameter."""
    return {"model": manifest.name, "plot_id": PLOT}


def requests(manifest: Manifest) -> dict[str, dict[str, Examples]]:
    """Of bodies that are accepted, by operation and media type."""
    model, genre = manifest.name, manifest.prompt.genres[0]
    asked = {"model": model, "prompt": OPENING, "max_tokens": 60, "temperature": 0.8, "seed": 1}
    brief = {"prompt": OPENING, "genre": genre, "length": "line", "wildness": 3, "seed": 1}
    return {
        "createCompletion": {
            JSON: {
                "whole": {"summary": "In one piece", "value": asked},
                "stream": {"summary": "As it is written", "value": asked | {"stream": True}},
                "genre": {"summary": "Led towards a genre", "value": asked | {"genre": genre}},
                "scores": {
                    "summary": "The log probabilities of a text",
                    "value": {"model": model, "prompt": OPENING, "max_tokens": 0, "echo": True, "logprobs": 1},
                },
            }
        },
        "startPlot": {
            JSON: {"brief": {"summary": "Every field", "value": brief}},
            FORM: {"brief": {"summary": "Every field", "value": {name: str(value) for name, value in brief.items()}}},
        },
    }


def answers(manifest: Manifest) -> dict[tuple[str, str], dict[str, Examples]]:
    """Of answers, by operation and status, then by media type."""
    model = {"id": manifest.name, "object": "model", "created": 1790000000, "owned_by": "plotify"}
    usage = {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}
    choice = {"text": " finds a letter", "index": 0, "logprobs": None, "finish_reason": "length"}
    completion = {
        "id": "cmpl-5f0c",
        "object": "text_completion",
        "created": 1790000000,
        "model": manifest.name,
        "choices": [choice],
        "usage": usage,
    }
    chunks = [
        {key: value for key, value in completion.items() if key != "usage"} | {"choices": [choice | given]}
        for given in ({"text": " finds", "finish_reason": None}, {"text": " a letter"})
    ]
    told = [
        ("token", {"text": " finds"}),
        ("token", {"text": " a letter."}),
        ("done", {"finish_reason": "stop", "usage": usage, "seed": 1}),
    ]
    unknown_model = _failure(
        f"model: there is no 'gpt-4' here; this server has {manifest.name!r}.", param="model", code="model_not_found"
    )
    unknown_plot = _refusal(
        "There is no plot none: there never was one, it has ended and is forgotten, or the server was started anew "
        "meanwhile. A plot can be read for 300 seconds after its end."
    )
    problem = "Choose a number from 1 to 5."
    return {
        ("createCompletion", "200"): {
            JSON: {"whole": {"summary": "In one piece", "value": completion}},
            EVENT_STREAM: _events({"data": text} for text in (*map(_text, chunks), "[DONE]")),
        },
        ("createCompletion", "400"): _failure("temperature: expected `float` <= 10.0.", param="temperature"),
        ("createCompletion", "404"): unknown_model,
        ("listModels", "200"): _value({"object": "list", "data": [model]}),
        ("retrieveModel", "200"): _value(model),
        ("retrieveModel", "404"): unknown_model,
        ("startPlot", "201"): _value(
            {"id": PLOT, "seed": 1, "self": f"/api/plots/{PLOT}", "events": f"/api/plots/{PLOT}/events"}
        ),
        ("startPlot", "422"): _refusal(problem, problems={"wildness": problem}),
        ("readPlot", "200"): _value(
            {
                "id": PLOT,
                "state": "done",
                "prompt": OPENING,
                "text": " finds a letter.",
                "seed": 1,
                "usage": usage,
                "last_event_id": 3,
                "finish_reason": "stop",
                "problem": None,
            }
        ),
        ("readPlot", "404"): unknown_plot,
        ("stopPlot", "404"): unknown_plot,
        ("followPlot", "200"): {
            EVENT_STREAM: _events(
                {"id": str(id), "event": name, "data": _text(data)} for id, (name, data) in enumerate(told, start=1)
            )
        },
        ("followPlot", "404"): unknown_plot,
        ("readReadiness", "200"): _value({"status": "ready"}),
        ("readReadiness", "503"): _value({"status": "restarting"}),
        ("readHealth", "200"): _value(
            {"status": "ok", "model": manifest.name, "running": 2, "waiting": 0, "written": 54321}
        ),
    }


def _value(value: Any) -> dict[str, Examples]:
    return {JSON: {"answer": {"value": value}}}


def _events(events: Iterable[dict[str, str]]) -> Examples:
    return {f"event {number}": {"value": event} for number, event in enumerate(events, start=1)}


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _failure(message: str, param: str, code: str | None = None) -> dict[str, Examples]:
    return _value({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}})


def _refusal(message: str, **more: Any) -> dict[str, Examples]:
    return _value({"message": message} | more)
