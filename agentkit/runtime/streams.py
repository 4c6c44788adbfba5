"""Answers without a length: a chat as NDJSON or SSE, one run, a file (protocol.md 1.7, 6.4)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import anyio
from anyio import CancelScope
from starlette.types import Receive, Scope, Send

from agentkit.errors import StoreError
from agentkit.protocol.lines import encode_line
from agentkit.protocol.sse import encode_item
from agentkit.runtime.hub import Frame

__all__ = ["EVENTS", "LINES", "Format", "OpenStreams", "Stream", "format_for", "item"]

logger = logging.getLogger("agentkit.streams")

RECHECK_SECONDS: Final = 15.0  # between two looks at whether a reader may have the stream still
STALL_SECONDS: Final = 60.0  # a reader that takes nothing for so long is gone, or as good as
EVENT_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Format:
    """How the items of a stream are written. No charset in `media_type` (protocol.md 1.7 rule 2)."""

    media_type: str
    encode: Callable[[Mapping[str, Any]], bytes]


LINES: Final = Format("application/x-ndjson", encode_line)
EVENTS: Final = Format("text/event-stream", encode_item)
_LINE_TYPES: Final = ("application/x-ndjson", "application/jsonl", "application/ndjson")


def format_for(accept: str) -> Format:
    """NDJSON for who asks for it, under the name it was asked by; SSE for everybody else (protocol.md 2.6)."""
    for entry in accept.lower().split(","):
        name = entry.partition(";")[0].strip()
        if name in _LINE_TYPES:
            return Format(name, encode_line)
        if name == EVENTS.media_type:
            return EVENTS
    return EVENTS


def item(frame: Frame) -> dict[str, Any]:
    """The NDJSON item of a frame."""
    if frame.name is None:
        return {"type": "heartbeat"}
    body = {"event": frame.name, "data": frame.data}
    return body if frame.id is None else {**body, "id": frame.id}


class OpenStreams:
    """The streams of one server that are being sent, so that a shutdown can end them."""

    def __init__(self) -> None:
        self._scopes: set[CancelScope] = set()
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._scopes)

    def add(self, scope: CancelScope) -> None:
        """Remembers a stream; once closed, ends it at once."""
        self._scopes.add(scope)
        if self.is_closed:
            scope.cancel()

    def drop(self, scope: CancelScope) -> None:
        """Forgets a stream that is over."""
        self._scopes.discard(scope)

    def close(self) -> None:
        """Ends every stream in good order, now and from now on. Belongs to the event loop."""
        self.is_closed = True
        for scope in list(self._scopes):
            scope.cancel()


class Stream:
    """An ASGI response of chunks, each sent as it comes.

    It ends with its chunks, when the client leaves or may not have it any more, when the server closes, or when the
    client takes nothing for a minute; the chunks are closed in every case. No chunk is taken before the one before it
    was accepted, so a slow reader costs one chunk of memory here.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        *,
        headers: Mapping[str, str],
        streams: OpenStreams,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self.headers = dict(headers)
        self._chunks = chunks
        self._streams = streams
        self._stall_seconds = stall_seconds
        self._is_allowed: Callable[[], Awaitable[bool]] | None = None
        self._is_refused = False

    def while_allowed(self, is_allowed: Callable[[], Awaitable[bool]]) -> None:
        """Ends the stream in good order once this says no."""
        self._is_allowed = is_allowed

    @classmethod
    def of_items(cls, items: AsyncGenerator[Any, None], *, format: Format, streams: OpenStreams) -> Stream:
        """A stream of NDJSON items in this format."""
        headers = {"Content-Type": format.media_type, **EVENT_HEADERS}
        return cls(_encoded(items, format), headers=headers, streams=streams)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it; for HEAD the headers alone."""
        lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        async with aclosing(self._chunks) as chunks:
            await send({"type": "http.response.start", "status": 200, "headers": lines})
            if scope["method"] == "HEAD":
                await anext(chunks, None)  # closing a generator that never began would close nothing it holds
                is_whole = True
            else:
                is_whole = await self._send(chunks, receive, send)
        if is_whole:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, chunks: AsyncIterator[bytes], receive: Receive, send: Send) -> bool:
        """Whether the answer may be completed: not when its reader is stuck, nor when it is shorter than announced."""
        is_over = False
        async with anyio.create_task_group() as group:
            self._streams.add(group.cancel_scope)
            try:
                group.start_soon(_until_gone, receive, group.cancel_scope)
                group.start_soon(self._until_refused, group.cancel_scope)
                is_over = await self._send_all(chunks, send)
            finally:
                self._streams.drop(group.cancel_scope)
                group.cancel_scope.cancel()
        return is_over or ((self._streams.is_closed or self._is_refused) and "Content-Length" not in self.headers)

    async def _until_refused(self, scope: CancelScope) -> None:
        while self._is_allowed is not None:
            await anyio.sleep(RECHECK_SECONDS)
            if not await self._is_allowed():
                self._is_refused = True
                scope.cancel()

    async def _send_all(self, chunks: AsyncIterator[bytes], send: Send) -> bool:
        async for chunk in chunks:
            with anyio.move_on_after(self._stall_seconds) as patience:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if patience.cancelled_caught:
                logger.warning("a reader took nothing for %g s; its stream is closed", self._stall_seconds)
                return False
        return True


async def _until_gone(receive: Receive, scope: CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _encoded(items: AsyncGenerator[Any, None], format: Format) -> AsyncGenerator[bytes, None]:
    """One chunk per item: the official SDK reads a line when its chunk is complete (protocol.md 1.7 rule 1)."""
    async with aclosing(items):
        try:
            async for each in items:
                yield format.encode(each)
        except StoreError as error:  # the reader comes back with its cursor
            logger.error("a stream ends because of the database: %s", error)
