"""Sending calls and opening streams: one pooled httpx client each, and its async twin.

An answer that may be had by asking again is asked for again (`protocol/retry.py` decides); everything else is raised as
an exception of `agentkit.errors`, never as one of httpx.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any, Generic, Protocol, TypeVar

import anyio
import httpx
from tenacity import AsyncRetrying, Retrying, retry_if_exception_type

from agentkit.client.config import ClientConfig
from agentkit.client.exchange import Exchange, Failed, should_stop, wait_seconds
from agentkit.errors import AgentKitError, ConnectError, StreamError, TimeoutError, UsageError
from agentkit.protocol.endpoint import Call
from agentkit.protocol.flows import Flow
from agentkit.protocol.problems import error_from
from agentkit.protocol.sse import ItemReader, reader_for

__all__ = ["AsyncTransport", "Transport"]

T = TypeVar("T")

STREAM_TYPES = ("application/x-ndjson", "application/jsonl", "text/event-stream")
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)  # a turn holds one: no turn waits for another
ABORT = "agentkit.abort"  # response extension of transports without a socket: a function that ends the stream


@dataclass(frozen=True)
class Incoming:
    """An open stream: its bytes, the reader for them, and a way to end it from another thread."""

    response: httpx.Response
    reader: ItemReader

    async def chunks(self) -> AsyncIterator[bytes]:
        """The stream's bytes as they come. Raises ConnectError or TimeoutError where it breaks."""
        try:
            async for chunk in self.response.aiter_bytes():
                yield chunk
        except httpx.StreamClosed:
            return  # by ourselves
        except httpx.HTTPError as error:
            raise _stream_broke(error, self.response.request.url.path) from None

    def abort(self) -> None:
        """Wakes whoever reads. Closing an httpx response does not: only its socket's shutdown does."""
        abort: Callable[[], None] | None = self.response.extensions.get(ABORT)
        if abort is not None:
            abort()
            return
        network = self.response.extensions.get("network_stream")
        sock = network.get_extra_info("socket") if network is not None else None
        if sock is not None:
            with suppress(OSError):  # it was closed already: what we want
                sock.shutdown(socket.SHUT_RDWR)


class _Sink(Protocol):
    """Where a download goes. `begin` is called once per try."""

    def begin(self, total: int | None) -> None:
        """The bytes will come, so many where it is known."""
        ...

    def end(self) -> None:
        """All have come."""
        ...


class Sink(_Sink, Protocol):
    """Of a thread."""

    def write(self, chunk: bytes) -> None:
        """The next piece."""
        ...


class AsyncSink(_Sink, Protocol):
    """Of an event loop."""

    async def take(self, chunk: bytes) -> None:
        """The next piece."""
        ...


class Transport:
    """Sends calls from any thread. After a fork the child gets a pool of its own."""

    def __init__(self, config: ClientConfig, *, transport: httpx.BaseTransport | None = None) -> None:
        self.config = config
        self._transport = transport
        self._rng = Random()
        self._lock = threading.Lock()
        self._http: httpx.Client | None = None
        self._pid = os.getpid()
        self._closed = False

    def send(self, call: Call[T]) -> T:
        """Sends one call and reads its reply."""
        exchange = Exchange(self.config, call, self._rng)
        return self._retried(lambda: self._once(exchange))

    def download(self, call: Call[Any], sink: Sink) -> None:
        """Sends a GET and hands its bytes to the sink as they come; where it breaks, from the start again."""
        exchange = Exchange(self.config, call, self._rng)
        self._retried(lambda: self._download_once(exchange, sink))

    def run(self, flow: Flow[T]) -> T:
        """Sends the calls of a flow, one after the other; an error is thrown into the flow."""
        step: _Steps[T] = _Steps(flow)
        while (call := step.next()) is not None:
            try:
                step.answer(self.send(call))
            except AgentKitError as error:
                step.fail(error)
        return step.result

    @contextmanager
    def stream(self, path: str, *, query: dict[str, str], quiet_seconds: float) -> Generator[Incoming]:
        """Opens a stream; entered once the headers are here. Raises APIError, ConnectError, StreamError.

        Silence for longer than `quiet_seconds` breaks it, be it before the headers or between two bytes.
        """
        http = self._client()
        request = _stream_request(http, self.config, path, query, quiet_seconds)
        try:
            response = http.send(request, stream=True)
        except httpx.HTTPError as error:
            raise _stream_broke(error, path) from None
        try:
            if not response.is_success:
                response.read()
            yield _incoming(response, self.config)
        except httpx.HTTPError as error:
            raise _stream_broke(error, path) from None
        finally:
            response.close()

    def close(self) -> None:
        """Closes the pool. The transport cannot be used again."""
        with self._lock:
            self._closed = True
            http, self._http = self._http, None
        if http is not None and self._pid == os.getpid():
            http.close()

    def _retried(self, once: Callable[[], T]) -> T:
        retrying = Retrying(retry=retry_if_exception_type(Failed), stop=should_stop, wait=wait_seconds, reraise=True)
        try:
            return retrying(once)
        except Failed as failed:
            raise failed.error from None

    def _download_once(self, exchange: Exchange[Any], sink: Sink) -> None:
        http = self._client()
        try:
            response = http.send(exchange.download(http), stream=True, follow_redirects=True)
            try:
                if not response.is_success:
                    response.read()
                    exchange.read(response)
                meter = exchange.meter(response)
                sink.begin(meter.total)
                for chunk in response.iter_bytes():
                    sink.write(meter.count(chunk))
                meter.check()
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise exchange.broke(error) from None
        sink.end()

    def _once(self, exchange: Exchange[T]) -> T:
        http = self._client()
        try:
            response = http.send(exchange.request(http))
        except httpx.HTTPError as error:
            raise exchange.broke(error) from None
        return exchange.read(response)

    def _client(self) -> httpx.Client:
        if self._pid != os.getpid():  # a forked child must not share sockets (or a held lock) with its parent
            self._lock, self._http, self._pid = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._closed:
                raise UsageError("this client is closed; create a new one")
            if self._http is None:
                self._http = httpx.Client(transport=self._transport, follow_redirects=False, limits=LIMITS)
            return self._http


class AsyncTransport:
    """The async twin of `Transport`; used in one event loop, under asyncio or trio."""

    def __init__(self, config: ClientConfig, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.config = config
        self._transport = transport
        self._rng = Random()
        self._http: httpx.AsyncClient | None = None
        self._closed = False

    async def send(self, call: Call[T]) -> T:
        """Sends one call and reads its reply."""
        exchange = Exchange(self.config, call, self._rng)
        return await self._retried(lambda: self._once(exchange))

    async def download(self, call: Call[Any], sink: AsyncSink) -> None:
        """Sends a GET and hands its bytes to the sink as they come; where it breaks, from the start again."""
        exchange = Exchange(self.config, call, self._rng)
        await self._retried(lambda: self._download_once(exchange, sink))

    async def run(self, flow: Flow[T]) -> T:
        """Sends the calls of a flow, one after the other; an error is thrown into the flow."""
        step: _Steps[T] = _Steps(flow)
        while (call := step.next()) is not None:
            try:
                step.answer(await self.send(call))
            except AgentKitError as error:
                step.fail(error)
        return step.result

    @asynccontextmanager
    async def stream(self, path: str, *, query: dict[str, str], quiet_seconds: float) -> AsyncGenerator[Incoming]:
        """Opens a stream; entered once the headers are here. Raises APIError, ConnectError, StreamError.

        Silence for longer than `quiet_seconds` breaks it, be it before the headers or between two bytes.
        """
        http = self._client()
        request = _stream_request(http, self.config, path, query, quiet_seconds)
        try:
            response = await http.send(request, stream=True)
        except httpx.HTTPError as error:
            raise _stream_broke(error, path) from None
        try:
            if not response.is_success:
                await response.aread()
            yield _incoming(response, self.config)
        except httpx.HTTPError as error:
            raise _stream_broke(error, path) from None
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def aclose(self) -> None:
        """Closes the pool. The transport cannot be used again."""
        self._closed = True
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def _retried(self, once: Callable[[], Awaitable[T]]) -> T:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Failed), stop=should_stop, wait=wait_seconds, reraise=True, sleep=anyio.sleep
        )

        async def attempt() -> T:  # tenacity awaits what it sees to be a coroutine function, and no other
            return await once()

        try:
            reply: T = await retrying(attempt)
        except Failed as failed:
            raise failed.error from None
        return reply

    async def _download_once(self, exchange: Exchange[Any], sink: AsyncSink) -> None:
        http = self._client()
        try:
            response = await http.send(exchange.download(http), stream=True, follow_redirects=True)
            try:
                if not response.is_success:
                    await response.aread()
                    exchange.read(response)
                meter = exchange.meter(response)
                sink.begin(meter.total)
                async for chunk in response.aiter_bytes():
                    await sink.take(meter.count(chunk))
                meter.check()
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
        except httpx.HTTPError as error:
            raise exchange.broke(error) from None
        sink.end()

    async def _once(self, exchange: Exchange[T]) -> T:
        http = self._client()
        try:
            response = await http.send(exchange.request(http))
        except httpx.HTTPError as error:
            raise exchange.broke(error) from None
        return exchange.read(response)

    def _client(self) -> httpx.AsyncClient:
        if self._closed:
            raise UsageError("this client is closed; create a new one")
        if self._http is None:
            self._http = httpx.AsyncClient(transport=self._transport, follow_redirects=False, limits=LIMITS)
        return self._http


class _Steps(Generic[T]):
    """A flow, one call at a time."""

    result: T  # once `next` has said None

    def __init__(self, flow: Generator[Call[Any], Any, T]) -> None:
        self._flow = flow
        self._next: Callable[[], Call[Any]] = lambda: next(flow)

    def next(self) -> Call[Any] | None:
        """The next call; None when the flow is over and `result` holds what it returned."""
        try:
            return self._next()
        except StopIteration as stop:
            self.result = stop.value
            return None

    def answer(self, reply: Any) -> None:
        self._next = lambda: self._flow.send(reply)

    def fail(self, error: AgentKitError) -> None:
        self._next = lambda: self._flow.throw(error)


def _stream_request(
    http: httpx.Client | httpx.AsyncClient,
    config: ClientConfig,
    path: str,
    query: dict[str, str],
    quiet_seconds: float,
) -> httpx.Request:
    asked = {"Accept": "application/x-ndjson", "Cache-Control": "no-cache", "Accept-Encoding": "identity"}
    headers = {**config.headers, **asked}
    timeout = httpx.Timeout(config.timeout_seconds, connect=config.connect_seconds, read=quiet_seconds)
    return http.build_request("GET", config.base_url + path, params=query or None, headers=headers, timeout=timeout)


def _incoming(response: httpx.Response, config: ClientConfig) -> Incoming:
    if not response.is_success:
        raise error_from(response.status_code, response.content, response.headers)
    content_type = response.headers.get("Content-Type", "")
    if content_type.split(";")[0].strip().lower() not in STREAM_TYPES:
        raise StreamError(
            f"{response.request.url.path}: a stream was asked for, {content_type or 'no content type'!r} came; "
            "is base_url really the platform, and no proxy's page?",
            reason="content_type",
        )
    return Incoming(response, reader_for(content_type, max_bytes=config.max_line_bytes))


def _stream_broke(error: httpx.HTTPError, path: str) -> AgentKitError:
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return TimeoutError(f"GET {path}: no answer in time: {reason}")
    return ConnectError(f"GET {path}: the stream broke: {reason}")
