"""Which function answers which row of `protocol.api`.

    routes = Routes()

    @routes.on(api.STOP_CHAT)
    async def stop_chat(asked: Asked) -> None:
        await asked.platform.chats.stop(asked.owner, asked["chat_id"])

What a handler returns is dressed as JSON; an ASGI response is sent as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from starlette.requests import Request

from agentkit.errors import LocalProtocolError
from agentkit.protocol.endpoint import Endpoint
from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.faults import Fault
from agentkit.runtime.idempotency import Once
from agentkit.runtime.platform import Platform
from agentkit.runtime.service import LOCAL
from agentkit.runtime.streams import OpenStreams

__all__ = ["AnyEndpoint", "Asked", "Handler", "Routes"]

AnyEndpoint: TypeAlias = Endpoint[Any, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as the handlers see it. `body` is the endpoint's model; `owner` is whom it acts for.

    `owner` is None where the endpoint is public and no key came. `scopes` are its key's; [] allows everything.
    """

    platform: Platform
    endpoint: AnyEndpoint
    request: Request
    streams: OpenStreams
    max_body_bytes: int
    caller: str | None
    body: Any = None
    once: Once | None = None
    scopes: Sequence[str] = ()
    approver: Approver = field(default_factory=lambda: Approver(LOCAL))

    def __getitem__(self, name: str) -> str:
        return str(self.request.path_params[name])

    @property
    def owner(self) -> str:
        """Whom the request acts for."""
        if self.caller is None:
            raise LocalProtocolError(f"{self.endpoint.method} {self.endpoint.path} is public and asked for the owner")
        return self.caller

    @property
    def base_url(self) -> str:
        """Where the caller reached us, without a slash at the end."""
        return f"{self.request.url.scheme}://{self.request.headers.get('host') or self.request.url.netloc}"

    def number(self, name: str) -> int | None:
        """A query parameter that is a whole number; None where it is absent. Raises Fault."""
        text = self.request.query_params.get(name)
        if text is None or text == "":
            return None
        if not (text.isascii() and text.isdecimal() and len(text) < 19):
            raise Fault("invalid_request", f"{name} is a whole number from 0 on, not {text!r}")
        return int(text)


Handler: TypeAlias = Callable[[Asked], Awaitable[Any]]


class Routes:
    """The handlers by their endpoint; each endpoint has one."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, str], Handler] = {}

    def on(self, endpoint: AnyEndpoint) -> Callable[[Handler], Handler]:
        """Registers the decorated function."""
        key = (endpoint.method, endpoint.path)
        if key in self._handlers:
            raise LocalProtocolError(f"{endpoint.method} {endpoint.path} has two handlers")

        def register(handler: Handler) -> Handler:
            self._handlers[key] = handler
            return handler

        return register

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._handlers)

    def __getitem__(self, endpoint: AnyEndpoint) -> Handler:
        return self._handlers[endpoint.method, endpoint.path]

    def check(self, endpoints: Mapping[str, AnyEndpoint]) -> None:
        """Raises LocalProtocolError unless exactly these endpoints have a handler."""
        wanted = {(each.method, each.path): name for name, each in endpoints.items()}
        missing = [name for key, name in wanted.items() if key not in self._handlers]
        surplus = [f"{method} {path}" for method, path in self._handlers if (method, path) not in wanted]
        if missing or surplus:
            raise LocalProtocolError(f"endpoints without a handler: {missing}; handlers without an endpoint: {surplus}")
