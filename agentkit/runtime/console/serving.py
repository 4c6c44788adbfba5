"""The console over HTTP: its pages under `/console`, its files, and signing in and out at `/console/session`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from agentkit import __version__
from agentkit.protocol.dialects import Dialect
from agentkit.runtime import bodies, replies
from agentkit.runtime.auth import Gate, approver_of
from agentkit.runtime.console import cookies
from agentkit.runtime.console.attempts import Attempts
from agentkit.runtime.console.pages import INDEX, SECURITY, Page, pages
from agentkit.runtime.faults import Fault
from agentkit.runtime.platform import Platform
from agentkit.runtime.records import KeyRecord
from agentkit.runtime.service import LOCAL

__all__ = ["console_routes"]

LONGEST_SIGN_IN: Final = 8 << 10  # bytes of a body that holds one key
Answer = Callable[[Request], Awaitable[Response]]


def console_routes(platform: Platform, gate: Gate) -> Sequence[Route]:
    """What serves the console; nothing else of the API lies below `/console`."""
    console = _Console(platform, gate)
    shown = {"GET": console.page}
    return [
        Route("/console/session", _Resource(gate, console.session)),
        Route("/console/static/{name}", _Resource(gate, {"GET": console.static})),
        Route("/console", _Resource(gate, shown)),
        Route("/console/{path:path}", _Resource(gate, shown)),
    ]


class _Console:
    """What the console answers."""

    def __init__(self, platform: Platform, gate: Gate) -> None:
        self._platform = platform
        self._gate = gate
        self._attempts = Attempts()
        self.session: Mapping[str, Answer] = {"GET": self.who, "POST": self.sign_in, "DELETE": self.sign_out}

    async def page(self, request: Request) -> Response:
        """The one page there is; what it shows depends on the path, which it reads itself."""
        return _sent(request, (await anyio.to_thread.run_sync(pages))[INDEX])

    async def static(self, request: Request) -> Response:
        """A file of the page. Raises Fault `not_found`."""
        name = str(request.path_params["name"])
        found = (await anyio.to_thread.run_sync(pages)).get(name)
        if found is None or name == INDEX:
            raise Fault("not_found", f"the console has no file {name[:100]!r}")
        return _sent(request, found)

    async def who(self, request: Request) -> Response:
        """GET /console/session: who is signed in, if anybody, and whether that is needed."""
        key = await self._gate.console_key(request) if self._platform.needs_key else None
        return self._told(key)

    async def sign_in(self, request: Request) -> Response:
        """POST /console/session: an API key for a cookie. Raises Fault."""
        origins = self._own_page(request)
        body = await bodies.read_json(request, max_bytes=LONGEST_SIGN_IN)
        key = body.get("api_key")
        if not isinstance(key, str) or not key.strip():
            raise Fault("invalid_request", "send the API key as `api_key`")
        if not self._platform.needs_key:
            return self._told(None)
        address = request.client.host if request.client else ""
        self._attempts.begin(address, now=time.monotonic())
        before = cookies.token_in(request, origins=origins)
        token, record = await self._platform.console_sessions.begin(key.strip(), replaces=before)
        self._attempts.succeeded(address)
        return self._told(record, cookie=cookies.kept(token, origins=origins))

    async def sign_out(self, request: Request) -> Response:
        """DELETE /console/session."""
        origins = self._own_page(request)
        if token := cookies.token_in(request, origins=origins):
            await self._platform.console_sessions.end(token)
        return self._told(None, cookie=cookies.dropped(origins=origins))

    def _own_page(self, request: Request) -> frozenset[str]:
        """The server's own origins. Raises Fault `forbidden` where no page of theirs sent the request."""
        origins = self._gate.origins(request)
        if not cookies.is_console(request, origins=origins):
            raise Fault("forbidden", "only the console's own pages may do that, and they send `X-Agentkit-Console: 1`")
        return origins

    def _told(self, key: KeyRecord | None, *, cookie: str | None = None) -> Response:
        told: dict[str, Any] = {
            "needs_key": self._platform.needs_key,
            "signed_in": key is not None or not self._platform.needs_key,
            "name": approver_of(key).name if key else None if self._platform.needs_key else LOCAL,
            "groups": sorted(key.groups) if key else None,  # without keys nobody is told apart
            "scopes": list(key.scopes) if key else [],
            "version": __version__,
        }
        return replies.good(Dialect.BARE, told, {"Set-Cookie": cookie} if cookie else None)


class _Resource:
    """Everything at one path, behind the same gate as the API."""

    def __init__(self, gate: Gate, methods: Mapping[str, Answer]) -> None:
        self._gate = gate
        self._methods = methods
        self._allow = ", ".join([*methods, "HEAD"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except Exception as error:
            response = replies.failed(Dialect.BARE, error, method=request.method, path=request.url.path)
        response.headers.update(SECURITY)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        self._gate.check(request)
        answer = self._methods.get("GET" if request.method == "HEAD" else request.method)
        if answer is None:
            raise Fault("method_not_allowed", f"{request.url.path} takes {self._allow}", allow=self._allow)
        return await answer(request)


def _sent(request: Request, page: Page) -> Response:
    headers = {"ETag": page.etag, "Cache-Control": "no-cache"}
    wanted = [each.strip() for each in request.headers.get("if-none-match", "").split(",")]
    if page.etag in wanted:
        return Response(status_code=304, headers=headers)
    response = Response(page.body, headers=headers)
    response.headers["content-type"] = page.media_type  # exactly, once
    return response
