"""What an async driver without a task group is made of: one thing after the other, in the caller's own task.

An async iterator may be dropped anywhere and then must not hold a task group; so it reads its stream itself. While it
does, a timer that is due within a second is waited for first; a later one is looked at when the stream has spoken,
and a stream that speaks not even in heartbeats is broken by its read timeout.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Any, Generic, TypeVar

import anyio

from agentkit.client.loop import Machine, hear
from agentkit.client.transport import AsyncTransport, Incoming
from agentkit.errors import AgentKitError, LocalProtocolError
from agentkit.protocol.effects import StartTimer

__all__ = ["Look"]

M = TypeVar("M", bound=Machine)

FELT_SECONDS = 1.0
SOON_SECONDS = 1.0
QUIET = "quiet"  # the timer that a read timeout stands for here


class Look(Generic[M]):
    """A machine's stream and timers. Every method returns what the machine asks for next."""

    def __init__(self, transport: AsyncTransport, machine: M) -> None:
        self._transport = transport
        self._machine = machine
        self._stream = AsyncExitStack()
        self._attempt = 0
        self._chunks: AsyncIterator[bytes] | None = None
        self._incoming: Incoming | None = None
        self._timers: dict[str, tuple[float, StartTimer]] = {}

    async def open(self, attempt: int, path: tuple[str, dict[str, str]]) -> list[Any]:
        """Opens the stream; what it says comes with `wait`."""
        where, query = path
        try:
            self._incoming = await self._stream.enter_async_context(
                self._transport.stream(where, query=query, quiet_seconds=self._transport.config.quiet_seconds)
            )
        except AgentKitError as error:
            return self._machine.stream_lost(attempt, error)
        self._attempt, self._chunks = attempt, self._incoming.chunks()
        return self._machine.stream_opened(attempt)

    def start(self, timer: StartTimer) -> list[Any]:
        """Starts a timer, in place of an earlier one of that name."""
        if timer.timer.name != QUIET:
            self._timers[timer.timer.name] = (anyio.current_time() + timer.seconds, timer)
        return []

    async def wait(self) -> list[Any]:
        """The next thing that happens: a timer falls due, or the stream says something."""
        name = min(self._timers, default=None, key=lambda each: self._timers[each][0])
        is_open = self._chunks is not None and self._incoming is not None
        if name is not None and (not is_open or self._timers[name][0] <= anyio.current_time() + SOON_SECONDS):
            due, timer = self._timers.pop(name)
            await anyio.sleep_until(due)
            return self._machine.timer(timer.timer)
        return await self._read()

    async def close(self) -> None:
        """Hangs up, and reads on until that is felt: trio does not like generators that are dropped half-way."""
        chunks, self._chunks, self._incoming = self._chunks, None, None
        await self._stream.aclose()
        if chunks is not None:
            with anyio.move_on_after(FELT_SECONDS, shield=True), suppress(AgentKitError):
                async for _ in chunks:
                    pass

    async def _read(self) -> list[Any]:
        if self._chunks is None or self._incoming is None:
            raise LocalProtocolError("nothing to wait for: no stream, and no timer")
        failure: AgentKitError | None = None
        try:
            chunk = await anext(self._chunks, None)
        except AgentKitError as error:
            chunk, failure = None, error
        if chunk is not None:
            return hear(self._machine, self._attempt, self._incoming.reader.feed(chunk))
        attempt, rest = self._attempt, self._incoming.reader.end()
        await self.close()
        return [*hear(self._machine, attempt, rest), *self._machine.stream_lost(attempt, failure)]
