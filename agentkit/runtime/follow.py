"""The answer to `POST /agents/run` with `"stream": true`: one run, from its first word to its end (protocol.md 6.4).

Its assistant messages are bare ChatMessageDTOs, everything else of the chat is `{event, data}`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

import anyio

from agentkit.runtime.faults import Fault
from agentkit.runtime.hub import Frame
from agentkit.runtime.platform import Platform
from agentkit.runtime.streams import item
from agentkit.wire import AgentRunState, ChatMessageRole, ChatMessageStatus

__all__ = ["Followed", "follow"]

LINGER_SECONDS: Final = 0.05  # protocol.md 1.7 rule 7: an end in the same instant hangs Node's abort
_OVER: Final = {AgentRunState.COMPLETED, AgentRunState.FAILED, AgentRunState.CANCELED, AgentRunState.REJECTED}


@dataclass
class Followed:
    """A run, and which of its messages were sent whole. `after`: the chat's cursor before it began, None: unknown."""

    owner: str
    chat_id: str
    run_id: str
    after: int | None
    whole: set[str] = field(default_factory=set[str])

    @classmethod
    def of(cls, reply: Mapping[str, Any], *, owner: str, after: int | None) -> Followed:
        """The run that the reply of POST /agents/run tells of."""
        answer = reply["assistant_message"]
        return cls(owner, answer["chat_id"], answer["agent_run_id"], after)

    def item(self, frame: Frame) -> dict[str, Any]:
        """What is sent of a frame."""
        return self.bare(frame.data) if self.is_answer(frame.data) and frame.name == "chat_messages" else item(frame)

    def bare(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The message as it is sent; remembers whether it changes no more."""
        if message.get("status") != ChatMessageStatus.PENDING:
            self.whole.add(str(message["id"]))
        return dict(message)

    def is_answer(self, message: Mapping[str, Any]) -> bool:
        """Whether this is one of the run's assistant messages."""
        return message.get("agent_run_id") == self.run_id and message.get("role") == ChatMessageRole.ASSISTANT

    def ends_with(self, frame: Frame) -> bool:
        """Whether the chat is done with the run: its last event is the chat's (protocol.md 7.2 rule 4)."""
        if frame.name != "chats":
            return False
        active: Mapping[str, Any] = frame.data.get("active_run") or {}
        return active.get("id") != self.run_id or active.get("state") in _OVER


async def follow(platform: Platform, followed: Followed) -> AsyncGenerator[dict[str, Any], None]:
    """The items of the run's stream. Ends when the run is over, or its chat deleted."""
    frames = await platform.chats.watch(followed.owner, followed.chat_id, after=followed.after)
    async with aclosing(frames):
        async for frame in frames:
            yield followed.item(frame)
            if followed.ends_with(frame) or (frame.name is None and await _is_gone(platform, followed)):
                break
    for message in await _unsent(platform, followed):
        yield followed.bare(message)
    await anyio.sleep(LINGER_SECONDS)


async def _is_gone(platform: Platform, followed: Followed) -> bool:
    try:
        await platform.chats.cursor(followed.owner, followed.chat_id)
    except Fault:
        return True
    return False


async def _unsent(platform: Platform, followed: Followed) -> list[Mapping[str, Any]]:
    """The run's finished messages that the stream did not show: another run had begun when it was opened."""
    try:
        chat = await platform.chats.get(followed.owner, followed.chat_id)
    except Fault:
        return []
    answers = [each for each in chat["chat_messages"] if followed.is_answer(each)]
    return [
        each for each in answers if each["status"] != ChatMessageStatus.PENDING and each["id"] not in followed.whole
    ]
