"""Lifecycle hooks: who is asked at certain moments of a run whether, and how, it goes on (protocol.md 6.11).

A hook is asked as a row (`inquiry`), which is carried out outside of any transaction (`delivery`) by the handler of its
type (`webhook`, `task`, `gate`). Its answer is saved before anything is done about it, so a restart neither asks again
after an answer nor goes on without one. What a moment's answers mean: `moments`; which hooks are none: `definition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from agentkit.wire import AgentHook, HookHandlerType, HookResponse

__all__ = ["HookCall", "HookFailure", "HookHandler"]


@dataclass(frozen=True, slots=True)
class HookCall:
    """A hook to ask. The same `id` comes with every attempt, after a restart too."""

    id: str
    owner: str
    chat_id: str
    run_id: str
    hook: AgentHook
    payload: Mapping[str, Any]  # a HookPayload, as it travels
    is_told: bool = False  # nobody waits for the answer
    execution_id: str | None = None  # the chat that an earlier attempt began


class HookFailure(Exception):
    """The hook gave no answer, or none that means anything. `text` may be shown to the model: no URL, no secret."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class HookHandler(Protocol):
    """Asks the hooks of one type. One object per platform, used for many at a time."""

    type: ClassVar[HookHandlerType]

    async def require(self, hook: AgentHook, *, owner: str) -> None:
        """Called for each message. Raises Fault where the hook needs what is not there."""
        ...

    async def ask(self, call: HookCall) -> HookResponse:
        """The answer. Raises HookFailure. Cancelled where the run is stopped or the hook out of time."""
        ...

    async def aclose(self) -> None:
        """Closes what it opened."""
        ...
