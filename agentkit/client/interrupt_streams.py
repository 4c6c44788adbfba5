"""The inbox as it changes: what waits, then every change of every question, over whatever happens to the connection."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AsyncExitStack, suppress
from random import Random
from types import TracebackType
from typing import Any, Final, Self

import anyio

from agentkit.client.config import ClientConfig
from agentkit.client.transport import AsyncTransport, Incoming, Transport
from agentkit.errors import AgentKitError, APIError, StreamError, TransportError
from agentkit.protocol import api
from agentkit.protocol.lines import BadLine, Item
from agentkit.protocol.news import read_frame
from agentkit.protocol.retry import backoff_seconds, is_retryable_status
from agentkit.wire import Interrupt

__all__ = ["AsyncInterruptStream", "InterruptStream"]

EVENT: Final = "interrupts"
FELT_SECONDS: Final = 1.0


class _Place:
    """How far the stream was read, and how often in a row it could not be had."""

    def __init__(self, config: ClientConfig, after: int | None, mine: bool) -> None:
        self.after = after
        self._config = config
        self._mine = mine
        self._rng = Random()
        self._failures = 0
        self._was_open = False

    @property
    def path(self) -> str:
        """Where it is."""
        return api.STREAM_INTERRUPTS.path

    @property
    def query(self) -> dict[str, str]:
        """What is asked for."""
        told = {"after": None if self.after is None else str(self.after), "mine": "true" if self._mine else None}
        return {name: value for name, value in told.items() if value is not None}

    @property
    def quiet_seconds(self) -> float:
        """How long it may be silent."""
        return self._config.quiet_seconds

    def read(self, items: list[Item]) -> Iterator[Interrupt]:
        """The questions in a piece of the stream. Raises StreamError where it cannot be read."""
        for item in items:
            if isinstance(item, BadLine):
                self.after = None  # what was in it is in the next snapshot
                raise item.to_error()
            self._was_open, self._failures = True, 0
            frame = read_frame(item)
            if frame.cursor is not None:
                self.after = frame.cursor
            if frame.event == EVENT:
                yield Interrupt.parse(frame.data)

    def pause(self, error: AgentKitError | None) -> float:
        """The seconds until it is asked for again. Raises what another try would not change."""
        self._failures += 1
        policy = self._config.retry
        if isinstance(error, APIError) and not is_retryable_status(error.status_code):
            raise error
        if error is not None and not isinstance(error, APIError | TransportError | StreamError):
            raise error  # the client was closed, say
        if error is not None and not self._was_open and self._failures >= policy.max_attempts:
            raise error
        return backoff_seconds(self._failures, policy=policy, rng=self._rng)


class InterruptStream:
    """The questions of the inbox, each as it is now: first those that wait, then every one that changes.

    It has no end of its own: leave the loop, or `close()` it from any thread. A connection that breaks is made again,
    from where it was; a question may then be told twice, never too seldom. Raises APIError where the platform refuses,
    and ConnectError where it was never reached.
    """

    def __init__(self, transport: Transport, *, after: int | None = None, mine: bool = False) -> None:
        self._place = _Place(transport.config, after, mine)
        self._line = _Line()
        self._told = _told(transport, self._place, self._line)

    @property
    def cursor(self) -> int | None:
        """How far it was read: `client.interrupts.stream(after=cursor)` goes on from there."""
        return self._place.after

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Interrupt]:
        return self

    def __next__(self) -> Interrupt:
        return next(self._told)

    def close(self) -> None:
        """Stops listening, from any thread; a loop that waits ends."""
        self._line.hang_up()
        with suppress(ValueError):  # another thread reads: it sees that it was hung up
            self._told.close()


class AsyncInterruptStream:
    """The async twin of `InterruptStream`. Where you may leave the loop early, enter it: `async with ... as stream`."""

    def __init__(self, transport: AsyncTransport, *, after: int | None = None, mine: bool = False) -> None:
        self._transport = transport
        self._place = _Place(transport.config, after, mine)
        self._ready: deque[tuple[Interrupt, int | None]] = deque()  # each with the cursor behind it
        self._reached = after
        self._stack = AsyncExitStack()
        self._incoming: Incoming | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._is_closed = False

    @property
    def cursor(self) -> int | None:
        """See `InterruptStream.cursor`."""
        return self._reached

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Interrupt]:
        return self

    async def __anext__(self) -> Interrupt:
        while not self._ready:
            if self._is_closed:
                raise StopAsyncIteration
            failure: AgentKitError | None = None
            try:
                if await self._read():
                    continue
            except AgentKitError as error:
                failure = error
            except BaseException:
                await self.close()
                raise
            await self._hang_up()
            if not self._is_closed:
                await anyio.sleep(self._place.pause(failure))
        interrupt, self._reached = self._ready.popleft()
        return interrupt

    async def close(self) -> None:
        """Stops listening."""
        self._is_closed = True
        await self._hang_up()

    async def _read(self) -> bool:
        """Reads a piece. False: the stream has ended."""
        if self._chunks is None:
            place = self._place
            self._incoming = await self._stack.enter_async_context(
                self._transport.stream(place.path, query=place.query, quiet_seconds=place.quiet_seconds)
            )
            self._chunks = self._incoming.chunks()
        assert self._incoming is not None
        chunk = await anext(self._chunks, None)
        items = self._incoming.reader.end() if chunk is None else self._incoming.reader.feed(chunk)
        for interrupt in self._place.read(items):
            self._ready.append((interrupt, self._place.after))
        return chunk is not None

    async def _hang_up(self) -> None:
        """Reads on until it is felt: trio does not like generators that are dropped half-way."""
        chunks, self._chunks, self._incoming = self._chunks, None, None
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()
        if chunks is not None:
            with anyio.move_on_after(FELT_SECONDS, shield=True), suppress(AgentKitError):
                async for _ in chunks:
                    pass


# -- parts ---------------------------------------------------------------------------------------------------------


class _Line:
    """The connection of the moment, and whether somebody hung up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hung_up = threading.Event()
        self._incoming: Incoming | None = None

    @property
    def is_dead(self) -> bool:
        """Whether somebody hung up."""
        return self._hung_up.is_set()

    def take(self, incoming: Incoming | None) -> bool:
        """Notes the connection; False: too late."""
        with self._lock:
            self._incoming = incoming
            return not self.is_dead

    def wait(self, seconds: float) -> None:
        """Waits so long, or until somebody hangs up."""
        self._hung_up.wait(seconds)

    def hang_up(self) -> None:
        """Ends the reading, from any thread."""
        with self._lock:
            self._hung_up.set()
            incoming = self._incoming
        if incoming is not None:
            incoming.abort()


def _told(transport: Transport, place: _Place, line: _Line) -> Generator[Interrupt, Any, None]:
    """What the stream tells. It knows nothing of the `InterruptStream`, so that one is closed where it is dropped."""
    while not line.is_dead:
        failure: AgentKitError | None = None
        try:
            with transport.stream(place.path, query=place.query, quiet_seconds=place.quiet_seconds) as incoming:
                if line.take(incoming):
                    for chunk in incoming.response.iter_bytes():
                        yield from place.read(incoming.reader.feed(chunk))
                    yield from place.read(incoming.reader.end())
        except AgentKitError as error:
            failure = error
        finally:
            line.take(None)
        if not line.is_dead:
            line.wait(place.pause(failure))
