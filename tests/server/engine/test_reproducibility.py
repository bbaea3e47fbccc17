"""The same request gives the same tokens: alone, among 63 others, before and after them."""

import pytest

from server.bundle import Bundle
from server.engine import Engine, EngineConfig
from tests.server.reading import PRECISIONS, all_at_once, one_by_one, some_requests


@pytest.mark.parametrize(("precision", "count"), [("fp32", 100), ("int8", 500), ("int4", 100)])
def test_company_changes_no_token(bundle: Bundle, precision: str, count: int) -> None:
    requests = some_requests(count, seed=20)
    with Engine(bundle, EngineConfig(precision, threads=1, kept=0)) as engine:
        alone = one_by_one(engine, requests)
    with Engine(bundle, EngineConfig(precision, threads=1, rows=64, queue=2 * count)) as engine:
        assert all_at_once(engine, requests) == alone
        assert all_at_once(engine, requests[::-1]) == alone[::-1]
    assert len({tuple(tokens) for tokens in alone}) > count // 2, "they are not all the same anyway"


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rows", [2, 3, 7])
def test_rows_change_no_token(bundle: Bundle, precision: str, rows: int) -> None:
    requests = some_requests(30, seed=21)
    with Engine(bundle, EngineConfig(precision, threads=1, kept=0)) as engine:
        alone = one_by_one(engine, requests)
    with Engine(bundle, EngineConfig(precision, threads=1, rows=rows, kept=2, queue=60)) as engine:
        assert all_at_once(engine, requests) == alone


def test_two_engines_write_the_same(bundle: Bundle) -> None:
    requests = some_requests(30, seed=22)
    with Engine(bundle, EngineConfig(threads=1)) as first, Engine(bundle, EngineConfig(threads=1)) as second:
        assert all_at_once(first, requests) == one_by_one(second, requests)
