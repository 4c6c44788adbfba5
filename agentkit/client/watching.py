"""Looking on: the events of what a chat does, without sending anything or running a tool."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing

from agentkit.client.drive_sync import Drive
from agentkit.client.handlers import Handlers
from agentkit.client.look import Look
from agentkit.client.requests import fetch_chat, stream_path
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.errors import AgentKitError, LocalProtocolError
from agentkit.protocol.effects import CloseStream, Effect, Emit, FetchChat, OpenStream, Settle, StartTimer
from agentkit.protocol.events import Story, TurnEvent
from agentkit.protocol.turn import TurnMachine

__all__ = ["watch", "watch_async"]


def watch(transport: Transport, machine: TurnMachine) -> Iterator[TurnEvent]:
    """The events of the chat's current (or last) run, to its end."""
    drive = Drive(transport, machine, handlers=Handlers({}), story=Story(chat_id=machine.chat_id))
    with closing(drive.events(lambda turn: turn.resume())) as events:
        yield from events


async def watch_async(transport: AsyncTransport, machine: TurnMachine) -> AsyncGenerator[TurnEvent]:
    """The async twin of `watch`."""
    story, look = Story(chat_id=machine.chat_id), Look(transport, machine)
    try:
        todo = deque[Effect](machine.resume())
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
                        todo.extend(await _act(look, transport, machine, effect))
            todo.extend(await look.wait())
    finally:
        await look.close()


async def _act(
    look: Look[TurnMachine], transport: AsyncTransport, machine: TurnMachine, effect: Effect
) -> list[Effect]:
    match effect:
        case OpenStream():
            return await look.open(effect.attempt, stream_path(effect))
        case CloseStream():
            await look.close()
            return []
        case StartTimer():
            return look.start(effect)
        case FetchChat():
            try:
                found = await transport.run(fetch_chat(effect))
            except AgentKitError as error:
                return machine.fetch_failed(effect.seq, error)
            return machine.fetched(effect.seq, *found)
        case _:
            raise LocalProtocolError(f"somebody who only looks was asked for {type(effect).__name__}")
