"""Who a sub-agent's chat works for: the chats above it and the calls it answers, and the chats below a chat.

What happens in a sub-agent's chat is told on the stream of every chat above it too, as one event `child`:
`{"chat_id", "invocation_id", "depth", "event", "data"}`, where the invocation is a call of the chat that is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentkit.runtime.ports import Bus, Live, Reading
from agentkit.runtime.records import ChatRecord, InvocationRecord, RunRecord
from agentkit.runtime.states import INVOCATION, is_open
from agentkit.wire import ToolInvocationStatus, ToolType

__all__ = ["CHILD", "Asker", "Below", "above", "asking", "below", "framed", "live"]

CHILD: Final = "child"


@dataclass(frozen=True, slots=True)
class Asker:
    """A chat that a sub-agent's chat works for. `depth` 1: it asked itself."""

    chat_id: str
    invocation_id: str  # its own call, which is answered from below
    depth: int


@dataclass(frozen=True, slots=True)
class Below:
    """A chat that works for an open call of a chat, however deep it is."""

    chat: ChatRecord
    invocation_id: str  # the call of the chat at the top
    depth: int


def asking(tx: Reading, chat: ChatRecord) -> InvocationRecord | None:
    """The call that the chat's run answers, while it is open; None: nobody waits for this chat."""
    call = _answered(tx, chat)
    return call if call is not None and is_open(INVOCATION, call.status) else None


def above(tx: Reading, chat_id: str) -> tuple[Asker, ...]:
    """The chats that the chat's run works for, the nearest first; () for one that a person talks to."""
    found: list[Asker] = []
    chat = tx.get(ChatRecord, chat_id)
    while chat is not None and (call := _answered(tx, chat)) is not None:
        found.append(Asker(call.chat_id, call.id, len(found) + 1))
        chat = tx.get(ChatRecord, call.chat_id)
    return tuple(found)


def below(tx: Reading, chat_id: str) -> Iterator[Below]:
    """The chats that work for the open calls of this one, each before those that work for it."""
    for call in tx.find(InvocationRecord, chat_id=chat_id, status=ToolInvocationStatus.IN_PROGRESS):
        chat = tx.get(ChatRecord, call.execution_id) if call.type is ToolType.AGENT and call.execution_id else None
        if chat is not None:
            yield Below(chat, call.id, 1)
            for each in below(tx, chat.id):
                yield Below(each.chat, call.id, each.depth + 1)


def framed(asker: Asker | Below, chat_id: str, event: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of the event `child` that tells of an event of the chat below."""
    return {
        "chat_id": chat_id,
        "invocation_id": asker.invocation_id,
        "depth": asker.depth,
        "event": event,
        "data": data,
    }


def live(bus: Bus, chat_id: str, frame: Live, askers: Sequence[Asker]) -> None:
    """Sends a frame that is not stored to the watchers of the chat, and of those above it."""
    bus.live(chat_id, frame)
    for asker in askers:
        bus.live(asker.chat_id, Live(CHILD, framed(asker, chat_id, frame.name, frame.data)))


def _answered(tx: Reading, chat: ChatRecord) -> InvocationRecord | None:
    """The call that the chat's current run answers. A later message of a person's is no answer to it."""
    if chat.parent_invocation_id is None or chat.run_id is None:
        return None
    run = tx.get(RunRecord, chat.run_id)
    if run is None or run.invocation_id != chat.parent_invocation_id:
        return None
    return tx.get(InvocationRecord, chat.parent_invocation_id)
