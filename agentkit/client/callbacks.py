"""What a caller wants to hear while a turn goes on (seeds/003: `on_message`, `on_tool_call`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentkit.protocol.events import ChatChanged, ChildEvent, MessageChanged, ToolAwaited, ToolStarted, TurnEvent
from agentkit.wire import Chat, ChatMessage, ToolInvocation

__all__ = ["Callbacks", "ToolCallInfo"]


@dataclass(frozen=True, slots=True)
class ToolCallInfo:
    """A client tool call, as `on_tool_call` gets it (seeds/003)."""

    id: str
    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What a caller wants to hear while a turn goes on; every one is called in the caller's own thread or task."""

    on_message: Callable[[ChatMessage], Any] | None = None
    on_chat: Callable[[Chat], Any] | None = None
    on_tool_call: Callable[[ToolCallInfo], Any] | None = None
    on_event: Callable[[TurnEvent], Any] | None = None

    def for_event(self, event: TurnEvent) -> list[Callable[[], Any]]:
        """What to call for this event, in order: the message before its tool calls (protocol.md 7.1)."""
        jobs: list[Callable[[], Any]] = []
        on_event, on_message, on_chat, on_tool_call = self.on_event, self.on_message, self.on_chat, self.on_tool_call
        if on_event is not None:
            jobs.append(lambda: on_event(event))
        match event:
            case MessageChanged() if on_message is not None and event.message.role != "user":
                jobs.append(lambda: on_message(event.message))
            case ChatChanged() if on_chat is not None:
                jobs.append(lambda: on_chat(event.chat))
            case (
                ToolStarted(invocation=invocation)
                | ToolAwaited(invocation=invocation)
                | ChildEvent(event=ToolStarted(invocation=invocation) | ToolAwaited(invocation=invocation))
            ) if on_tool_call is not None:
                jobs.append(lambda: on_tool_call(_call_info(invocation)))
            case _:
                pass
        return jobs


def _call_info(invocation: ToolInvocation) -> ToolCallInfo:
    name, arguments = invocation.function.name, invocation.function.arguments
    return ToolCallInfo(invocation.id, name, arguments if isinstance(arguments, dict) else {"arguments": arguments})
