"""A writer's visit to a server, for all tests of the writers' pages."""

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.server.desk.visiting import Visitor


@pytest.fixture
def visitor(client: TestClient[Litestar]) -> Visitor:
    return Visitor(client)
