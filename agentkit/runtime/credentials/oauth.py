"""OAuth 2 from the client's side (RFC 6749, RFC 7636): where to send a person, and codes made into tokens."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit, urlunsplit

import anyio
import httpx
from pydantic_core import from_json

from agentkit import __version__
from agentkit.protocol.lines import is_object
from agentkit.runtime.credentials.providers import Provider
from agentkit.runtime.ids import new_secret

__all__ = ["Client", "OAuthError", "TokenEndpoint", "Tokens", "authorization_url", "new_verifier"]

TIMEOUT_SECONDS: Final = 20.0
MOST_BYTES: Final = 256 << 10
LONGEST_ERROR: Final = 300  # characters
FINAL: Final = ("invalid_grant", "invalid_refresh_token", "bad_refresh_token", "token_revoked", "unauthorized_client")
_SECRET: Final = ("code", "code_verifier", "refresh_token")
HEADERS: Final = {"Accept": "application/json", "User-Agent": f"agentkit/{__version__}"}


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are at a provider. A public client has no secret."""

    id: str
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a token URL gave. `scopes` None: those that were asked for."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    lifetime_seconds: float | None = None
    scopes: Sequence[str] | None = None
    account_identifier: str = ""
    account_name: str = ""


class OAuthError(Exception):
    """The provider refused, or did not answer. `is_final`: asking again is of no use, a person has to connect anew."""

    def __init__(self, text: str, *, is_final: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.is_final = is_final


def new_verifier() -> tuple[str, str]:
    """A PKCE verifier, and its S256 challenge (RFC 7636)."""
    verifier = new_secret()
    return verifier, base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_url(
    provider: Provider, *, client_id: str, redirect_uri: str, state: str, challenge: str, scopes: Sequence[str]
) -> str:
    """Where a person says yes."""
    parts = urlsplit(provider.authorize_url)
    query = {
        **dict(parse_qsl(parts.query, keep_blank_values=True)),
        **provider.parameters,
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        **({"scope": provider.scope_separator.join(scopes)} if scopes else {}),
        **({"code_challenge": challenge, "code_challenge_method": "S256"} if provider.uses_pkce else {}),
    }
    return urlunsplit(parts._replace(query=urlencode(query)))


class TokenEndpoint:
    """The token URLs of the providers. They are the operator's own choice, so any address will do."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def exchange(
        self, provider: Provider, client: Client, *, code: str, verifier: str, redirect_uri: str
    ) -> Tokens:
        """The tokens for a code that came back. Raises OAuthError."""
        told = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        return await self._ask(provider, client, told | ({"code_verifier": verifier} if provider.uses_pkce else {}))

    async def refresh(self, provider: Provider, client: Client, *, refresh_token: str) -> Tokens:
        """New tokens for a refresh token, which may be used up by it. Raises OAuthError."""
        return await self._ask(provider, client, {"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def _ask(self, provider: Provider, client: Client, told: Mapping[str, str]) -> Tokens:
        body, headers = dict(told), dict(HEADERS)
        if provider.client_auth == "basic":
            pair = f"{quote_plus(client.id)}:{quote_plus(client.secret or '')}"  # RFC 6749 2.3.1: each encoded first
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            body |= {"client_id": client.id} | ({"client_secret": client.secret} if client.secret else {})
        secrets = [each for each in (*(told.get(name) for name in _SECRET), client.secret) if each]
        status, answer = await self._posted(provider, body, headers)
        if not 200 <= status <= 299 or answer.get("error") or answer.get("ok") is False:
            raise _refused(provider, status, answer, secrets)
        return _tokens(provider, answer)

    async def _posted(
        self, provider: Provider, body: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[int, dict[str, Any]]:
        sent: dict[str, Any] = {"json": body} if provider.sends_json else {"data": body}
        try:
            with anyio.fail_after(TIMEOUT_SECONDS):
                async with self._connected().stream("POST", provider.token_url, headers=headers, **sent) as answer:
                    return answer.status_code, _decoded(await _read(answer))
        except TimeoutError:
            raise OAuthError(f"{provider.display_name} did not answer within {TIMEOUT_SECONDS:g} s") from None
        except httpx.HTTPError as error:
            told = str(error) or type(error).__name__
            raise OAuthError(f"{provider.display_name} cannot be reached: {told[:LONGEST_ERROR]}") from None

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:  # not before it is needed: certificates take a while to load
            self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False)
        return self._client


# -- answers -------------------------------------------------------------------------------------------------------


async def _read(answer: httpx.Response) -> bytes:
    body = bytearray()
    pieces = cast("AsyncGenerator[bytes]", answer.aiter_bytes())  # which it is; closed here where it is too much
    async with aclosing(pieces) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > MOST_BYTES:
                raise OAuthError(f"the token URL answered more than {MOST_BYTES:,} bytes")
    return bytes(body)


def _decoded(body: bytes) -> dict[str, Any]:
    """A JSON object, or the form that some answer with all the same."""
    try:
        found = from_json(body)
    except ValueError:
        return dict(parse_qsl(body.decode("utf-8", "replace")))
    return found if is_object(found) else {}


def _tokens(provider: Provider, answer: Mapping[str, Any]) -> Tokens:
    access = answer.get("access_token")
    if not isinstance(access, str) or not access or not access.isprintable() or not access.isascii():
        raise OAuthError(f"{provider.display_name} answered without an access_token")
    refresh, scope = answer.get("refresh_token"), answer.get("scope")
    return Tokens(
        access,
        refresh if isinstance(refresh, str) and refresh else None,
        _seconds(answer.get("expires_in")),
        scope.replace(",", " ").split() if isinstance(scope, str) and scope.strip() else None,
        account_identifier=_first(answer, "account_id", "workspace_id", "bot_user_id"),
        account_name=_first(answer, "account_name", "workspace_name", "email"),
    )


def _first(answer: Mapping[str, Any], *names: str) -> str:
    return next((str(answer[name])[:LONGEST_ERROR] for name in names if isinstance(answer.get(name), str)), "")


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and 0 < seconds < 10 * 366 * 86_400 else None


def _refused(provider: Provider, status: int, answer: Mapping[str, Any], secrets: Sequence[str]) -> OAuthError:
    code = str(answer.get("error") or f"HTTP {status}")
    text = f"{code}: {answer['error_description']}" if answer.get("error_description") else code
    for each in secrets:  # a server may well repeat what it was sent
        text = text.replace(each, "***")
    return OAuthError(f"{provider.display_name} refused: {text[:LONGEST_ERROR]}", is_final=code in FINAL)
