"""Looking on: the events of what a chat does, without sending anything or running a tool.

The sync form is the thread driver. The async form does one thing after the other in the caller's task, because an
async generator may be dropped anywhere and then must not hold a task group.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing, suppress

import anyio

from agentkit.client.drive_sync import Drive, hear
from agentkit.client.handlers import Handlers
from agentkit.client.requests import stream_path
from agentkit.client.transport import AsyncTransport, Incoming, Transport
from agentkit.errors import AgentKitError, LocalProtocolError
from agentkit.protocol import flows
from agentkit.protocol.effects import CloseStream, Effect, Emit, FetchChat, OpenStream, Settle, StartTimer
from agentkit.protocol.events import Story, TurnEvent
from agentkit.protocol.turn import TurnMachine

__all__ = ["watch", "watch_async"]

FELT_SECONDS = 1.0
QUIET = "quiet"  # the timer that a read timeout stands for here


def watch(transport: Transport, machine: TurnMachine) -> Iterator[TurnEvent]:
    """The events of the chat's current (or last) run, to its end."""
    drive = Drive(transport, machine, handlers=Handlers({}), story=Story(chat_id=machine.chat_id))
    with closing(drive.events(lambda turn: turn.resume())) as events:
        yield from events


async def watch_async(transport: AsyncTransport, machine: TurnMachine) -> AsyncGenerator[TurnEvent]:
    """The async twin of `watch`."""
    story, look = Story(chat_id=machine.chat_id), _Look(transport, machine)
    try:
        todo = deque(machine.resume())
        while True:
            while todo:
                effect = todo.popleft()
                match effect:
                    case Emit():
                        for event in story.tell(effect):
                            yield event
                    case Settle():
                        for event in story.finish(effect):
                            yield event
                        return
                    case _:
                        todo.extend(await look.act(effect))
            todo.extend(await look.wait())
    finally:
        await look.close()


class _Look:
    """One thing at a time: act on an effect, or wait for the next thing to happen."""

    def __init__(self, transport: AsyncTransport, machine: TurnMachine) -> None:
        self._open_stream = AsyncExitStack()
        self._transport = transport
        self._machine = machine
        self._attempt = 0
        self._chunks: AsyncIterator[bytes] | None = None
        self._incoming: Incoming | None = None
        self._timers: dict[str, StartTimer] = {}

    async def act(self, effect: Effect) -> list[Effect]:
        """Does what the machine asks for; returns what it asks for next."""
        match effect:
            case OpenStream():
                return await self._open(effect)
            case CloseStream():
                await self.close()
                return []
            case StartTimer():
                self._timers[effect.timer.name] = effect
                return []
            case FetchChat():
                try:
                    chat, messages = await self._transport.run(flows.chat_with_messages(effect.chat_id))
                except AgentKitError as error:
                    return self._machine.fetch_failed(effect.seq, error)
                return self._machine.fetched(effect.seq, chat, messages)
            case _:
                raise LocalProtocolError(f"somebody who only looks was asked for {type(effect).__name__}")

    async def wait(self) -> list[Effect]:
        """The next thing that happens: a timer that is due while no stream is open, or the stream's next bytes."""
        due = [timer for name, timer in self._timers.items() if name != QUIET]
        if due:
            timer = min(due, key=lambda each: each.seconds)
            del self._timers[timer.timer.name]
            await anyio.sleep(timer.seconds)
            return self._machine.timer(timer.timer)
        if self._chunks is None or self._incoming is None:
            raise LocalProtocolError("nothing to wait for: no stream, and no timer")
        failure: AgentKitError | None = None
        try:
            chunk = await anext(self._chunks, None)
        except AgentKitError as error:
            chunk, failure = None, error
        if chunk is None:
            attempt, rest = self._attempt, self._incoming.reader.end()
            await self.close()
            return [*hear(self._machine, attempt, rest), *self._machine.stream_lost(attempt, failure)]
        return hear(self._machine, self._attempt, self._incoming.reader.feed(chunk))

    async def _open(self, effect: OpenStream) -> list[Effect]:
        path, query = stream_path(effect)
        try:
            self._incoming = await self._open_stream.enter_async_context(
                self._transport.stream(path, query=query, quiet_seconds=self._transport.config.quiet_seconds)
            )
        except AgentKitError as error:
            return self._machine.stream_lost(effect.attempt, error)
        self._attempt, self._chunks = effect.attempt, self._incoming.chunks()
        return self._machine.stream_opened(effect.attempt)

    async def close(self) -> None:
        """Hangs up, and reads on until that is felt: trio does not like generators that are dropped half-way."""
        chunks, self._chunks, self._incoming = self._chunks, None, None
        await self._open_stream.aclose()
        if chunks is not None:
            with anyio.move_on_after(FELT_SECONDS, shield=True), suppress(AgentKitError):
                async for _ in chunks:
                    pass
