"""One HTTP request for somebody else, from its bytes to the answer's: guarded, redirected by hand, cut off in time.

Not through `httpx.AsyncClient`: that one writes every URL, and the keys in its query, to the log.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

import httpx

from agentkit import __version__
from agentkit.runtime.outbound.egress import PORTS, Guard, GuardedTransport, Refused

__all__ = ["MAX_BYTES", "Answer", "Fetcher", "Outgoing", "Oversized", "Unreadable", "reason", "shown"]

MAX_BYTES: Final = 10_000_000  # of an answer, before and after it is unpacked
MAX_REDIRECTS: Final = 5
USER_AGENT: Final = f"agentkit/{__version__} (tool)"
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_OURS: Final = {"User-Agent": USER_AGENT, "Accept": "application/json, */*;q=0.8", "Accept-Encoding": "gzip, deflate"}
_KEPT_ELSEWHERE: Final = frozenset({"accept", "accept-encoding", "accept-language", "content-type", "user-agent"})
_OF_BODY: Final = frozenset({"content-type", "content-length", "content-encoding"})


class Oversized(Exception):
    """The answer is longer than what is taken; the rest of it was not read."""


class Unreadable(Exception):
    """The answer does not mean anything: a redirect to nowhere, bytes that do not unpack."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to send. `read_seconds`: how long the other side may be silent."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes | None = None
    read_seconds: float | None = None
    max_redirects: int = MAX_REDIRECTS


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from `url`, the last one of the redirects. `content` is unpacked."""

    status: int
    headers: httpx.Headers
    content: bytes
    url: httpx.URL

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


class Fetcher:
    """Sends requests. One for many of them; `aclose` it."""

    def __init__(
        self,
        guard: Guard,
        *,
        max_bytes: int = MAX_BYTES,
        connect_seconds: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._transport = transport or GuardedTransport(guard, connect_seconds=connect_seconds)
        self._max_bytes = max_bytes
        self._connect_seconds = connect_seconds

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()

    async def send(self, request: Outgoing) -> Answer:
        """The answer, after the redirects. Raises Refused, Oversized, Unreadable and httpx.TransportError."""
        for _ in range(request.max_redirects + 1):
            answer = await self._exchange(request)
            following = _redirected(request, answer) if request.max_redirects else None
            if following is None:
                return answer
            request = following
        raise Unreadable(f"more than {request.max_redirects} redirects; the last one to {shown(request.url)}")

    async def _exchange(self, request: Outgoing) -> Answer:
        sent = httpx.Request(
            request.method,
            request.url,
            headers=_encoded({**_OURS, **request.headers}),
            content=request.body,
            extensions={"timeout": self._timeout(request).as_dict()},
        )
        response = await self._transport.handle_async_request(sent)
        try:
            is_read = request.method != "HEAD" and response.status_code not in (*REDIRECTS, 204, 304)
            content = await _read(response, max_bytes=self._max_bytes) if is_read else b""
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers, content, request.url)

    def _timeout(self, request: Outgoing) -> httpx.Timeout:
        seconds = self._connect_seconds
        return httpx.Timeout(connect=seconds, write=request.read_seconds, read=request.read_seconds, pool=None)


def shown(url: httpx.URL) -> str:
    """The URL as it may be told: without user, query and fragment.

    >>> shown(httpx.URL("https://me:secret@api.example.com:8443/v1/x?key=secret#top"))
    'https://api.example.com:8443/v1/x'
    """
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))


def reason(error: BaseException) -> str:
    """What went wrong on the way, in the words of the error, or of what caused it where it has none itself."""
    said, cause = str(error), error.__cause__ or error.__context__
    return said or (reason(cause) if cause is not None else type(error).__name__)


# -- redirects -----------------------------------------------------------------------------------------------------


def _redirected(request: Outgoing, answer: Answer) -> Outgoing | None:
    """The request that the answer asks for instead; None where it asks for none."""
    location = answer.headers.get("location")
    if answer.status not in REDIRECTS or not location:
        return None
    try:
        url = request.url.join(location).copy_with(userinfo=b"", fragment=None)
    except (httpx.InvalidURL, ValueError):
        raise Unreadable(f"{shown(request.url)} redirects to what is no URL") from None
    if url.scheme not in PORTS or not url.host:
        raise Refused(f"{shown(request.url)} redirects to {url.scheme or 'no'!r}, which is not http or https")
    headers, method, body = dict(request.headers), request.method, request.body
    if not _is_same_party(request.url, url):
        headers = {name: value for name, value in headers.items() if name.lower() in _KEPT_ELSEWHERE}
    if (answer.status == 303 and method != "HEAD") or (answer.status in (301, 302) and method == "POST"):
        headers = {name: value for name, value in headers.items() if name.lower() not in _OF_BODY}
        method, body = "GET", None
    return replace(request, method=method, url=url, headers=headers, body=body)


def _is_same_party(one: httpx.URL, other: httpx.URL) -> bool:
    """Whether what the first may know, the other may know too: the same origin, or the same host made safer."""
    if (one.scheme, one.host, _port(one)) == (other.scheme, other.host, _port(other)):
        return True
    return one.host == other.host and (one.scheme, _port(one), other.scheme, _port(other)) == ("http", 80, "https", 443)


def _port(url: httpx.URL) -> int | None:
    return url.port or PORTS.get(url.scheme)


# -- bytes ---------------------------------------------------------------------------------------------------------


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    merged = {name.lower(): (name, value) for name, value in headers.items()}  # of two spellings the tool's, the later
    return [(name.encode("ascii"), value.encode("utf-8", "replace")) for name, value in merged.values()]


async def _read(response: httpx.Response, *, max_bytes: int) -> bytes:
    """The body, unpacked. What is too long is not read to its end."""
    announced = response.headers.get("content-length", "")
    if announced.isascii() and announced.isdecimal() and int(announced) > max_bytes:
        raise Oversized(f"the answer has {int(announced):,} bytes; at most {max_bytes:,} are taken")
    unpack = _unpacker(response.headers.get("content-encoding", ""))
    stream: Any = response.stream
    chunks: AsyncIterator[bytes] = aiter(stream)
    parts: list[bytes] = []
    room, raw = max_bytes, 0
    try:
        async for chunk in chunks:
            raw += len(chunk)
            part = unpack(chunk, room + 1)
            parts.append(part)
            room -= len(part)
            if room < 0 or raw > max_bytes:
                raise Oversized(f"the answer is longer than {max_bytes:,} bytes, which is all that is taken")
    except (Oversized, Unreadable):
        await _drop(response, chunks)
        raise
    return b"".join(parts)


async def _drop(response: httpx.Response, chunks: AsyncIterator[bytes]) -> None:
    """Hangs up, and runs the generators below against the closed socket: trio does not like one that is dropped."""
    await response.aclose()
    with suppress(Exception):
        async for _ in chunks:
            pass


def _unpacker(encoding: str) -> Callable[[bytes, int], bytes]:
    """What unpacks a piece of the body, no further than so many bytes."""
    names = [name.strip().lower() for name in encoding.split(",") if name.strip().lower() not in ("", "identity")]
    match names:
        case []:
            return _as_it_is
        case ["gzip"] | ["x-gzip"]:
            return _inflater(zlib.MAX_WBITS | 16)
        case ["deflate"]:
            return _deflater()
        case _:
            raise Unreadable(f"the answer is packed as {', '.join(names)[:80]!r}, which nobody asked for")


def _as_it_is(data: bytes, most: int) -> bytes:
    return data[:most]


def _inflater(window_bits: int) -> Callable[[bytes, int], bytes]:
    inflate = zlib.decompressobj(window_bits)

    def unpack(data: bytes, most: int) -> bytes:
        try:
            return inflate.decompress(inflate.unconsumed_tail + data, most)
        except zlib.error:
            raise Unreadable("the answer says that it is packed, and does not unpack") from None

    return unpack


def _deflater() -> Callable[[bytes, int], bytes]:
    """With or without the two bytes of zlib before it: servers do either."""
    chosen: Sequence[Callable[[bytes, int], bytes]] = ()

    def unpack(data: bytes, most: int) -> bytes:
        nonlocal chosen
        if chosen:
            return chosen[0](data, most)
        for candidate in (_inflater(zlib.MAX_WBITS), _inflater(-zlib.MAX_WBITS)):
            with suppress(Unreadable):
                unpacked = candidate(data, most)
                chosen = (candidate,)
                return unpacked
        raise Unreadable("the answer says that it is packed, and does not unpack")

    return unpack
