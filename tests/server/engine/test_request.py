"""Requests: valid sampling parameters, and refused ones."""

import math
from types import MappingProxyType
from typing import Any

import pytest

from server.engine import InvalidRequest, Sampling


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("max_tokens", value) for value in (-1, 1.5, "9", True, None)],
        *[("temperature", value) for value in (-0.1, 10.1, 10**400, math.nan, math.inf, "1", None, True)],
        *[("top_k", value) for value in (-1, 0.5, None)],
        *[("top_p", value) for value in (0, 0.0, -0.5, 1.01, math.nan, "x")],
        *[("min_p", value) for value in (-0.1, 1.01, math.nan, None)],
        *[("repetition_penalty", value) for value in (0, 0.01, 11, math.nan, math.inf)],
        *[("presence_penalty", value) for value in (-2.1, 2.1, math.nan, "0")],
        *[("frequency_penalty", value) for value in (-2.1, 2.1, math.nan, None)],
        *[("logit_bias", value) for value in (None, [(1, 2)], {"1": 2}, {-1: 2}, {True: 2}, {1: 101}, {1: math.nan})],
        ("logit_bias", dict.fromkeys(range(1025), 1)),
        *[("stop", value) for value in ("END", None, (1,), ("",), ("x" * 257,), ("x",) * 17)],
        *[("ignore_end", value) for value in (1, "yes", None)],
        *[("min_lengthening", value) for value in (-0.1, 1.1, "1", None)],
        *[("logprobs", value) for value in (-1, 21, 1.0, True)],
        *[("guidance", value) for value in (0.5, 11, math.nan)],
        *[("seed", value) for value in (-1, 1.5, "1", False)],
    ],
)
def test_wrong_values_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=rf"^{name}\b.* must be .*got "):
        Sampling(**{name: value})


def test_the_bounds_are_inclusive() -> None:
    numbers: dict[str, Any] = {
        "temperature": 10,
        "min_p": 1,
        "presence_penalty": -2,
        "frequency_penalty": 2,
        "guidance": 10,
    }
    lists: dict[str, Any] = {"logit_bias": dict.fromkeys(range(1024), -100), "stop": ("x" * 256,) * 16}
    for given in (numbers | {"logprobs": 20}, lists | {"logprobs": 0}):
        sampling = Sampling(**given)
        assert {name: getattr(sampling, name) for name in given} == given


def test_a_lone_stop_string_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidRequest, match=r"^stop must be a tuple of strings, even if it is only one; got 'END'"):
        Sampling(stop="END")  # type: ignore[arg-type]


def test_bad_words_are_checked_as_stop_strings_are() -> None:
    assert Sampling(bad_words=["fox"]).bad_words == ("fox",)  # type: ignore[arg-type]
    for wrong in ("fox", ("",), ("x" * 65,), ("fox",) * 33, (1,)):
        with pytest.raises(InvalidRequest, match=r"^bad_words must be "):
            Sampling(bad_words=wrong)  # type: ignore[arg-type]


def test_checked_values_cannot_change_afterwards() -> None:
    given = {5: 1.0}
    sampling = Sampling(logit_bias=given)
    given[-5] = math.nan
    assert sampling.logit_bias == {5: 1.0}
    assert sampling == Sampling(logit_bias=MappingProxyType({5: 1.0}))
    assert Sampling(stop=["a", "b"]).stop == ("a", "b")  # type: ignore[arg-type]


def test_samplings_can_be_keys() -> None:
    one, same = Sampling(logit_bias={5: 1.0}, stop=("a",)), Sampling(logit_bias={5: 1.0}, stop=("a",))
    assert one == same != Sampling(stop=("a",))
    assert len({one, same, Sampling(stop=("a",))}) == 2
