"""This process's stdin and stdout as the wire of an MCP server, and nothing else on them.

The SDK has the same, but reads in a thread that keeps the process from ending on Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import IO, TypeAlias

import anyio
import anyio.from_thread
import anyio.to_thread
import mcp_types
from anyio.lowlevel import EventLoopToken, current_token
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

__all__ = ["wire"]

Inbox: TypeAlias = MemoryObjectSendStream[SessionMessage | Exception]
Streams: TypeAlias = tuple[
    MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]
]


@asynccontextmanager
async def wire() -> AsyncGenerator[Streams]:
    """While entered, messages come and go on stdin and stdout; what anybody prints goes to stderr."""
    sys.stdout.flush()
    source, target = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    inbox, received = anyio.create_memory_object_stream[SessionMessage | Exception](16)
    sent, outbox = anyio.create_memory_object_stream[SessionMessage](16)
    reader = threading.Thread(target=_read, args=(os.fdopen(source, "rb"), inbox, current_token()), daemon=True)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_write, target, outbox)
            reader.start()
            yield received, sent
            group.cancel_scope.cancel()
    finally:
        for stream in (inbox, received, sent, outbox):
            stream.close()
        os.dup2(target, 1)
        os.close(target)


def _read(source: IO[bytes], inbox: Inbox, token: EventLoopToken) -> None:
    """Hands over line by line; waits while nobody takes them."""
    with source, suppress(anyio.RunFinishedError, anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
        for line in source:
            if line.strip():
                anyio.from_thread.run(inbox.send, _message(line), token=token)
        anyio.from_thread.run(inbox.aclose, token=token)


def _message(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _write(target: int, outbox: MemoryObjectReceiveStream[SessionMessage]) -> None:
    async for each in outbox:
        line = each.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
        try:
            await anyio.to_thread.run_sync(_write_all, target, line)
        except OSError:  # nobody reads any more
            await outbox.aclose()
            return


def _write_all(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
