"""Fake picture services on a free port. They follow the real ones' documentation, and fail on demand."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import encode_basic_auth, web

from server.pictures.http_provider import MAX_BYTES

KEY = "sk-Secret4711"
LOGIN = "writer:Secret4711"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


@dataclass
class Services:
    """All three protocols.

    trouble: failures of the next paid requests, in order. answer: status and body for all paid requests instead.
    by_url: keep pictures at another address. kept_trouble: the failure of requests there. shares: the progress of a web
    UI, one value for each request. drawn: set at the end of a drawing. asked: the bodies of paid requests. others: the
    other requests to a web UI.
    """

    trouble: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    drawn: asyncio.Event = field(default_factory=asyncio.Event)
    kept_trouble: str = ""
    answer: tuple[int, bytes] | None = None
    by_url: bool = False
    address: str = ""

    async def misbehave(self, request: web.Request, refusals: dict[str, web.Response]) -> web.StreamResponse | None:
        """Return the next failure, or None."""
        if self.answer:
            return web.Response(status=self.answer[0], body=self.answer[1])
        match self.trouble.pop(0) if self.trouble else None:
            case None:
                return None
            case "hang":
                await asyncio.sleep(3600)
            case "half":
                return await _broken_off(request)
            case "huge":
                return await _endless(request)
            case "packed":
                return web.Response(body=PNG, headers={"Content-Encoding": "br"})
            case "page":
                return web.Response(text="<!doctype html><p>Welcome to the proxy</p>", content_type="text/html")
            case "redirect":
                return web.Response(status=307, headers={"Location": "http://127.0.0.1:9/elsewhere"})
            case "soon":
                return web.json_response({}, status=429, headers={"Retry-After": "7"})
            case "late":
                return web.json_response({}, status=429, headers={"Retry-After": "1800"})
            case "empty":
                return web.Response()
            case str(name) if name in refusals:
                return refusals[name]
            case str(name):
                return web.Response(status=int(name), text=f"{KEY} {LOGIN} what was typed")
        return None

    async def stability(self, request: web.Request) -> web.StreamResponse:
        """Serve POST /v2beta/stable-image/generate/{model}."""
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _of_stability(401, "unauthorized")
        if not request.content_type.startswith("multipart/"):
            return _of_stability(400, "bad_request")
        fields = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(fields | {"model of path": request.match_info["model"]})
        filtered = web.Response(body=PNG, headers={"finish-reason": "CONTENT_FILTERED"}, content_type="image/png")
        refusals = {"moderation": _of_stability(403, "content_moderation"), "filtered": filtered}
        if trouble := await self.misbehave(request, refusals):
            return trouble
        if not fields.get("prompt") or request.headers["Accept"] != "image/*":
            return _of_stability(400, "bad_request")
        return web.Response(body=PNG, headers={"finish-reason": "SUCCESS", "seed": "1"}, content_type="image/png")

    async def openai(self, request: web.Request) -> web.StreamResponse:
        """Serve POST /v1/images/generations."""
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _of_openai(401, "invalid_api_key", f"Incorrect API key provided: {KEY}")
        fields = await request.json()
        self.asked.append(fields)
        refusals = {
            "moderation": _of_openai(400, "moderation_blocked", f"Rejected: {fields['prompt']}"),
            "money": _of_openai(429, "insufficient_quota"),
        }
        if trouble := await self.misbehave(request, refusals):
            return trouble
        if not fields.get("prompt") or "response_format" in fields:
            return _of_openai(400, "unknown_parameter")
        kept = {"url": f"{self.address}/kept.png?signature=1"}
        return web.json_response({"created": 1, "data": [kept if self.by_url else {"b64_json": _encoded()}]})

    async def kept(self, request: web.Request) -> web.StreamResponse:
        """Serve a picture at another address. It must not get the key."""
        assert "Authorization" not in request.headers
        self.trouble = [self.kept_trouble] if self.kept_trouble else []
        return await self.misbehave(request, {}) or web.Response(body=PNG, content_type="image/png")

    async def webui(self, request: web.Request) -> web.StreamResponse:
        """Serve /sdapi/v1/txt2img, /sdapi/v1/progress and /sdapi/v1/interrupt."""
        if request.headers.get("Authorization") != encode_basic_auth(*LOGIN.split(":")):
            return web.json_response({"detail": "Incorrect username or password"}, status=401)
        name = request.match_info["name"]
        if name == "progress":
            assert request.query["skip_current_image"] == "true"
            share = self.shares.pop(0) if self.shares else 0.0
            if not self.shares:
                self.drawn.set()
            return web.json_response({"progress": share, "eta_relative": 3.5, "state": {}, "current_image": None})
        if name == "interrupt":
            self.others.append(name)
            self.drawn.set()
            return web.json_response({})
        fields = await request.json()
        self.asked.append(fields)
        refusals = {
            "moderation": web.json_response({"error": "content_policy", "errors": fields["prompt"]}, status=400),
            "memory": web.json_response({"error": "OutOfMemoryError", "errors": "CUDA out of memory"}, status=500),
        }
        if trouble := await self.misbehave(request, refusals):
            return trouble
        if not isinstance(fields.get("prompt"), str):
            return web.json_response({"detail": [{"input": fields}]}, status=422)
        if self.shares:
            await self.drawn.wait()
        return web.json_response({"images": [_encoded()], "parameters": {}, "info": "{}"})


@asynccontextmanager
async def services() -> AsyncIterator[Services]:
    """Run all services at one address, on this event loop."""
    found = Services()
    app = web.Application()
    routes: list[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = [
        ("POST", "/v2beta/stable-image/generate/{model}", found.stability),
        ("POST", "/v1/images/generations", found.openai),
        ("GET", "/kept.png", found.kept),
        ("*", "/sdapi/v1/{name}", found.webui),
    ]
    for method, path, handler in routes:
        app.router.add_route(method, path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()


def _encoded() -> str:
    return base64.b64encode(PNG).decode()


def _of_stability(status: int, name: str) -> web.Response:
    return web.json_response({"id": "a1", "name": name, "errors": [f"{KEY}: what was typed"]}, status=status)


def _of_openai(status: int, code: str, message: str = "no") -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return web.json_response({"error": error}, status=status)


async def _broken_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "5000"})
    await response.prepare(request)
    await response.write(PNG)
    assert request.transport is not None
    request.transport.close()
    return response


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(MAX_BYTES // 2**20 + 2):
        await response.write(PNG.ljust(2**20, b"\0"))
    return response
