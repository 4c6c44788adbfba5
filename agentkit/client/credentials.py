"""`client.secrets` and `client.integrations`: what tools and apps prove themselves with. No answer carries a value."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError

from agentkit.client.listing import AsyncPages, list_request, pages
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.errors import ConflictError, UsageError
from agentkit.protocol import api
from agentkit.protocol.endpoint import Call
from agentkit.protocol.flows import Flow, once
from agentkit.wire import (
    AvailableIntegration,
    CheckRequirements,
    Connecting,
    ConnectIntegration,
    CreateSecret,
    Integration,
    Page,
    RequirementsProblem,
    Secret,
    UpdateSecret,
    Wire,
)

__all__ = ["AsyncIntegrations", "AsyncSecrets", "Integrations", "Secrets"]

W = TypeVar("W", bound=Wire)

Available: TypeAlias = "list[AvailableIntegration]"  # inside the classes `list` is their own method
Needs: TypeAlias = "Sequence[str | Mapping[str, Any]]"


class Secrets:
    """`client.secrets`. A value goes in and never comes out."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def set(self, key: str, value: str, *, description: str | None = None) -> Secret:
        """Stores a secret, or gives a stored one a new value."""
        return self._transport.run(_set(key, value, description))

    def create(self, key: str, value: str, *, description: str | None = None) -> Secret:
        """Stores a new secret. Raises ConflictError where there is one of this name."""
        return self._transport.send(_create(key, value, description))

    def update(self, key: str, *, value: str | None = None, description: str | None = None) -> Secret:
        """Changes what is given. Raises NotFoundError."""
        return self._transport.send(_update(key, value, description))

    def delete(self, key: str) -> None:
        """Deletes a secret for good. Raises NotFoundError."""
        self._transport.send(api.DELETE_SECRET.call(key=key))

    def list(self, *, cursor: str | None = None, limit: int | None = None, search: str | None = None) -> Page[Secret]:
        """A page of the secrets, newest first, without their values."""
        return self._transport.send(api.LIST_SECRETS.call(list_request(cursor, limit, search=search)))

    def iterate(self, *, limit: int | None = None, search: str | None = None) -> Iterator[Secret]:
        """All secrets, newest first; `limit` is the size of a page."""
        return pages(lambda cursor: self.list(cursor=cursor, limit=limit, search=search))


class AsyncSecrets:
    """The async twin of `Secrets`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def set(self, key: str, value: str, *, description: str | None = None) -> Secret:
        """See `Secrets.set`."""
        return await self._transport.run(_set(key, value, description))

    async def create(self, key: str, value: str, *, description: str | None = None) -> Secret:
        """See `Secrets.create`."""
        return await self._transport.send(_create(key, value, description))

    async def update(self, key: str, *, value: str | None = None, description: str | None = None) -> Secret:
        """See `Secrets.update`."""
        return await self._transport.send(_update(key, value, description))

    async def delete(self, key: str) -> None:
        """See `Secrets.delete`."""
        await self._transport.send(api.DELETE_SECRET.call(key=key))

    async def list(
        self, *, cursor: str | None = None, limit: int | None = None, search: str | None = None
    ) -> Page[Secret]:
        """See `Secrets.list`."""
        return await self._transport.send(api.LIST_SECRETS.call(list_request(cursor, limit, search=search)))

    def iterate(self, *, limit: int | None = None, search: str | None = None) -> AsyncIterator[Secret]:
        """See `Secrets.iterate`. Not awaited."""
        return AsyncPages(lambda cursor: self.list(cursor=cursor, limit=limit, search=search))


class Integrations:
    """`client.integrations`. A connection is named by its provider."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def connect(
        self,
        provider: str,
        *,
        api_key: str | None = None,
        scopes: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        redirect_uri: str | None = None,
    ) -> Connecting:
        """Connects by `api_key`, or begins OAuth: a person opens the answer's `auth_url` and says yes.

        `scopes`: more of them, or names of the provider's capabilities. `redirect_uri`: where the browser goes instead
        of to the server; what it brings there goes to `complete`.
        """
        return self._transport.send(_connect(provider, api_key, scopes, metadata, redirect_uri))

    def complete(self, *, state: str, code: str) -> Integration:
        """Finishes an OAuth connection with what the browser brought to a `redirect_uri` of one's own."""
        return self._transport.send(api.INTEGRATION_CALLBACK.call(query={"state": state, "code": code}))

    def get(self, provider: str) -> Integration:
        """One connection. Raises NotFoundError."""
        return self._transport.send(api.GET_INTEGRATION.call(provider=provider))

    def disconnect(self, provider: str) -> None:
        """Disconnects; the tokens are forgotten. Raises NotFoundError."""
        self._transport.send(api.DELETE_INTEGRATION.call(provider=provider))

    def available(self) -> Available:
        """What can be connected."""
        return self._transport.send(api.AVAILABLE_INTEGRATIONS.call())

    def check(self, *, secrets: Needs = (), integrations: Needs = ()) -> RequirementsProblem:
        """Whether these are there: `check(secrets=["HF_TOKEN"], integrations=["google.sheets"])`."""
        return self._transport.send(_check(secrets, integrations))

    def list(self, *, cursor: str | None = None, limit: int | None = None) -> Page[Integration]:
        """A page of the connections, newest first."""
        return self._transport.send(api.LIST_INTEGRATIONS.call(list_request(cursor, limit)))

    def iterate(self, *, limit: int | None = None) -> Iterator[Integration]:
        """All connections, newest first; `limit` is the size of a page."""
        return pages(lambda cursor: self.list(cursor=cursor, limit=limit))


class AsyncIntegrations:
    """The async twin of `Integrations`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def connect(
        self,
        provider: str,
        *,
        api_key: str | None = None,
        scopes: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        redirect_uri: str | None = None,
    ) -> Connecting:
        """See `Integrations.connect`."""
        return await self._transport.send(_connect(provider, api_key, scopes, metadata, redirect_uri))

    async def complete(self, *, state: str, code: str) -> Integration:
        """See `Integrations.complete`."""
        return await self._transport.send(api.INTEGRATION_CALLBACK.call(query={"state": state, "code": code}))

    async def get(self, provider: str) -> Integration:
        """See `Integrations.get`."""
        return await self._transport.send(api.GET_INTEGRATION.call(provider=provider))

    async def disconnect(self, provider: str) -> None:
        """See `Integrations.disconnect`."""
        await self._transport.send(api.DELETE_INTEGRATION.call(provider=provider))

    async def available(self) -> Available:
        """See `Integrations.available`."""
        return await self._transport.send(api.AVAILABLE_INTEGRATIONS.call())

    async def check(self, *, secrets: Needs = (), integrations: Needs = ()) -> RequirementsProblem:
        """See `Integrations.check`."""
        return await self._transport.send(_check(secrets, integrations))

    async def list(self, *, cursor: str | None = None, limit: int | None = None) -> Page[Integration]:
        """See `Integrations.list`."""
        return await self._transport.send(api.LIST_INTEGRATIONS.call(list_request(cursor, limit)))

    def iterate(self, *, limit: int | None = None) -> AsyncIterator[Integration]:
        """See `Integrations.iterate`. Not awaited."""
        return AsyncPages(lambda cursor: self.list(cursor=cursor, limit=limit))


# -- what both send ------------------------------------------------------------------------------------------------


def _create(key: str, value: str, description: str | None) -> Call[Secret]:
    return api.CREATE_SECRET.call(_body(CreateSecret, "set()", key=key, value=value, description=description))


def _update(key: str, value: str | None, description: str | None) -> Call[Secret]:
    return api.UPDATE_SECRET.call(_body(UpdateSecret, "set()", value=value, description=description), key=key)


def _set(key: str, value: str, description: str | None) -> Flow[Secret]:
    try:
        return (yield from once(_create(key, value, description)))
    except ConflictError as error:
        if error.code == "not_configured":
            raise
        return (yield from once(_update(key, value, description)))


def _connect(
    provider: str,
    api_key: str | None,
    scopes: Sequence[str],
    metadata: Mapping[str, Any] | None,
    redirect_uri: str | None,
) -> Call[Connecting]:
    body = _body(
        ConnectIntegration,
        "connect()",
        provider=provider,
        type="oauth" if api_key is None else "api_key",
        scopes=list(scopes),
        api_key=api_key,
        metadata=metadata and dict(metadata),
        redirect_uri=redirect_uri,
    )
    return api.CONNECT_INTEGRATION.call(body)


def _check(secrets: Needs, integrations: Needs) -> Call[RequirementsProblem]:
    told = {
        name: [{"key": each} if isinstance(each, str) else each for each in needs]
        for name, needs in (("secrets", secrets), ("integrations", integrations))
    }
    return api.CHECK_REQUIREMENTS.call(_body(CheckRequirements, "check()", **told))


def _body(kind: type[W], what: str, **told: Any) -> W:
    """The request with what is not None. Raises UsageError, which repeats no value."""
    try:
        return kind.parse({name: value for name, value in told.items() if value is not None})
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        raise UsageError(f"{what}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
