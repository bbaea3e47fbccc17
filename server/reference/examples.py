"""Examples of requests and responses for the model of the server. Tests send and compare them."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from msgspec import UNSET, Struct, UnsetType, to_builtins
from msgspec.json import encode

from server.bundle import Manifest
from server.completions.errors import RequestError, UnknownModel, error_response
from server.completions.schema import Choice, Completion, FinishReason, Model, ModelList
from server.http.responses import FORM, JSON
from server.http.sse import EVENT_STREAM
from server.observability.routes import Health, Readiness
from server.plots.journal import Done, Event, Token
from server.plots.place import END, Digest, Place
from server.plots.plots import UnknownPlot
from server.plots.schema import PlotSoFar, Refusal, Started
from server.writing.brief import ANY_GENRE
from server.writing.usage import Usage

Examples = dict[str, dict[str, Any]]
"""Examples by name, each with its `value` and perhaps a `summary`."""

OPENING = "A detective in Lisbon"
PLOT = "Xr3K0dVnSg6vYq1bZtW2uA"
CREATED = 1_790_000_000
"""Seconds since 1970."""


def paths(manifest: Manifest) -> dict[str, str]:
    """Return the examples of the parameters in paths, by name."""
    return {"model": manifest.name, "plot_id": PLOT}


def requests(manifest: Manifest) -> dict[str, dict[str, Examples]]:
    """Return the examples of bodies that the server accepts, by operation and media type."""
    model, genre = manifest.name, manifest.prompt.genres[0]
    # Without a genre and with OpenAI's own defaults, the model writes far worse than it can.
    defaults = {name: value for name, value in asdict(manifest.sampling).items() if name != "guidance"}
    asked = {"model": model, "prompt": OPENING, "genre": ANY_GENRE, "max_tokens": 60, **defaults, "seed": 1}
    brief = {"prompt": OPENING, "genre": genre, "length": "line", "wildness": 3, "seed": 1}
    return {
        "createCompletion": {
            JSON: {
                "whole": {"summary": "In one piece", "value": asked},
                "stream": {"summary": "As a stream", "value": asked | {"stream": True}},
                "genre": {"summary": "In a genre", "value": asked | {"genre": genre}},
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


def responses(manifest: Manifest) -> dict[tuple[str, str], dict[str, Examples]]:
    """Return the examples of responses, by operation and status, then by media type."""
    model = Model(id=manifest.name, created=CREATED)
    usage = Usage(8, 3, 11)

    def completion(text: str, reason: FinishReason | None, used: Usage | UnsetType = UNSET) -> Completion:
        choices = [Choice(text, 0, finish_reason=reason)]
        return Completion(id="cmpl-5f0c", created=CREATED, model=manifest.name, choices=choices, usage=used)

    whole = completion(" finds a letter", "length", usage)
    chunks = completion(" finds", None), completion(" a letter", "length")
    plot_events: tuple[Event, ...] = Token(" finds"), Token(" a letter."), Done("stop", usage, 1)
    places = Place(1, Digest(" finds").value), Place(3, Digest(" finds a letter.").value)
    plot_ids = places[0].id, places[1].id, places[1].id + END
    unknown_model = _json(error_response(UnknownModel("gpt-4", manifest.name)))
    unknown_plot = _json(Refusal(UnknownPlot.of("none", 300).message))
    problem = "Choose a number from 1 to 5."
    so_far = PlotSoFar(PLOT, "done", OPENING, " finds a letter.", 1, usage, plot_ids[-1], "stop", None)
    return {
        ("createCompletion", "200"): {
            JSON: {"whole": {"summary": "In one piece", "value": to_builtins(whole)}},
            EVENT_STREAM: _events({"data": text} for text in (*map(_text, chunks), "[DONE]")),
        },
        ("createCompletion", "400"): _json(error_response(RequestError("expected `float` <= 10.0.", "temperature"))),
        ("createCompletion", "404"): unknown_model,
        ("listModels", "200"): _json(ModelList(data=[model])),
        ("retrieveModel", "200"): _json(model),
        ("retrieveModel", "404"): unknown_model,
        ("startPlot", "201"): _json(Started(PLOT, 1, f"/api/plots/{PLOT}", f"/api/plots/{PLOT}/events")),
        ("startPlot", "422"): _json(Refusal(problem, {"wildness": problem})),
        ("readPlot", "200"): _json(so_far),
        ("readPlot", "404"): unknown_plot,
        ("stopPlot", "404"): unknown_plot,
        ("followPlot", "200"): {
            EVENT_STREAM: _events(
                {"id": id, "event": each.name, "data": _text(each)}
                for id, each in zip(plot_ids, plot_events, strict=True)
            )
        },
        ("followPlot", "404"): unknown_plot,
        ("readReadiness", "200"): _json(Readiness(status="ready")),
        ("readReadiness", "503"): _json(Readiness(status="restarting")),
        ("readHealth", "200"): _json(Health(model=manifest.name, running=2, waiting=0, written=54321)),
    }


def _json(value: Struct) -> dict[str, Examples]:
    return {JSON: {"answer": {"value": to_builtins(value)}}}


def _events(events: Iterable[dict[str, str]]) -> Examples:
    return {f"event {number}": {"value": event} for number, event in enumerate(events, start=1)}


def _text(value: Struct) -> str:
    return encode(value).decode()
