"""Tools of type `http` (and `call`): one request, credentials put in here, the answer as it came (protocol.md 6.11)."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import httpx
from pydantic_core import to_json

from agentkit.errors import ToolDefinitionError
from agentkit.runtime.executors import Execution, NotDone, Produced, ToolDesk, ToolFailure, Unsure, content
from agentkit.runtime.executors.credentials import Credential, Redaction, SecretSource
from agentkit.runtime.faults import Fault
from agentkit.runtime.outbound import templating
from agentkit.runtime.outbound.egress import Guard, Refused
from agentkit.runtime.outbound.fetching import (
    MAX_BYTES,
    Answer,
    Fetcher,
    Outgoing,
    Oversized,
    Unreadable,
    reason,
    shown,
)
from agentkit.runtime.outbound.templating import NoValue, Place, Values
from agentkit.tools.http import DEFAULT_HEADER, DEFAULT_METHOD, METHODS, RECONCILING, SAFE, check_url
from agentkit.tools.templates import placeholders
from agentkit.wire import AgentTool, HttpToolConfig, ToolType

__all__ = ["HttpExecutor", "check_template", "requirements", "send", "url_of", "values_of"]

QUERY_METHODS: Final = frozenset({"GET", "DELETE", "HEAD", "OPTIONS"})  # what is left of the arguments is their query
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})  # RFC 9110, 9.2.2
READ_SECONDS: Final = 300.0  # silence of the other side, where the tool has no timeout of its own
OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})
INTEGRATIONS: Final = ("integration", "credential")  # the older and the newest word (protocol.md 6.7)
NOT_FOUND: Final = 404
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


class HttpExecutor:
    """Carries out HTTP tools. Requests go where the guard lets them; an answer has at most `max_bytes`."""

    kinds: ClassVar[tuple[ToolType, ...]] = (ToolType.HTTP, ToolType.CALL)

    def __init__(self, secrets: SecretSource, *, guard: Guard, max_bytes: int = MAX_BYTES) -> None:
        self._secrets = secrets
        self._fetcher = Fetcher(guard, max_bytes=max_bytes)

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """While entered, calls may be carried out."""
        try:
            yield
        finally:
            await self._fetcher.aclose()

    async def bind(self, tool: AgentTool, *, owner: str) -> Sequence[AgentTool]:
        """The tool as it is. Raises Fault for what no request can be made of, and for secrets that are not there."""
        config = _config(tool)
        _check(tool, config)
        await requirements(
            self._secrets, owner, secrets=_secret_names(config), integrations=_integrations(config), what=tool.name
        )
        return [tool]

    def is_stale(self, tool: AgentTool) -> bool:
        """Never: it is bound as it is."""
        return False

    def is_idempotent(self, call: Execution) -> bool:
        """As HTTP says of the method."""
        return _method(_config(call.tool)) in IDEMPOTENT

    async def execute(self, call: Execution, desk: ToolDesk) -> Produced:
        """Sends the request. Raises ToolFailure for every answer that is not 2xx, and for none."""
        config = _config(call.tool)
        known = await self._known(config, call.owner)
        try:
            request = _request(config, call, known)
        except NoValue as problem:
            raise ToolFailure(f"{call.tool.name}: {problem}", had_effect=False) from None
        answer = await send(self._fetcher, request, redaction=known.redaction)
        if not answer.is_success:
            what = f"{request.method} {shown(answer.url)}"
            raise content.failure(answer, what=what, redaction=known.redaction)
        return await content.produced(answer, call=call, desk=desk, redaction=known.redaction)

    def reconciles(self, call: Execution) -> bool:
        """Whether the tool names where to ask."""
        return _config(call.tool).reconcile is not None

    async def reconcile(self, call: Execution, desk: ToolDesk) -> Produced | NotDone | Unsure:
        """Asks the other side what came of the call: 2xx has its answer, 404 says that it was not done."""
        config = _config(call.tool)
        known = await self._known(config, call.owner)
        try:
            request = _inquiry(config, call, known)
        except NoValue as problem:
            return Unsure(f"reconcile: {problem}")
        answer = await send(self._fetcher, request, redaction=known.redaction)
        if answer.is_success:
            return await content.produced(answer, call=call, desk=desk, redaction=known.redaction)
        if answer.status == NOT_FOUND:
            return NotDone()
        what = f"asked what came of the call, {request.method} {shown(answer.url)} answered"
        return Unsure(known.redaction.text(f"{what} HTTP {answer.status}"))

    async def _known(self, config: HttpToolConfig, owner: str) -> _Known:
        """The secrets of one call. Raises ToolFailure where one was taken away since the tool was bound."""
        secrets: dict[str, str] = {}
        for name in _secret_names(config):
            value = await self._secrets.secret(owner, name)
            if value is None:
                raise ToolFailure(f"the secret {name!r} is not set; a person has to add it", had_effect=False)
            secrets[name] = value
        credential: Credential | None = None
        for provider, integration_id in _integrations(config):
            credential = await self._secrets.credential(owner, provider=provider, integration_id=integration_id)
            if credential is None:
                raise ToolFailure(f"{provider} is not connected; a person has to connect it", had_effect=False)
        return _Known(secrets, dict(credential.headers) if credential else {})


async def send(fetcher: Fetcher, request: Outgoing, *, redaction: Redaction) -> Answer:
    """The answer. Raises ToolFailure where there is none, saying whether the request may have had its effect."""
    what = redaction.text(f"{request.method} {shown(request.url)}")
    try:
        return await fetcher.send(request)
    except Refused as refused:
        raise ToolFailure(f"{what}: {refused}", had_effect=None if request.body else False) from None
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        said = redaction.text(reason(error))
        raise ToolFailure(f"{what}: not connected: {said}", is_transient=True, had_effect=False) from None
    except httpx.TimeoutException:
        raise ToolFailure(f"{what}: no answer within {request.read_seconds:g} s", is_transient=True) from None
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise ToolFailure(f"{what}: {redaction.text(str(error))}", had_effect=False) from None
    except httpx.TransportError as error:
        said = redaction.text(reason(error))
        raise ToolFailure(f"{what}: the connection broke: {said}", is_transient=True) from None
    except (Oversized, Unreadable) as problem:
        raise ToolFailure(f"{what}: {redaction.text(str(problem))}") from None


async def requirements(
    source: SecretSource,
    owner: str,
    *,
    secrets: Iterable[str],
    integrations: Iterable[tuple[str, str | None]] = (),
    what: str,
) -> None:
    """Raises Fault `requirements_not_met` with every secret and integration that is not there (protocol.md 1.3)."""
    unmet = [
        _unmet("secret", name, f"tool {what!r}: the secret {name!r} is not set; {_set(name)}", {"type": "add_secret"})
        for name in secrets
        if await source.secret(owner, name) is None
    ] + [
        _unmet(
            "integration",
            provider,
            f"tool {what!r}: {provider!r} is not connected; {_connect(provider)}",
            {"type": "connect", "provider": provider},
        )
        for provider, integration_id in integrations
        if await source.credential(owner, provider=provider, integration_id=integration_id) is None
    ]
    if unmet:
        raise Fault("requirements_not_met", unmet[0]["message"], errors=unmet)


def check_template(tool: AgentTool, text: str, *, where: str) -> None:
    """Raises Fault `validation_error` for placeholders that mean nothing, or an argument that the tool has not."""
    config = tool.config
    schema: Mapping[str, Any] = (config.get("input_schema") if config else None) or {}
    for each in placeholders(text):
        if each.problem:
            raise _wrong(tool, where, f"{each.text} {each.problem}")
        if each.source == "args" and each.name not in (schema.get("properties") or {}):
            raise _wrong(tool, where, f"{each.text} names no argument of the tool's input_schema")


def values_of(call: Execution, secrets: Mapping[str, str] | None = None) -> Values:
    """What the placeholders of a tool's templates stand for in this call."""
    return Values(call.arguments, call.context, secrets or {}, {"idempotency_key": call.idempotency_key})


def url_of(template: str, values: Values, *, more: str = "") -> httpx.URL:
    """The URL, with `more` behind its query. Raises NoValue."""
    text = templating.render_url(template, values)
    if more:
        text += ("&" if "?" in text else "?") + more
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise NoValue("what the URL's template becomes is no URL") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise NoValue(f"{shown(url)!r} is no full http or https URL")
    return url


# -- checking a definition -----------------------------------------------------------------------------------------


def _config(tool: AgentTool) -> HttpToolConfig:
    config = tool.config
    if not isinstance(config, HttpToolConfig):
        raise Fault(
            "validation_error", f"tool {tool.name!r}: type {str(tool.type)!r} needs a member {str(tool.type)!r}"
        )
    return config


def _check(tool: AgentTool, config: HttpToolConfig) -> None:
    _check_url(tool, config.url, where="url")
    if _method(config) not in METHODS:
        raise _wrong(tool, "method", f"{config.method!r} is none of {', '.join(METHODS)}")
    for name, value in _headers(config):
        if not _HEADER_NAME.fullmatch(name) or name.lower() in OURS:
            raise _wrong(tool, f"headers.{name}", "is no header that a tool may set")
        check_template(tool, value, where=f"headers.{name}")
    _check_auth(tool, config)
    _check_reconcile(tool, config)


def _check_url(tool: AgentTool, url: str, *, where: str) -> None:
    try:
        check_url(url, what=f"tool {tool.name!r}")
    except ToolDefinitionError as problem:
        raise Fault("validation_error", str(problem), errors=[{"path": where, "message": str(problem)}]) from None
    check_template(tool, url, where=where)
    for part in templating.parts(url):
        if part.place is Place.AUTHORITY and part.placeholder and part.placeholder.source != "context":
            raise _wrong(tool, where, f"{part.text} cannot choose the host; only {{{{context.NAME}}}} can")
        if part.place is Place.AUTHORITY and "@" in part.text:
            raise _wrong(tool, where, "has a user name or password in it; use auth, or a header with ${{secrets.NAME}}")


def _check_reconcile(tool: AgentTool, config: HttpToolConfig) -> None:
    asks = config.reconcile
    if asks is None:
        return
    if _method(config) in SAFE:
        raise _wrong(tool, "reconcile", f"{_method(config)} has no effect to ask about; leave it out")
    if asks.method.upper() not in RECONCILING:
        raise _wrong(tool, "reconcile.method", f"{asks.method!r} is none of {', '.join(RECONCILING)}")
    _check_url(tool, asks.url, where="reconcile.url")


def _check_auth(tool: AgentTool, config: HttpToolConfig) -> None:
    auth = config.auth
    if auth is None:
        return
    if auth.type in INTEGRATIONS:
        if not auth.provider:
            raise _wrong(tool, "auth", "names no provider")
    elif auth.type not in ("api_key", "bearer") or not auth.secret:
        raise _wrong(tool, "auth", "is api_key or bearer with the name of a secret, or integration with a provider")
    if auth.header and (not _HEADER_NAME.fullmatch(auth.header) or auth.header.lower() in OURS):
        raise _wrong(tool, "auth.header", f"{auth.header!r} is no header that a tool may set")


def _wrong(tool: AgentTool, where: str, message: str) -> Fault:
    return Fault(
        "validation_error",
        f"tool {tool.name!r}, {where}: {message}",
        errors=[{"path": where, "message": message}],
    )


def _set(name: str) -> str:
    return f"set it with client.secrets.set({name!r}, ...), or: agentkit secret set {name}"


def _connect(provider: str) -> str:
    return f"connect it with client.integrations.connect({provider!r}), or: agentkit integration connect {provider}"


def _unmet(kind: str, key: str, message: str, action: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "key": key, "message": message, "action": dict(action)}


def _method(config: HttpToolConfig) -> str:
    return (config.method or DEFAULT_METHOD).upper()


def _headers(config: HttpToolConfig) -> Iterator[tuple[str, str]]:
    """The headers of the tool; those of `header_secret_refs` are secrets by name (protocol.md 6.7, newest)."""
    yield from (config.headers or {}).items()
    refs: Mapping[str, Any] = config.get("header_secret_refs") or {}
    yield from ((name, f"${{{{secrets.{ref}}}}}") for name, ref in refs.items())


def _secret_names(config: HttpToolConfig) -> list[str]:
    asked = [config.reconcile.url] if config.reconcile else []
    named = templating.names("secrets", config.url, *asked, *(value for _, value in _headers(config)))
    auth = config.auth
    own = [auth.secret] if auth and auth.secret and auth.type not in INTEGRATIONS else []
    return list(dict.fromkeys([*named, *own]))


def _integrations(config: HttpToolConfig) -> list[tuple[str, str | None]]:
    auth = config.auth
    return [(auth.provider or "", auth.integration_id)] if auth and auth.type in INTEGRATIONS else []


# -- making the request --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    """The secrets of one call: by name, and as the headers of an integration."""

    secrets: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def redaction(self) -> Redaction:
        """What takes them out of texts; of `Bearer abc` the `abc` as well."""
        tokens = [value.rpartition(" ")[2] for value in self.headers.values()]
        return Redaction([*self.secrets.values(), *self.headers.values(), *tokens])


def _request(config: HttpToolConfig, call: Execution, known: _Known) -> Outgoing:
    method, headers = _method(config), dict(_headers(config))
    used = set(templating.names("args", config.url, *headers.values()))
    left = {name: value for name, value in call.arguments.items() if name not in used}
    is_query = method in QUERY_METHODS
    url = url_of(config.url, values_of(call, known.secrets), more=templating.as_query(left) if is_query else "")
    sent: dict[str, str] = {} if method == "GET" else {"idempotency-key": call.idempotency_key}
    sent |= {} if is_query else {"content-type": "application/json"}
    sent |= _own_headers(config, call, known)
    return Outgoing(
        method,
        url,
        headers=sent,
        body=None if is_query else to_json(left),
        read_seconds=call.tool.timeout or READ_SECONDS,
    )


def _inquiry(config: HttpToolConfig, call: Execution, known: _Known) -> Outgoing:
    """The request that asks what came of the call, by the same headers. Raises NoValue."""
    asks = config.reconcile
    assert asks is not None
    url = url_of(asks.url, values_of(call, known.secrets))
    sent = {"idempotency-key": call.idempotency_key, **_own_headers(config, call, known)}
    return Outgoing(asks.method.upper(), url, headers=sent, read_seconds=call.tool.timeout or READ_SECONDS)


def _own_headers(config: HttpToolConfig, call: Execution, known: _Known) -> dict[str, str]:
    """Those of the tool and its credentials. Raises NoValue."""
    values = values_of(call, known.secrets)
    sent = {name.lower(): value for name, value in known.headers.items()} | _auth(config, known.secrets)
    for name, template in _headers(config):
        value = templating.render_header(name, template, values)
        sent |= {} if value is None else {name.lower(): value}
    return sent


def _auth(config: HttpToolConfig, secrets: Mapping[str, str]) -> dict[str, str]:
    """The header that proves who asks. Raises NoValue for a secret that cannot stand in one."""
    auth = config.auth
    if auth is None or auth.type in INTEGRATIONS or not auth.secret:
        return {}
    reference = f"${{{{secrets.{auth.secret}}}}}"
    name, template = (
        ("Authorization", f"Bearer {reference}")
        if auth.type == "bearer"
        else (auth.header or DEFAULT_HEADER, reference)
    )
    value = templating.render_header(name, template, Values(secrets=secrets))
    return {name.lower(): value or ""}
