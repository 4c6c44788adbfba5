"""A TCP proxy that breaks what passes it, at a place chosen to the line.

It stands between a client and `agentkit`'s server, knows as much HTTP as it needs to tell one request and one line of a
stream from the next, and does what its plan says: `plan(request, number)` gets "GET /chats/x/stream?after=3" and how
many requests came before, and answers with a `Cut`, or None to let it pass.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Final, Literal, Self, TypeAlias

__all__ = ["EVERYTHING_PASSES", "Cut", "Plan", "Proxy", "each", "first_of", "once"]

Where: TypeAlias = Literal["request", "answer", "half", "after_line", "in_line"]
How: TypeAlias = Literal["fin", "rst", "silence", "late", "twice"]

START_SECONDS: Final = 10.0
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a request breaks, and how.

    | where | what happened until then |
    |---|---|
    | request | nothing: the server never sees it |
    | answer | the server has done it and answered; the client gets not one byte |
    | half | the client has the head and half of the body |
    | after_line | the client has `line` lines of the stream (0: the head alone) |
    | in_line | and half of the next one |

    | how | what the client sees |
    |---|---|
    | fin, rst | the end, or a reset connection |
    | silence | nothing any more, while the connection stands |
    | late | all of it, `seconds` later |
    | twice | the stream's line `line` (from 1) once more, then all of it |
    """

    where: Where
    how: How = "fin"
    line: int = 0
    seconds: float = 0.0


Plan: TypeAlias = Callable[[str, int], Cut | None]


def EVERYTHING_PASSES(request: str, number: int) -> Cut | None:
    """The plan of a proxy that does no harm."""
    return None


def once(pattern: str, cut: Cut) -> Plan:
    """The plan that does this to the first request that matches, and lets everything else pass."""
    done: list[int] = []

    def plan(request: str, number: int) -> Cut | None:
        if done or not re.match(pattern, request):
            return None
        done.append(number)
        return cut

    return plan


def each(pattern: str, *cuts: Cut | None) -> Plan:
    """The plan that does the first of these to the first request that matches, the next to the next, and so on."""
    matched: list[int] = []

    def plan(request: str, number: int) -> Cut | None:
        if not re.match(pattern, request):
            return None
        matched.append(number)
        return cuts[(len(matched) - 1) % len(cuts)]

    return plan


def first_of(*plans: Plan) -> Plan:
    """The plan that asks these until one has a cut."""
    return lambda request, number: next((cut for plan in plans if (cut := plan(request, number))), None)


class _Ended(Exception):
    """The client's connection is over; nothing more to relay."""


@dataclass
class _Message:
    """The head of a request or an answer, as it came."""

    raw: bytes
    first: str
    fields: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> _Message:
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").strip().split("\r\n")
        named = (line.partition(":") for line in lines)
        return cls(raw, first, {name.lower(): value.strip() for name, _, value in named})

    @property
    def is_chunked(self) -> bool:
        return self.fields.get("transfer-encoding", "").lower() == "chunked"

    @property
    def size(self) -> int:
        return int(self.fields.get("content-length", 0))


class Proxy:
    """Use it with `with`, and give `url` to the client. `cuts` counts what was broken, `lines` what was relayed."""

    def __init__(self, port: int, plan: Plan = EVERYTHING_PASSES) -> None:
        self.plan = plan
        self.cuts = 0
        self.lines = 0
        self.requests: list[str] = []
        self._target = port
        self._port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="agentkit-test-proxy")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(START_SECONDS)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._stop.wait()
        server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                await self._pass(reader, writer)
        except (_Ended, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # either side hung up, or the test is over
        finally:
            self._connections.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request and its answer, over a connection of its own to the server."""
        request = await _Message.read(reader)
        body = await reader.readexactly(request.size)
        called = " ".join(request.first.split()[:2])
        cut = self.plan(called, len(self.requests))
        self.requests.append(called)
        if cut is not None and cut.where == "request":
            await self._break(cut, reader, writer)
        below, above = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            above.write(request.raw + body)
            answer = await _Message.read(below)
            if answer.is_chunked:
                async with aclosing(_until_gone(below, reader)) as lines:
                    await self._relay(answer, lines, cut, reader, writer)
                raise _Ended
            await self._reply(answer.raw, await below.readexactly(answer.size), cut, reader, writer)
        finally:
            above.close()
            with suppress(ConnectionError):
                await above.wait_closed()

    async def _reply(
        self, head: bytes, body: bytes, cut: Cut | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """An answer with a length."""
        if cut is not None:
            if cut.where == "half":
                writer.write(head + body[: len(body) // 2])
            await self._break(cut, reader, writer)
        writer.write(head + body)
        await writer.drain()

    async def _relay(
        self,
        answer: _Message,
        lines: AsyncGenerator[bytes, None],
        cut: Cut | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """An answer line by line: the server sends each line as a chunk of its own (protocol.md 1.7 rule 3)."""
        if cut is not None and cut.where == "answer":
            await self._break(cut, reader, writer)
        writer.write(answer.raw)
        told = 0
        while True:
            if cut is not None and cut.where == "after_line" and cut.how != "twice" and told == cut.line:
                if cut.how == "silence":
                    self.cuts += 1
                    await _drain(lines)
                await self._break(cut, reader, writer)
            line = await anext(lines, b"")
            if cut is not None and cut.where == "in_line" and told == cut.line:
                writer.write(_chunk(line[: len(line) // 2]))
                await self._break(cut, reader, writer)
            told += 1
            self.lines += 1
            writer.write(_chunk(line))
            if cut is not None and cut.how == "twice" and told == cut.line:
                self.cuts += 1
                writer.write(_chunk(line))
            await writer.drain()
            if not line:
                return

    async def _break(self, cut: Cut, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Does the harm; returns only from what is late."""
        self.cuts += 1
        match cut.how:
            case "late":
                await asyncio.sleep(cut.seconds)
                return
            case "silence":
                await writer.drain()
                await reader.read()
            case "rst":
                await writer.drain()
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()
            case _:
                await writer.drain()
        raise _Ended


async def _drain(lines: AsyncGenerator[bytes, None]) -> None:
    """Takes the lines and keeps them, for as long as the client is there."""
    async for _ in lines:
        pass


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def _chunks(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    """The data of each chunk, the empty last one too."""
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        data = (await reader.readexactly(size + 2))[:-2]
        yield data
        if not data:
            return


async def _until_gone(below: asyncio.StreamReader, client: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    """The chunks for as long as the client is there."""
    gone = asyncio.ensure_future(client.read(1))
    chunks = _chunks(below)
    try:
        while True:
            chunk = asyncio.ensure_future(anext(chunks))
            try:
                await asyncio.wait({gone, chunk}, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    raise _Ended
            finally:
                if not chunk.done():
                    chunk.cancel()
                    with suppress(asyncio.CancelledError):
                        await chunk
            yield chunk.result()
            if not chunk.result():
                return
    finally:
        gone.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await gone
        await chunks.aclose()
