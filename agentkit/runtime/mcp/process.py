"""A server as a child process: JSON-RPC lines over its stdin and stdout, its stderr in our log.

The SDK's transport is one too; this one bounds what the child may send, gives it no more of our environment than it
needs, and ends the whole process group, whatever is left in it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import TracebackType
from typing import Final, TypeAlias

import anyio
import mcp_types
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from agentkit.runtime.mcp.calls import Unavailable
from agentkit.runtime.mcp.config import McpServerConfig
from agentkit.runtime.mcp.lines import ServerLog

__all__ = ["LONGEST_MESSAGE", "ChildTransport"]

logger = logging.getLogger("agentkit.mcp")

LONGEST_MESSAGE: Final = 32 << 20  # bytes; a larger one ends the connection
WAITING_MESSAGES: Final = 64  # read from the child, or for it, and not yet taken
MOST_NOTIFICATIONS: Final = 1_000  # a second; more are read later, so that a flood costs the child, not us
FLUSH_SECONDS: Final = 0.5
LEAVE_SECONDS: Final = 2.0  # from the end of its stdin to SIGTERM, and from there to SIGKILL

BROKEN: Final = (anyio.ClosedResourceError, anyio.BrokenResourceError)
KILL: Final = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has none

Inbox: TypeAlias = MemoryObjectSendStream[SessionMessage | Exception]
Streams: TypeAlias = tuple[
    MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]
]


class ChildTransport:
    """Starts the server when entered, ends it when left. `on_lost` is called where the child ends by itself.

    Entering raises Unavailable where the command cannot be started.
    """

    def __init__(
        self, config: McpServerConfig, *, environ: Mapping[str, str], log: ServerLog, on_lost: Callable[[], None]
    ) -> None:
        self._config = config
        self._environ = environ
        self._log = log
        self._on_lost = on_lost
        self._is_closing = False
        self._is_lost = False
        self._running: AbstractAsyncContextManager[Streams] | None = None
        self.ending = ""  # how the child ended by itself, in words

    async def __aenter__(self) -> Streams:
        self._running = self._run()
        return await self._running.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._running is not None
        return await self._running.__aexit__(kind, error, traceback)

    @asynccontextmanager
    async def _run(self) -> AsyncGenerator[Streams]:
        process = await self._start()
        inbox, received = anyio.create_memory_object_stream[SessionMessage | Exception](WAITING_MESSAGES)
        sent, outbox = anyio.create_memory_object_stream[SessionMessage](WAITING_MESSAGES)
        written = anyio.Event()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read, process, inbox)
                group.start_soon(self._write, process, outbox, inbox, written)
                group.start_soon(self._listen, process)
                try:
                    yield received, sent
                finally:
                    self._is_closing = True
                    with anyio.CancelScope(shield=True):
                        received.close()
                        sent.close()
                        with anyio.move_on_after(FLUSH_SECONDS):
                            await written.wait()
                        self._note_end(await self._end(process))
                    group.cancel_scope.cancel()
        finally:
            for stream in (inbox, received, sent, outbox):
                stream.close()
            with anyio.CancelScope(shield=True):
                await process.aclose()
            self._log.flush()

    async def _start(self) -> Process:
        config = self._config
        try:
            return await _spawned(config, config.variables(self._environ))
        except FileNotFoundError:
            what = f"the folder {config.cwd!r}" if _is_missing(config.cwd) else f"the command {config.command[0]!r}"
            told = f"the MCP server {config.name!r} cannot start: {what} is not on this machine"
            raise Unavailable(told, is_lasting=True) from None
        except OSError as error:
            told = f"{config.command[0]!r}: {error.strerror}"
            raise Unavailable(f"the MCP server {config.name!r} cannot start: {told}") from None

    # -- its three pipes -------------------------------------------------------------------------------------------

    async def _read(self, process: Process, inbox: Inbox) -> None:
        assert process.stdout is not None
        try:
            async with inbox:
                await self._take_lines(process.stdout, inbox)
        except (*BROKEN, OSError):
            pass
        if not self._is_closing:
            self._is_lost = True
            self._on_lost()
        with suppress(anyio.EndOfStream, *BROKEN, OSError):
            while True:  # a child that is stuck in writing would not see that its stdin ends
                await process.stdout.receive()

    async def _take_lines(self, stdout: ByteReceiveStream, inbox: Inbox) -> None:
        pace, buffer = _Pace(), bytearray()
        async for chunk in stdout:
            begin = len(buffer)
            buffer += chunk
            while (end := buffer.find(b"\n", begin)) >= 0:
                line = bytes(buffer[:end])
                del buffer[: end + 1]
                begin = 0
                message = self._message(line)
                if message is None or isinstance(message.message, mcp_types.JSONRPCNotification):
                    await pace.step()
                if message is not None:
                    await inbox.send(message)
            if len(buffer) > LONGEST_MESSAGE:
                self.ending = f"sent a line of more than {LONGEST_MESSAGE >> 20} MB"
                return

    def _message(self, line: bytes) -> SessionMessage | None:
        """The message of a line; None, and a word in the log, for one that is none."""
        if not line.strip():
            return None
        if len(line) > LONGEST_MESSAGE:
            self._log.line(f"left out a line of {len(line)} bytes", level=logging.WARNING)
            return None
        try:
            return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError:
            self._log.line(f"not a message: {line[:200].decode(errors='replace')}", level=logging.WARNING)
            return None

    async def _write(
        self,
        process: Process,
        outbox: MemoryObjectReceiveStream[SessionMessage],
        inbox: Inbox,
        written: anyio.Event,
    ) -> None:
        assert process.stdin is not None
        try:
            async with outbox:
                async for each in outbox:
                    await process.stdin.send(
                        each.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
                    )
        except (*BROKEN, OSError):
            await inbox.aclose()  # it may live on, but hears nothing more
        finally:
            written.set()

    async def _listen(self, process: Process) -> None:
        """Its stderr, line by line; a line without an end is cut."""
        assert process.stderr is not None
        rest = b""
        with suppress(*BROKEN, OSError):
            async for chunk in process.stderr:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._log.line(line.decode(errors="replace"))
                if len(rest) > 4_096:
                    self._log.line(rest.decode(errors="replace"))
                    rest = b""
        self._log.line(rest.decode(errors="replace"))

    # -- its end ---------------------------------------------------------------------------------------------------

    async def _end(self, process: Process) -> int | None:
        """Ends the child: by its stdin, then by SIGTERM, then by SIGKILL; then what it left in its group.

        The exit code, where it ended without being told to.
        """
        assert process.stdin is not None
        with (
            suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError),
            anyio.move_on_after(FLUSH_SECONDS),
        ):
            await process.stdin.aclose()
        by_itself: int | None = None
        for number in (None, signal.SIGTERM, KILL):
            if number is not None:
                _tell_group(process, number)
            with anyio.move_on_after(LEAVE_SECONDS):
                code = await process.wait()
                by_itself = code if number is None else None
                break
        _tell_group(process, KILL)
        return by_itself

    def _note_end(self, exit_code: int | None) -> None:
        if not self._is_lost:
            return
        if not self.ending:
            self.ending = "closed its output" if exit_code is None else _ending(exit_code)
        logger.warning("MCP server %s %s", self._config.name, self.ending)


class _Pace:
    """Holds up who sends more than `MOST_NOTIFICATIONS` in a second."""

    def __init__(self) -> None:
        self._count = 0
        self._since = anyio.current_time()

    async def step(self) -> None:
        self._count += 1
        if self._count >= MOST_NOTIFICATIONS:
            left = self._since + 1.0 - anyio.current_time()
            if left > 0:
                await anyio.sleep(left)
            self._count, self._since = 0, anyio.current_time()


async def _spawned(config: McpServerConfig, variables: dict[str, str]) -> Process:
    """The child, in a process group of its own."""
    is_posix = sys.platform != "win32"
    with anyio.CancelScope(shield=True):  # cancelled half-way it would leave a child that nobody knows
        return await anyio.open_process(config.command, env=variables, cwd=config.cwd, start_new_session=is_posix)
    raise AssertionError("unreachable: the scope is never cancelled")


def _tell_group(process: Process, number: int) -> None:
    """Signals the child's process group, which its descendants are in unless they left it."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.terminate()
        else:
            os.killpg(process.pid, number)


def _ending(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _is_missing(folder: str | None) -> bool:
    return folder is not None and not os.path.isdir(folder)
