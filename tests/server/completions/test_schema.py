"""The fields of a request have the bounds of the engine, and are in the docs."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.completions.parsed_request import SAMPLING
from server.completions.schema import CompletionRequest
from server.engine import InvalidRequest, Sampling

DOCS = Path(__file__).parents[3] / "docs" / "completions.md"
BOUNDED = [name for name in SAMPLING if name not in ("max_tokens", "top_k", "seed")]


def bounds(name: str) -> dict[str, Any]:
    """Return the bounds of a field: {"ge" or "gt": …, "le": …}."""
    optional = CompletionRequest.__annotations__[name].__origin__
    constraints = optional.__args__[0].__metadata__[0]
    return {kind: value for kind in ("ge", "gt", "le") if (value := getattr(constraints, kind)) is not None}


@pytest.mark.parametrize("name", [*BOUNDED, "logprobs"])
def test_the_bounds_are_those_of_the_engine(name: str) -> None:
    found = bounds(name)
    step: Any = 1 if name == "logprobs" else 1e-6
    for inside in (found["gt"] + step if "gt" in found else found["ge"], found["le"]):
        Sampling(**{name: inside})
    for outside in (found["le"] + step, found["gt"] if "gt" in found else found["ge"] - step):
        with pytest.raises(InvalidRequest, match=name):
            Sampling(**{name: outside})


def test_every_field_is_in_the_docs() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for field in msgspec.structs.fields(CompletionRequest):
        assert f"`{field.name}`" in text
