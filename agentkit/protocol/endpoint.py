"""One request as a value (`Call`), and the declaration both sides build and serve it from (`Endpoint`).

>>> from agentkit.protocol import api
>>> call = api.STOP_CHAT.call(chat_id="c1")
>>> call.method, call.path
('POST', '/chats/c1/stop')
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import NoneType
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from agentkit.errors import RemoteProtocolError, UsageError
from agentkit.wire import Wire

__all__ = ["Call", "Endpoint"]

Body = TypeVar("Body")
Reply = TypeVar("Reply")

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Call(Generic[Reply]):
    """One HTTP request, and how to read what it answers.

    `body` is a JSON value, `content` raw bytes (an upload); `url` replaces base URL and path, and such a call carries
    no key (presigned uploads, protocol.md 4.1). `read` turns the decoded, unwrapped answer into the reply.
    """

    method: str
    path: str
    read: Callable[[Any], Reply]
    body: Any = None
    content: bytes | None = None
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    url: str | None = None
    idempotency_key: str | None = None

    @property
    def raw(self) -> Call[Any]:
        """The same call, read as the plain JSON value it answers."""
        return replace(cast("Call[Any]", self), read=_as_it_is)

    def keyed(self, key: str) -> Call[Reply]:
        """The same call with an `Idempotency-Key`."""
        return replace(self, idempotency_key=key)


@dataclass(frozen=True)
class Endpoint(Generic[Body, Reply]):
    """A row of the REST surface: the client calls it, the runtime serves it, `openapi.json` prints it.

    `path` holds `{name}` parameters. `body` is the wire model of the request (NoneType: no body), `reply` the type of
    the answer (NoneType: nothing worth reading). `takes_key` says that an `Idempotency-Key` is honoured.
    """

    method: str
    path: str
    summary: str
    body: type[Body]
    reply: type[Reply]
    scope: str = ""
    query: tuple[str, ...] = ()
    takes_key: bool = False
    is_stream: bool = False
    is_public: bool = False  # no key needed

    @cached_property
    def _reader(self) -> TypeAdapter[Reply]:
        return TypeAdapter(self.reply)

    @cached_property
    def _taker(self) -> TypeAdapter[Body]:
        return TypeAdapter(self.body)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names in the path, in order."""
        return tuple(_PARAMETER.findall(self.path))

    def read(self, data: Any) -> Reply:
        """The reply of a decoded answer. Raises RemoteProtocolError where it does not fit."""
        try:
            return self._reader.validate_python(None if self.reply is NoneType else data)
        except ValidationError as error:
            where = "; ".join(f"{'.'.join(map(str, e['loc'])) or '(whole)'}: {e['msg']}" for e in error.errors()[:3])
            raise RemoteProtocolError(
                f"{self.method} {self.path}: the answer does not fit its model: {where}"
            ) from None

    def take(self, data: Any) -> Body:
        """The request model of a decoded body. Raises pydantic's ValidationError."""
        return self._taker.validate_python(data)

    def call(
        self, body: Body | None = None, *, query: Mapping[str, Any] | None = None, **parameters: str
    ) -> Call[Reply]:
        """The request as a value; every path parameter must be named. Null query members are left out."""
        if missing := [name for name in self.parameters if not parameters.get(name)]:
            raise UsageError(f"{self.method} {self.path} needs {', '.join(missing)}, and it may not be empty")
        path = _PARAMETER.sub(lambda match: quote(parameters[match[1]], safe=""), self.path)
        return Call(
            self.method,
            path,
            self.read,
            body=body.to_wire() if isinstance(body, Wire) else body,
            query={name: str(value) for name, value in (query or {}).items() if value is not None},
        )


def _as_it_is(data: Any) -> Any:
    return data
