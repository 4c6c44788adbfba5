"""httpx transports that call an ASGI app in this process, body and answer both streamed.

`httpx.ASGITransport` buffers a whole answer, so a chat stream would never arrive; these hand over each chunk as it is
sent, at most `ROOM` ahead of the reader, and closing a response cancels the app's request.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import anyio
import anyio.abc
import anyio.lowlevel
import httpx
from anyio.from_thread import BlockingPortal

from agentkit.client.transport import ABORT
from agentkit.errors import UsageError

__all__ = ["BASE_URL", "AsyncInProcess", "InProcess"]

BASE_URL: Final = "http://agentkit.local"
FORKED: Final = "a runtime does not survive a fork; open a Runtime in the child, on the same file"
ENDING_SECONDS: Final = 2.0  # for a request that was cancelled to end
ROOM: Final = 64  # chunks an answer may be ahead of its reader

Message = MutableMapping[str, Any]
App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


@dataclass(frozen=True, slots=True)
class _Head:
    status: int
    headers: list[tuple[bytes, bytes]]


class _Call:
    """One request in the app's event loop. `tell` gets a _Head, then chunks, then None or an exception."""

    def __init__(self, app: App, request: httpx.Request, body: bytes) -> None:
        self._app = app
        self._scope = _scope(request)
        self._body: bytes | None = body
        self._cancellation: anyio.CancelScope | None = None  # these two belong to the app's loop, so `run` makes them
        self._room: anyio.Semaphore | None = None
        self._is_cancelled = False

    async def run(self, tell: Callable[[Any], None]) -> None:
        """Runs the app for this request."""
        self._tell, self._room = tell, anyio.Semaphore(ROOM)
        failure: BaseException | None = None
        try:
            with anyio.CancelScope() as self._cancellation:
                if not self._is_cancelled:
                    await self._app(self._scope, self._receive, self._send)
        except Exception as error:
            failure = error
        finally:
            tell(failure)

    def cancel(self) -> None:
        """Ends the request; in the app's loop only."""
        self._is_cancelled = True
        if self._cancellation is not None:
            self._cancellation.cancel()

    def make_room(self, chunks: int) -> None:
        """The reader took so many chunks; in the app's loop only."""
        if self._room is not None:
            for _ in range(chunks):
                self._room.release()

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await anyio.sleep_forever()  # a reader that goes away cancels the whole request
        raise AssertionError("unreachable")

    async def _send(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start":
                headers = [(bytes(name), bytes(value)) for name, value in message["headers"]]
                self._tell(_Head(message["status"], headers))
            case "http.response.body" if message.get("body") and self._room is not None:
                await self._room.acquire()
                self._tell(bytes(message["body"]))
            case _:
                await anyio.lowlevel.checkpoint()


def _scope(request: httpx.Request) -> dict[str, Any]:
    url = request.url
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.split(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 0),
        "server": (url.host, url.port or 80),
        "state": {},
    }


class InProcess(httpx.BaseTransport):
    """For sync clients: the app runs in the loop behind the portal, the caller waits in its own thread."""

    def __init__(self, app: App, portal: BlockingPortal) -> None:
        self._app = app
        self._portal = portal
        self._pid = os.getpid()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Starts the request in the app's loop; returns when the answer's head is there."""
        if self._pid != os.getpid():  # the portal's thread was not forked: nobody would ever answer
            raise UsageError(FORKED)
        try:
            stream = _Stream(self._app, self._portal, request)
        except RuntimeError:  # the portal is closed
            raise httpx.ConnectError("the runtime is closed", request=request) from None
        status, headers = stream.head(request)
        return httpx.Response(status, headers=headers, stream=stream, extensions={ABORT: stream.abort})


class _Stream(httpx.SyncByteStream):
    """An answer on its way from the app's loop to a thread."""

    def __init__(self, app: App, portal: BlockingPortal, request: httpx.Request) -> None:
        self._portal = portal
        self._call = _Call(app, request, request.read())
        self._chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_over = False
        portal.start_task_soon(self._call.run, self._chunks.put)

    def head(self, request: httpx.Request) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Status and headers."""
        first = self._chunks.get()
        if isinstance(first, _Head):
            return first.status, first.headers
        self._is_over = True
        raise httpx.RemoteProtocolError("the runtime gave no answer", request=request) from first

    def __iter__(self) -> Iterator[bytes]:
        taken = 0
        while isinstance(chunk := self._chunks.get(), bytes):
            taken += 1
            if taken == ROOM // 2:
                taken = 0
                self._in_loop(lambda: self._call.make_room(ROOM // 2))
            yield chunk
        self._is_over = True
        if isinstance(chunk, BaseException):
            raise httpx.ReadError("the runtime broke off its answer") from chunk

    def abort(self) -> None:
        """Ends the answer; whoever reads it comes to its end."""
        with self._lock:
            if not self._is_over:
                self._in_loop(self._call.cancel)

    def close(self) -> None:
        """Ends the answer."""
        self.abort()

    def _in_loop(self, job: Callable[[], object]) -> None:
        try:
            self._portal.start_task_soon(_as_task, job)
        except RuntimeError:  # the portal is closed, and with it all its requests
            self._is_over = True


async def _as_task(job: Callable[[], object]) -> None:
    job()


class AsyncInProcess(httpx.AsyncBaseTransport):
    """For async clients in the app's own event loop."""

    def __init__(self, app: App, tasks: anyio.abc.TaskGroup) -> None:
        self._app = app
        self._tasks = tasks

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Starts the request as a task; returns when the answer's head is there."""
        stream = _AsyncStream(self._app, request, await request.aread())
        self._tasks.start_soon(stream.run)
        try:
            status, headers = await stream.head(request)
        except BaseException:
            await stream.aclose()
            raise
        return httpx.Response(status, headers=headers, stream=stream)


class _AsyncStream(httpx.AsyncByteStream):
    """An answer on its way from one task to another."""

    def __init__(self, app: App, request: httpx.Request, body: bytes) -> None:
        self._call = _Call(app, request, body)
        self._over = anyio.Event()
        self._send, self._receive = anyio.create_memory_object_stream[Any](float("inf"))  # bounded by the call's room

    async def run(self) -> None:
        """The app's side."""
        try:
            with self._send:
                await self._call.run(self._tell)
        finally:
            self._over.set()

    def _tell(self, what: Any) -> None:
        try:
            self._send.send_nowait(what)
        except anyio.BrokenResourceError:
            self._call.cancel()  # the reader is gone

    async def head(self, request: httpx.Request) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Status and headers."""
        first = await self._receive.receive()
        if isinstance(first, _Head):
            return first.status, first.headers
        raise httpx.RemoteProtocolError("the runtime gave no answer", request=request) from first

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with suppress(anyio.ClosedResourceError):  # closed while it was read: that is its end
            async for chunk in self._receive:
                if not isinstance(chunk, bytes):
                    if isinstance(chunk, BaseException):
                        raise httpx.ReadError("the runtime broke off its answer") from chunk
                    return
                self._call.make_room(1)
                yield chunk

    async def aclose(self) -> None:
        """Ends the answer; returns when the app is done with it, so that a closed client leaves no task behind."""
        self._call.cancel()
        self._receive.close()
        with anyio.move_on_after(ENDING_SECONDS, shield=True):
            await self._over.wait()
