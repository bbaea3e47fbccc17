"""A server below a path of its proxy."""

import re

import pytest
from litestar.testing import TestClient

from server.app import create_app
from server.engine import Engine
from server.settings import Settings
from tests.server.desk.visiting import Visitor

LINK = re.compile(r'\b(?:href|src|action|formaction)="([^"#][^"]*)"')


@pytest.mark.parametrize("removed", [True, False])
def test_every_address_is_below_the_root_path(engine: Engine, removed: bool) -> None:
    with TestClient(create_app(engine, Settings(root_path="/a/plotify"))) as client:
        client.follow_redirects = False
        outside = "" if removed else "/a/plotify"

        def get(path: str) -> str:
            answer = client.get(outside + path)
            assert answer.status_code == 200, path
            return answer.text

        start = client.get(f"{outside}/")
        assert "Path=/a/plotify;" in start.headers["set-cookie"]
        cookie = start.headers["set-cookie"].split(";")[0]
        client.headers["Cookie"] = cookie  # below another path, the client would not send it
        token = Visitor(client).token
        form = {"token": token, "text": "A fox", "do": "keep"}
        kept = client.post(f"{outside}/desk", data=form, headers={"Accept": "application/json"}).json()
        assert kept["address"] == f"/a/plotify/shelf/{kept['plot']}"
        answer = client.post(f"{outside}/desk", data=form)
        assert answer.headers["location"].startswith("/a/plotify/shelf/")
        assert client.get(f"{outside}/desk").headers["location"] == "/a/plotify/"
        page = f"/shelf/{kept['plot']}"
        answer = client.post(outside + page, data={"token": token, "do": "share"})
        assert answer.headers["location"] == f"/a/plotify{page}/about#share"
        about = get(f"{page}/about")
        (shared,) = {*re.findall(r'"http://testserver.local/a/plotify(/shared/[^"]*)"', about)}
        for text in (start.text, about, *map(get, ("/shelf", "/about", "/docs", page, shared))):
            links = [link for link in LINK.findall(text) if not link.startswith("http")]
            assert links
            assert [link for link in links if not link.startswith("/a/plotify/")] == []
        style = re.search(r'"/a/plotify(/static/\w+/plotify[^"]*)"', start.text)
        assert style
        get(style[1])
        assert "http://testserver.local/a/plotify/v1/completions" in get("/docs")
        assert client.get(f"{outside}/openapi.json").json()["servers"] == [{"url": "/a/plotify"}]
        plot = client.post(f"{outside}/api/plots", json={"prompt": "A fox", "length": "line"})
        assert plot.headers["location"] == plot.json()["self"]
        assert plot.json()["events"] == plot.json()["self"] + "/events"
        assert plot.json()["self"].startswith("/a/plotify/api/plots/")
        assert client.get("/a/plotify").status_code == 200
        assert client.get("/a/plotify2/").status_code == 404
        assert client.get("/healthz").status_code == 200
