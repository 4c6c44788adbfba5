"""The guard of requests that others have us make: which hosts they may reach, and the transport that sees to it.

    client = httpx.AsyncClient(transport=GuardedTransport(Guard(allow=["10.0.0.0/8"])), trust_env=False)

A host is looked up once, every address of it is judged, and the connection goes to one of exactly these: a name that
means another address a moment later (DNS rebinding) changes nothing. TLS and the `Host` header keep the name.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final, TypeAlias

import anyio
import httpx

from agentkit.errors import ConfigError
from agentkit.runtime.outbound.addresses import Address, Network, hazard, literal, plain

__all__ = ["Guard", "GuardedTransport", "Refused", "Resolve", "resolve"]

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Looks a host name up: its addresses, best first. Raises OSError where there are none."""

METADATA: Final = "metadata"  # a kind of `hazard`
PORTS: Final = {"http": 80, "https": 443}
FORM: Final = "'internal.example', 'localhost:*', '127.0.0.1:8080', '10.0.0.0/8', '[::1]:8080'"


class Refused(Exception):
    """The request may not be made: where it would go is not for it. Says what would allow it."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host name, as the system knows them."""
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"{host!r} is no host name") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Guard:
    """Judges where requests may go. `allow` names what may be reached although it is not public.

    An entry is a host name, an address or a network, and a port or `*` behind a colon; without one, every port. A name
    is allowed whatever address it has. Raises ConfigError.
    """

    def __init__(self, allow: Iterable[str] = (), *, resolve: Resolve = resolve) -> None:
        self._allowed = tuple(_parse(entry) for entry in allow)
        self._resolve = resolve

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host, looked up once and all of them allowed. Raises Refused; OSError: no such host."""
        written = literal(host)
        found = [str(written)] if written is not None else await self._resolve(host, port)
        if not self.is_named(host, port):
            for address in found:
                self._check(host, port, plain(address))
        return found

    def is_named(self, host: str, port: int) -> bool:
        """Whether the allow-list has the host by its name."""
        name = host.strip("[]").rstrip(".").lower()
        return any(each.name == name and each.fits(port) for each in self._allowed)

    def _check(self, host: str, port: int, address: Address) -> None:
        kind = hazard(address)
        if kind is None or any(each.network and address in each.network and each.fits(port) for each in self._allowed):
            return
        told = f"the address {address} of host {host!r} is {kind}"
        if kind == METADATA:  # nobody should paste a line that opens it
            raise Refused(f"{told}, which hands out a machine's credentials; only allow_hosts would open it")
        shown = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
        raise Refused(f"{told}; allow it with Runtime(allow_hosts=['{shown}']) or agentkit serve --allow-host {shown}")


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport that goes where the guard lets it. `verify` is the TLS context, the system's unless given.

    Raises Refused. Connections are not kept: one that was made for a name must not carry requests for another.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        verify: ssl.SSLContext | None = None,
        connect_seconds: float = 10.0,
        network: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._guard = guard
        self._connect_seconds = connect_seconds
        self._verify = verify
        self._network = network

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends the request to the first address of its host that takes the connection."""
        host, port = request.url.raw_host.decode("ascii"), _port(request.url)
        addresses = await self._addresses(host, port)
        for address in addresses[:-1]:
            try:
                return await self._connected().handle_async_request(_pinned(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._connected().handle_async_request(_pinned(request, addresses[-1]))

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._network is not None:
            await self._network.aclose()
            self._network = None

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            with anyio.fail_after(self._connect_seconds):
                found = await self._guard.addresses(host, port)
        except TimeoutError:
            raise httpx.ConnectTimeout(f"host {host!r} was not found within {self._connect_seconds:g} s") from None
        except OSError:
            raise httpx.ConnectError(f"there is no host {host!r}") from None
        if not found:
            raise httpx.ConnectError(f"host {host!r} has no address")
        return found

    def _connected(self) -> httpx.AsyncBaseTransport:
        if self._network is None:  # not before it is needed: certificates take a while to load
            self._network = httpx.AsyncHTTPTransport(
                verify=self._verify or True,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            )
        return self._network


# -- parts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Allowed:
    """An entry of the allow-list: a name or a network, at one port or all (None)."""

    name: str
    network: Network | None
    port: int | None

    def fits(self, port: int) -> bool:
        return self.port in (None, port)


def _parse(entry: str) -> _Allowed:
    host, port = _split(entry.strip())
    if not host or not (port in ("", "*") or (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536)):
        raise ConfigError(f"allow_hosts: {entry!r} is none of {FORM}")
    number = int(port) if port not in ("", "*") else None
    try:
        return _Allowed("", ip_network(host, strict=False), number)
    except ValueError:
        if "/" in host or ":" in host or any(letter.isspace() for letter in host):
            raise ConfigError(f"allow_hosts: {entry!r} is none of {FORM}") from None
        written = literal(host)
        return _Allowed("", ip_network(str(written)), number) if written else _Allowed(_name(host), None, number)


def _split(entry: str) -> tuple[str, str]:
    """Host and port; an IPv6 address with a port stands in brackets."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host + rest.partition(":")[0], rest.partition(":")[2]
    host, colon, port = entry.rpartition(":")
    return (host, port) if colon and ":" not in host else (entry, "")


def _name(host: str) -> str:
    return host.rstrip(".").lower()


def _port(url: httpx.URL) -> int:
    if url.scheme not in PORTS:
        raise Refused(f"{url.scheme or 'no'!r} is no scheme to send requests with; write http:// or https://")
    return url.port or PORTS[url.scheme]


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    """The same request to the address; its `Host` header, and the name in TLS, stay."""
    name = request.url.raw_host.decode("ascii")
    pinned = httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": name},
    )
    pinned.headers["Host"] = request.headers.get("Host") or request.url.netloc.decode("ascii")
    return pinned
