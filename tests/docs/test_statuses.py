"""The tables of status codes in the docs have all statuses of the API, and no others."""

import re

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from server.http.connection import REFUSALS
from server.reference.document import operations
from tests.documentation import DOCS

Client = TestClient[Litestar]


@pytest.mark.parametrize(
    ("page", "prefix", "least"), [("completions.md", "/v1/", 400), ("plots.md", "/api/plots", 200)]
)
def test_statuses(page: str, prefix: str, least: int, client: Client) -> None:
    """The page on completions has only errors, so it starts at 400."""
    found = operations(client.get("/openapi").json()).values()
    declared = {int(status) for each in found if each["path"].startswith(prefix) for status in each["responses"]}
    # Every address has these statuses, so no operation declares them.
    anywhere = {client.patch(prefix.rstrip("/")).status_code, client.patch(f"{prefix}/a/b/c").status_code, *REFUSALS}
    anywhere |= {client.put(each["path"].format(plot_id="a", model="a")).status_code for each in found}
    documented = re.findall(r"^\| (\d{3}) \|", (DOCS / page).read_text(), re.MULTILINE)
    assert documented == sorted({str(status) for status in declared | anywhere if status >= least})
