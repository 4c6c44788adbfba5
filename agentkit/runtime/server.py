"""The platform over HTTP: every row of `protocol.api` under its method and path, each caller in its dialect.

    app = create_app(platform, config=ServerConfig())

The app is plain ASGI without a lifespan: whoever owns the platform enters it before and leaves it after. Its
`app.state.streams` are the open streams; closing them lets a shutdown be short.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from types import NoneType
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentkit.protocol import api
from agentkit.protocol.dialects import choose
from agentkit.runtime import bodies, replies
from agentkit.runtime.auth import Caller, Gate
from agentkit.runtime.config import ServerConfig
from agentkit.runtime.console.serving import console_routes
from agentkit.runtime.faults import Fault
from agentkit.runtime.handlers import routes
from agentkit.runtime.idempotency import Once
from agentkit.runtime.platform import Platform
from agentkit.runtime.ratelimits import Limiter, RateLimits
from agentkit.runtime.routes import AnyEndpoint, Asked
from agentkit.runtime.streams import OpenStreams, Stream

__all__ = ["create_app"]

VERSION_PREFIX = "/v1"  # protocol.md 10, #11: stripped where present
ALLOWED_HEADERS = (  # protocol.md 1.1, "CORS"; the last two are this server's
    "authorization", "content-type", "x-api-version", "x-client-source", "x-inf-target-url", "x-team-id",
    "idempotency-key", "last-event-id",
)  # fmt: skip
OPTIONAL_KEY = (api.FILE_CONTENT,)  # a public file needs no key
CALLBACK: Final = "token"  # the query of a webhook's callback, which needs no key either (protocol.md 6.5)
RATE_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
LIMITED: Final = {  # seeds/000, "Rate Limits": which requests are counted, and as what
    (endpoint.method, endpoint.path): kind
    for kind, endpoints in (("run", (api.RUN_TASK, api.RUN)), ("get", (api.GET_TASK,)), ("upload", (api.CREATE_FILES,)))
    for endpoint in endpoints
}


def create_app(platform: Platform, *, config: ServerConfig | None = None) -> Starlette:
    """The ASGI app of a platform. Raises ConfigError where the settings would let everybody in."""
    config = config or ServerConfig()
    routes.check(api.ENDPOINTS)
    server = _Server(platform, config)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(config.cors_origins),
        allow_credentials=True,  # one SDK generation sends them, so the origin must be named exactly (protocol.md 1.1)
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=list(ALLOWED_HEADERS),
        expose_headers=["Retry-After", "Idempotency-Replayed", *RATE_HEADERS],
    )
    app = Starlette(
        routes=[Route(path, _Resource(methods, server)) for path, methods in _paths().items()]
        + [*(console_routes(platform, server.gate) if config.console else [])]
        + [Route("/{path:path}", _Resource({}, server))],
        middleware=[*([cors] if config.cors_origins else []), Middleware(_Unprefixed)],
    )
    app.state.streams = server.streams
    return app


def _paths() -> dict[str, dict[str, AnyEndpoint]]:
    """Path to method to endpoint; a path with fewer parameters comes first, because it is the more exact one."""
    found: defaultdict[str, dict[str, AnyEndpoint]] = defaultdict(dict)
    for endpoint in sorted(api.ENDPOINTS.values(), key=lambda each: len(each.parameters)):
        found[endpoint.path][endpoint.method] = endpoint
    exact = {path: {each.method: each for each in endpoints} for path, endpoints in api.ALIASES.items()}
    return {**exact, **found}


class _Server:
    """What all resources share."""

    def __init__(self, platform: Platform, config: ServerConfig) -> None:
        self.platform = platform
        self.config = config
        self.gate = Gate(platform, config)
        self.streams = OpenStreams()
        self._limiter = Limiter(config.rate_limits or RateLimits())

    async def asked(self, endpoint: AnyEndpoint, request: Request, told: dict[str, str]) -> Asked:
        """The request, allowed, counted, read and checked; `told` gets what its answer says of rate limits.

        Raises Fault or pydantic's ValidationError.
        """
        caller = await self._caller(endpoint, request)
        self._count(endpoint, caller.key_id if caller else "", told)
        body, once = None, None
        if endpoint.body is not NoneType and not (endpoint is api.CREATE_FILES and bodies.is_multipart(request)):
            data = await bodies.read_json(request, max_bytes=self.config.max_body_bytes)
            body = endpoint.take(data)
            once = _once(endpoint, request, caller=caller.owner if caller else None, data=data)
        owner, scopes = (caller.owner, caller.scopes) if caller else (None, ())
        who = {"approver": caller.approver} if caller else {}
        return Asked(
            self.platform, endpoint, request, self.streams, self.config.max_body_bytes, owner,
            body=body, once=once, scopes=scopes, **who,
        )  # fmt: skip

    def _count(self, endpoint: AnyEndpoint, key_id: str, told: dict[str, str]) -> None:
        """Counts the request against the limit of its key. Raises Fault `rate_limited`."""
        kind = LIMITED.get((endpoint.method, endpoint.path))
        allowance = self._limiter.take(kind, key_id, now=time.monotonic()) if kind else None
        if allowance is None:
            return
        told |= allowance.headers(wall_clock=time.time())
        if not allowance.is_allowed:
            raise Fault(
                "rate_limited",
                f"more than {allowance.limit} requests of this kind within the time that is counted; "
                f"the next one is possible in {told['Retry-After']} s; {kind}=... in the server's --rate-limits "
                "(AGENTKIT_RATE_LIMITS) allows more",
            )

    async def _caller(self, endpoint: AnyEndpoint, request: Request) -> Caller | None:
        is_optional = endpoint in OPTIONAL_KEY or (
            endpoint is api.SUBMIT_TOOL_RESULT and CALLBACK in request.query_params
        )
        if endpoint.is_public or (is_optional and self.platform.needs_key and not self.gate.carries_key(request)):
            return None
        return await self.gate.caller(request, scope=endpoint.scope)


class _Resource:
    """Everything at one path."""

    def __init__(self, methods: Mapping[str, AnyEndpoint], server: _Server) -> None:
        self._methods = methods
        self._server = server
        self._allow = ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        request = Request(scope, receive)
        told: dict[str, str] = {}
        try:
            response = await self._answer(request, told)
        except Exception as error:
            response = replies.failed(choose(request.headers), error, method=request.method, path=request.url.path)
        await response(scope, receive, _telling(send, told) if told else send)

    async def _answer(self, request: Request, told: dict[str, str]) -> ASGIApp:
        self._server.gate.check(request)
        if not self._methods:
            raise Fault("not_found", f"there is no {request.url.path!r} here; GET /openapi.json lists what there is")
        dialect = choose(request.headers)
        if request.method == "OPTIONS":
            return replies.good(dialect, None, {"Allow": self._allow})
        endpoint = self._methods.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is None:
            raise Fault(
                "method_not_allowed", f"{request.url.path} takes {self._allow}, not {request.method}", allow=self._allow
            )
        asked = await self._server.asked(endpoint, request, told)
        found: Any = await routes[endpoint](asked)
        if isinstance(found, Stream) and asked.caller is not None and self._server.platform.needs_key:
            found.while_allowed(partial(self._server.gate.still_allows, request, scope=endpoint.scope))
        if callable(found):
            return found  # type: ignore[no-any-return]  # a stream: bare in every dialect (protocol.md 1.2)
        is_replay = asked.once is not None and asked.once.is_replay
        return replies.good(dialect, found, {"Idempotency-Replayed": "true"} if is_replay else None)


class _Unprefixed:
    """Serves `/v1/...` as `/...`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] == "http" and str(scope["path"]).startswith(f"{VERSION_PREFIX}/"):
            scope = {**scope, "path": str(scope["path"]).removeprefix(VERSION_PREFIX)}
        await self._app(scope, receive, send)


def _telling(send: Send, headers: Mapping[str, str]) -> Send:
    """Sends an answer, whatever kind it is, with these headers too."""
    lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *lines]}
        await send(message)

    return told


def _once(endpoint: AnyEndpoint, request: Request, *, caller: str | None, data: Any) -> Once | None:
    key = request.headers.get("idempotency-key")
    if key is None or not endpoint.takes_key or caller is None:
        return None
    parameters = [request.path_params[name] for name in endpoint.parameters]
    return Once.of(key, owner=caller, path=" ".join([endpoint.method, endpoint.path, *parameters]), body=data)
