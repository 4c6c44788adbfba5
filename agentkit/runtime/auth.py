"""Who may ask: the key of a request, and, where no key is needed, that no web page is behind it.

Without keys the server trusts this machine's user, and a browser on this machine runs other people's pages. Three
checks keep those out: `Host` must be a name of this machine (DNS rebinding), `Origin` must be absent, our own or
allowed (cross-site requests), and a body must come as a type that a page cannot send without asking first (`bodies`).
A page of our own is the console; where keys are needed it is known by its cookie (`console.cookies`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request

from agentkit.errors import ConfigError, StoreError
from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.config import ServerConfig, is_loopback
from agentkit.runtime.console import cookies
from agentkit.runtime.credentials.apikeys import allows
from agentkit.runtime.faults import Fault
from agentkit.runtime.origins import own_origins
from agentkit.runtime.platform import Platform
from agentkit.runtime.records import KeyRecord
from agentkit.runtime.service import LOCAL

__all__ = ["IN_PROCESS", "Caller", "Gate", "approver_of", "bearer", "refuse_open_door"]

IN_PROCESS: Final = "agentkit.local"  # the host of a client that has no socket between itself and the server
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/@\s]+)(?::[0-9]{0,5})?")


def refuse_open_door(config: ServerConfig, *, needs_key: bool) -> None:
    """Raises ConfigError where other machines could reach a server that asks nobody for a key."""
    if not (needs_key or config.is_loopback):
        raise ConfigError(
            f"host {config.host!r} can be reached from other machines, so a key is needed: "
            "give one as --api-key-file, --api-key or AGENTKIT_API_KEY, or listen on 127.0.0.1"
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what the key's scopes allow; without any, everything. `key_id` is "" where no key is needed."""

    owner: str
    scopes: tuple[str, ...] = ()
    key_id: str = ""
    approver: Approver = field(default_factory=lambda: Approver(LOCAL))


class Gate:
    """The rules of one server. Raises ConfigError where they would let everybody in."""

    def __init__(self, platform: Platform, config: ServerConfig) -> None:
        refuse_open_door(config, needs_key=platform.needs_key)
        self._platform = platform
        self._origins = frozenset(config.cors_origins)
        self._names = frozenset(config.host_names)
        self._public_url = config.public_url
        self._has_console = config.console

    async def caller(self, request: Request, *, scope: str) -> Caller:
        """Whom the request acts for. Raises Fault `unauthorized`, `insufficient_scope`."""
        if not self._platform.needs_key:
            return Caller(LOCAL)
        record = await self._key(request)
        if not allows(record.scopes, scope):
            raise Fault("insufficient_scope", f"this API key may not do that: it takes the scope {scope!r}")
        return Caller(record.owner, tuple(record.scopes), record.id, approver_of(record))

    async def still_allows(self, request: Request, *, scope: str) -> bool:
        """Whether a request that was let in before would be now; to look is no use of the console's session."""
        try:
            return allows((await self._key(request, is_use=False)).scopes, scope)
        except Fault:
            return False
        except StoreError:  # the next look may find out
            return True

    async def _key(self, request: Request, *, is_use: bool = True) -> KeyRecord:
        """The key in the header, else the one that the console's page signed in with. Raises Fault `unauthorized`."""
        key = bearer(request.headers)
        if key is None:
            token = self._token(request)
            if token is None:
                raise Fault("unauthorized", "send the API key as `Authorization: Bearer <key>`")
            record = await self._platform.console_sessions.key_of(token, is_use=is_use)
            if record is None:
                raise Fault("unauthorized", "nobody is signed in here any more; sign in again")
            return record
        record = await self._platform.key_of(key)
        if record is None:
            raise Fault("unauthorized", "this API key is unknown here, expired, or revoked")
        return record

    async def console_key(self, request: Request) -> KeyRecord | None:
        """The key that the console's page, if one sent the request, is signed in with."""
        token = self._token(request)
        return await self._platform.console_sessions.key_of(token) if token else None

    def carries_key(self, request: Request) -> bool:
        """Whether the request says who asks, rightly or wrongly."""
        return "authorization" in request.headers or self._token(request) is not None

    def origins(self, request: Request) -> frozenset[str]:
        """The origins that are this server's own, as far as this request can know them."""
        return own_origins(request, public_url=self._public_url)

    def _token(self, request: Request) -> str | None:
        return cookies.token_in(request, origins=self.origins(request)) if self._has_console else None

    def check(self, request: Request) -> None:
        """Raises Fault `forbidden` where a web page may be behind a request that needs no key."""
        if self._platform.needs_key:
            return  # a page does not know the key, and browsers never add one by themselves
        self._check_host(request)
        self._check_origin(request)

    def _own(self, request: Request) -> frozenset[str]:
        """Our own pages' origins: `Host` was checked before, so that no other machine's name is among them."""
        return self.origins(request) if self._has_console else frozenset()

    def _check_host(self, request: Request) -> None:
        host = request.headers.get("host", "")
        match = _HOST.fullmatch(host)
        name = match[1].lower() if match else ""
        if is_loopback(name) or name in self._names or (name == IN_PROCESS and _is_in_process(request)):
            return
        raise Fault(
            "forbidden",
            f"this server answers on 127.0.0.1 and localhost, not as {host!r}; add the name as --host-name or "
            "AGENTKIT_HOST_NAMES",
        )

    def _check_origin(self, request: Request) -> None:
        origin = request.headers.get("origin")
        if origin is not None:
            if origin.lower() not in self._origins | self._own(request):
                raise Fault(
                    "forbidden",
                    f"pages of {origin!r} may not call this server; add the origin as --cors-origin or "
                    "AGENTKIT_CORS_ORIGINS",
                )
            return
        site = request.headers.get("sec-fetch-site", "none")
        is_visit = request.method == "GET" and request.headers.get("sec-fetch-mode") == "navigate"
        if site in ("cross-site", "same-site") and not is_visit:  # a page that embeds us sends no Origin
            raise Fault("forbidden", f"a {site} page may not call this server")


def bearer(headers: Mapping[str, str]) -> str | None:
    """The key that the request carries."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def approver_of(key: KeyRecord) -> Approver:
    """Whom a key proves its holder to be."""
    return Approver(key.name or key.masked or key.id, frozenset(key.groups))


def _is_in_process(request: Request) -> bool:
    """Whether no socket is between: a socket's server is an address, so nobody can make DNS say this name."""
    server = request.scope.get("server")
    return server is None or server[0] == IN_PROCESS
