"""Connections of owners to providers: made by API key or in a browser, kept sealed, their tokens kept fresh.

What calls a provider asks for the headers of a connection when it calls, and never sees when they were made.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Container, Mapping
from datetime import datetime
from typing import Any, Final

import anyio
from pydantic_core import from_json, to_json

from agentkit.runtime import dto, pages
from agentkit.runtime.credentials.needs import need
from agentkit.runtime.credentials.oauth import (
    Client,
    OAuthError,
    TokenEndpoint,
    Tokens,
    authorization_url,
    new_verifier,
)
from agentkit.runtime.credentials.providers import BUILT_IN, Provider
from agentkit.runtime.credentials.vault import Vault, row_id
from agentkit.runtime.executors.credentials import Credential
from agentkit.runtime.faults import Fault
from agentkit.runtime.ids import hashed, new_secret
from agentkit.runtime.moments import later
from agentkit.runtime.ports import Reading, Store, Writing
from agentkit.runtime.records import AuthorizationRecord, IntegrationRecord
from agentkit.runtime.service import Service
from agentkit.wire import (
    AvailableIntegration,
    Connecting,
    ConnectIntegration,
    CursorListRequest,
    IntegrationAuthType,
    IntegrationStatus,
)

__all__ = ["CALLBACK", "Integrations"]

logger = logging.getLogger("agentkit.integrations")

CALLBACK: Final = "/integrations/callback"
ANSWER_SECONDS: Final = 15 * 60  # a person has to say yes within
EARLY_SECONDS: Final = 60  # before its end a token is refreshed
LONGEST_API_KEY: Final = 8_192


class Integrations(Service):
    """Everything about integrations."""

    def __init__(
        self,
        store: Store,
        *,
        vault: Vault,
        providers: Mapping[str, Provider] = BUILT_IN,
        tokens: TokenEndpoint | None = None,
    ) -> None:
        super().__init__(store)
        self._vault = vault
        self.providers = providers
        self._tokens = tokens or TokenEndpoint()
        self._refreshes: dict[str, _Refresh] = {}

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._tokens.aclose()

    # -- reading ---------------------------------------------------------------------------------------------------

    async def page(self, owner: str, request: CursorListRequest) -> dict[str, Any]:
        """POST /integrations/list."""
        return await self._store.read(lambda tx: pages.page(tx, IntegrationRecord, request, self._shown, owner=owner))

    async def get(self, owner: str, provider: str) -> dict[str, Any]:
        """GET /integrations/{provider}."""
        return await self._store.read(lambda tx: self._shown(_connection(tx, owner, provider)))

    async def available(self, owner: str) -> list[dict[str, Any]]:
        """GET /integrations/available: the catalogue, and what of it is connected."""

        def look(tx: Reading) -> list[dict[str, Any]]:
            names = self._vault.names(tx, owner)
            found = ((each, self.connection(tx, owner, each.name)) for each in self.providers.values())
            return [_offered(each, names, self._shown(record) if record else None) for each, record in found]

        return await self._store.read(look)

    def connection(self, tx: Reading, owner: str, provider: str) -> IntegrationRecord | None:
        """The owner's connection to a provider, whatever its status."""
        return tx.get(IntegrationRecord, row_id("integration", owner, provider))

    def _shown(self, record: IntegrationRecord) -> dict[str, Any]:
        return dto.integration(record, self.providers.get(record.provider))

    # -- connecting ------------------------------------------------------------------------------------------------

    async def connect(self, owner: str, request: ConnectIntegration, *, base_url: str) -> dict[str, Any]:
        """POST /integrations: connected by an API key, or where a person says yes. `base_url` "": nobody can call us.

        Raises Fault: `not_found`, `validation_error`, `requirements_not_met` without a client id, `not_configured`.
        """
        provider = self._provider(request.provider)
        wanted = request.type or (IntegrationAuthType.API_KEY if request.api_key else IntegrationAuthType.O_AUTH)
        match wanted:
            case IntegrationAuthType.API_KEY if provider.takes_api_key:
                return await self._connect_key(owner, provider, request)
            case IntegrationAuthType.O_AUTH if provider.has_oauth:
                return await self._begin(owner, provider, request, base_url=base_url)
            case _:
                ways = " or ".join(_ways(provider))
                raise _invalid("type", f"{provider.name} is connected by {ways}, not by {str(wanted)!r}")

    async def _connect_key(self, owner: str, provider: Provider, request: ConnectIntegration) -> dict[str, Any]:
        key = request.api_key.strip()
        if not key or len(key) > LONGEST_API_KEY or not key.isascii() or not key.isprintable():
            raise _invalid("api_key", f"{provider.name}: api_key is 1 to {LONGEST_API_KEY:,} characters of ASCII")
        sealed = await self._seal(owner, provider, {"api_key": key})

        def change(tx: Writing) -> dict[str, Any]:
            record = _put(
                tx, owner, provider, auth=IntegrationAuthType.API_KEY, status=IntegrationStatus.CONNECTED,
                sealed=sealed, scopes=[], expires_at=None, metadata=dict(request.metadata), error_message="",
                account_identifier="", account_name="",
            )  # fmt: skip
            return Connecting.parse({"integration": self._shown(record)}).to_wire()

        return await self._write(change)

    async def _begin(
        self, owner: str, provider: Provider, request: ConnectIntegration, *, base_url: str
    ) -> dict[str, Any]:
        client = await self._client(owner, provider)
        redirect_uri = request.redirect_uri or (base_url and f"{base_url}{CALLBACK}")
        if not redirect_uri.startswith(("http://", "https://")):
            raise Fault(
                "not_configured",
                f"no browser can come back to this runtime: send `redirect_uri`, and give its `code` and `state` to "
                f"GET {CALLBACK} (client.integrations.complete)",
            )
        state, (verifier, challenge) = new_secret(), new_verifier()
        sealed = await self._vault.seal(verifier, row=("authorization", owner, hashed(state)))

        def change(tx: Writing) -> tuple[IntegrationRecord, list[str]]:
            record = tx.get(IntegrationRecord, row_id("integration", owner, provider.name))
            scopes = provider.scopes_of([*provider.scopes, *(record.scopes if record else ()), *request.scopes])
            _drop_old(tx, owner)
            tx.insert(
                AuthorizationRecord(
                    id=hashed(state),
                    owner=owner,
                    provider=provider.name,
                    sealed=sealed,
                    scopes=scopes,
                    redirect_uri=redirect_uri,
                    expires_at=later(tx.now, ANSWER_SECONDS),
                    metadata=dict(request.metadata),
                )
            )
            if record is None or record.status is not IntegrationStatus.CONNECTED:
                record = _put(
                    tx, owner, provider, auth=IntegrationAuthType.O_AUTH, status=IntegrationStatus.PENDING,
                    sealed="", error_message="",
                )  # fmt: skip
            return record, scopes

        record, scopes = await self._write(change)
        url = authorization_url(
            provider, client_id=client.id, redirect_uri=redirect_uri, state=state, challenge=challenge, scopes=scopes
        )
        told = {"integration": self._shown(record), "auth_url": url, "state": state, "code_verifier": verifier}
        say = f"Open auth_url in a browser within {ANSWER_SECONDS // 60} minutes."
        return Connecting.parse({**told, "instructions": say}).to_wire()

    async def complete(self, *, state: str, code: str, error: str = "") -> dict[str, Any]:
        """GET /integrations/callback: a browser came back. A `state` is good for one answer.

        Raises Fault: `invalid_code`, `expired`; where the provider refused, the connection says so too.
        """
        asked = await self._write(lambda tx: _taken(tx, state))
        if asked is None:
            raise Fault("invalid_code", "this authorization is unknown, used, or out of time; connect again")
        provider = self._provider(asked.provider)
        try:
            if error or not code:
                raise OAuthError(f"{provider.display_name} refused: {(error or 'no code')[:100]}")
            tokens = await self._exchange(asked, provider, code=code)
        except OAuthError as refused:
            why = refused.text
            await self._write(lambda tx: _note_refusal(tx, asked, why))
            raise Fault("invalid_code", why) from None
        sealed = await self._seal_tokens(asked.owner, provider, tokens, before=None)
        return await self._write(lambda tx: self._shown(_connected(tx, asked, tokens, sealed)))

    async def _exchange(self, asked: AuthorizationRecord, provider: Provider, *, code: str) -> Tokens:
        row = ("authorization", asked.owner, asked.id)
        verifier = await self._vault.open(asked.sealed, row=row, what="the authorization")
        client = await self._client(asked.owner, provider)
        return await self._tokens.exchange(
            provider, client, code=code, verifier=verifier, redirect_uri=asked.redirect_uri
        )

    async def disconnect(self, owner: str, provider: str) -> None:
        """DELETE /integrations/{provider}: forgets the tokens, and authorizations under way."""

        def change(tx: Writing) -> None:
            for each in tx.find(AuthorizationRecord, owner=owner, provider=provider):
                tx.delete(each)
            tx.delete(_connection(tx, owner, provider))

        await self._write(change)

    # -- using them ------------------------------------------------------------------------------------------------

    async def credential(self, owner: str, *, provider: str, integration_id: str | None = None) -> Credential | None:
        """The headers of a connection, fresh; None where there is none. Without `provider` the id alone names it.

        Raises Fault: `requirements_not_met` where a person has to connect anew, `unavailable` where the provider does
        not answer now, `not_configured` where it cannot be opened here.
        """
        for is_second_look in (False, True):
            record = await self._store.read(lambda tx: _named(tx, owner, provider, integration_id))
            if record is None or record.status is IntegrationStatus.PENDING:
                return None
            known = self._provider(record.provider)
            if record.status is not IntegrationStatus.CONNECTED:
                raise _connect_again(known, record.error_message)
            held = await self._opened(record)
            if record.auth is IntegrationAuthType.API_KEY:
                return _headers(known, known.api_key_header, f"{known.api_key_prefix}{held['api_key']}")
            left = await self._seconds_left(record)
            fresh = _headers(known, "Authorization", f"Bearer {held['access_token']}")
            if left > (0 if is_second_look or not held["refresh_token"] else EARLY_SECONDS):
                return fresh
            if is_second_look:
                break
            try:
                await self._refreshed(record, known, held)
            except OAuthError as error:
                if left > 0:
                    logger.warning("integration %s: its token is not refreshed yet: %s", record.id, error.text)
                    return fresh
                raise Fault("unavailable", error.text) from None
        raise Fault("unavailable", f"{provider or integration_id}: the provider's new token is over already")

    async def _refreshed(self, record: IntegrationRecord, provider: Provider, held: Mapping[str, str]) -> None:
        """Refreshes once, whoever asks meanwhile waits for the same one. Raises OAuthError where it may be repeated."""
        refresh = self._refreshes.get(record.id)
        if refresh is None:
            refresh = self._refreshes[record.id] = _Refresh()
            try:
                with anyio.CancelScope(shield=True):  # an answer that is lost may cost the refresh token
                    await self._refresh(record, provider, held)
            except OAuthError as error:
                refresh.error = error
            except BaseException as error:
                refresh.error = OAuthError(f"{provider.display_name}: the refresh failed ({type(error).__name__})")
                raise
            finally:
                del self._refreshes[record.id]
                refresh.is_done.set()
        await refresh.is_done.wait()
        if refresh.error is not None:
            raise refresh.error

    async def _refresh(self, record: IntegrationRecord, provider: Provider, held: Mapping[str, str]) -> None:
        now = await self._store.read(lambda tx: tx.get(IntegrationRecord, record.id))
        if now is None or now.sealed != record.sealed:
            return  # somebody was faster; the refresh token that we know may be used up
        tokens: Tokens | None = None
        sealed, refused = "", "its access is over, and no refresh token came with it"
        if held["refresh_token"]:
            try:
                client = await self._client(record.owner, provider)
                tokens = await self._tokens.refresh(provider, client, refresh_token=held["refresh_token"])
                sealed = await self._seal_tokens(record.owner, provider, tokens, before=held)
            except OAuthError as error:
                if not error.is_final:
                    raise
                refused = error.text

        def change(tx: Writing) -> None:
            now = tx.get(IntegrationRecord, record.id)
            if now is None or now.sealed != record.sealed:
                return  # connected anew, or refreshed by another process
            if tokens is not None:
                tx.update(_fresh(tx, now, tokens, sealed))
            else:
                tx.update(now.but(status=IntegrationStatus.EXPIRED, error_message=refused))

        await self._write(change)
        logger.info("integration %s: %s", record.id, "refreshed" if tokens else refused)

    # -- parts -----------------------------------------------------------------------------------------------------

    def _provider(self, name: str) -> Provider:
        if (found := self.providers.get(name)) is None:
            there = ", ".join(self.providers)
            raise Fault("not_found", f"there is no provider {name[:100]!r} here; there are {there}")
        return found

    async def _client(self, owner: str, provider: Provider) -> Client:
        client_id = provider.client_id or await self._vault.secret(owner, provider.id_name)
        if not client_id:
            message = f"{provider.id_name} is not set: register an OAuth client with {provider.display_name}"
            missing = [need("secret", provider.id_name, message, type="add_secret", provider=provider.name)]
            raise Fault("requirements_not_met", message, errors=missing)
        return Client(client_id, await self._vault.secret(owner, provider.secret_name))

    async def _seal(self, owner: str, provider: Provider, held: Mapping[str, str]) -> str:
        return await self._vault.seal(to_json(held).decode(), row=("integration", owner, provider.name))

    async def _seal_tokens(
        self, owner: str, provider: Provider, tokens: Tokens, *, before: Mapping[str, str] | None
    ) -> str:
        refresh_token = tokens.refresh_token or (before or {}).get("refresh_token", "")  # RFC 6749 6: the old one stays
        return await self._seal(owner, provider, {"access_token": tokens.access_token, "refresh_token": refresh_token})

    async def _opened(self, record: IntegrationRecord) -> dict[str, str]:
        row = ("integration", record.owner, record.provider)
        found: dict[str, str] = from_json(
            await self._vault.open(record.sealed, row=row, what=f"the connection to {record.provider!r}")
        )
        return found

    async def _seconds_left(self, record: IntegrationRecord) -> float:
        """Until the token's end; infinite where it has none."""
        if record.expires_at is None:
            return math.inf
        now = await self._store.read(lambda tx: tx.now)
        return (datetime.fromisoformat(record.expires_at) - datetime.fromisoformat(now)).total_seconds()


class _Refresh:
    """One refresh under way."""

    def __init__(self) -> None:
        self.is_done = anyio.Event()
        self.error: OAuthError | None = None


# -- rows ----------------------------------------------------------------------------------------------------------


def _connection(tx: Reading, owner: str, provider: str) -> IntegrationRecord:
    record = tx.get(IntegrationRecord, row_id("integration", owner, provider))
    if record is None:
        raise Fault("not_found", f"{provider[:100]!r} is not connected; POST /integrations connects it")
    return record


def _named(tx: Reading, owner: str, provider: str, integration_id: str | None) -> IntegrationRecord | None:
    record = tx.get(IntegrationRecord, integration_id or row_id("integration", owner, provider))
    if record is None or record.owner != owner or (provider and record.provider != provider):
        return None
    return record


def _put(tx: Writing, owner: str, provider: Provider, **fields: Any) -> IntegrationRecord:
    """The owner's one row of the provider, with these fields."""
    id = row_id("integration", owner, provider.name)
    record = tx.get(IntegrationRecord, id)
    if record is not None:
        return _updated(tx, record.but(**fields))
    return tx.insert(IntegrationRecord(id=id, owner=owner, provider=provider.name, **fields))


def _taken(tx: Writing, state: str) -> AuthorizationRecord | None:
    record = tx.get(AuthorizationRecord, hashed(state))
    if record is None:
        return None
    tx.delete(record)
    return record if tx.now < record.expires_at else None


def _drop_old(tx: Writing, owner: str) -> None:
    for each in tx.find(AuthorizationRecord, owner=owner):
        if each.expires_at <= tx.now:
            tx.delete(each)


def _note_refusal(tx: Writing, asked: AuthorizationRecord, text: str) -> None:
    record = tx.get(IntegrationRecord, row_id("integration", asked.owner, asked.provider))
    if record is not None and record.status is not IntegrationStatus.CONNECTED:  # one that works goes on working
        tx.update(record.but(status=IntegrationStatus.ERROR, error_message=text))


def _connected(tx: Writing, asked: AuthorizationRecord, tokens: Tokens, sealed: str) -> IntegrationRecord:
    record = tx.get(IntegrationRecord, row_id("integration", asked.owner, asked.provider))
    if record is None:
        raise Fault("expired", f"{asked.provider} was disconnected meanwhile; connect again")
    fresh = _fresh(tx, record, tokens, sealed)
    changes: dict[str, Any] = {
        "auth": IntegrationAuthType.O_AUTH,
        "scopes": list(asked.scopes if tokens.scopes is None else tokens.scopes),
        "metadata": asked.metadata or record.metadata,
        "account_identifier": tokens.account_identifier,
        "account_name": tokens.account_name,
    }
    return _updated(tx, fresh.but(**changes))


def _updated(tx: Writing, record: IntegrationRecord) -> IntegrationRecord:
    return tx.update(record)


def _fresh(tx: Reading, record: IntegrationRecord, tokens: Tokens, sealed: str) -> IntegrationRecord:
    end = None if tokens.lifetime_seconds is None else later(tx.now, tokens.lifetime_seconds)
    scopes = record.scopes if tokens.scopes is None else list(tokens.scopes)
    fresh: IntegrationRecord = record.but(
        sealed=sealed, expires_at=end, scopes=scopes, status=IntegrationStatus.CONNECTED, error_message=""
    )
    return fresh


# -- words ---------------------------------------------------------------------------------------------------------


def _ways(provider: Provider) -> list[str]:
    return [*(["oauth"] if provider.has_oauth else []), *(["api_key"] if provider.takes_api_key else [])]


def _offered(provider: Provider, names: Container[str], connection: dict[str, Any] | None) -> dict[str, Any]:
    """The IntegrationConfigDTO. OAuth needs a client id; that is the only thing that may be missing."""
    is_ready = provider.takes_api_key or bool(provider.client_id) or provider.id_name in names
    fields = [
        {"key": provider.id_name, "label": "Client id", "sensitive": False, "optional": False},
        {"key": provider.secret_name, "label": "Client secret", "sensitive": True, "optional": True},
    ]
    return AvailableIntegration.parse(
        {
            "provider": provider.name,
            "type": _ways(provider)[0],
            "auth": _ways(provider)[0],
            "name": provider.display_name,
            "short_name": provider.display_name,
            "description": provider.description,
            "icon_url": provider.icon_url,
            "docs_url": provider.docs_url,
            "secret_fields": fields if provider.has_oauth and not provider.client_id else [],
            "available": is_ready,
            "has_managed": bool(provider.client_id),
            "integration": connection,
        }
    ).to_wire()


def _headers(provider: Provider, name: str, value: str) -> Credential:
    return Credential({**provider.headers, name: value})


def _connect_again(provider: Provider, why: str) -> Fault:
    message = f"{provider.name} is not connected any more{f': {why}' if why else ''}; connect {provider.display_name}"
    missing = [need("integration", provider.name, message, type="connect", provider=provider.name)]
    return Fault("requirements_not_met", message, errors=missing)


def _invalid(path: str, message: str) -> Fault:
    return Fault("validation_error", message, errors=[{"path": path, "message": message}])
