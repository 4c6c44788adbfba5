"""Hooks of type `gate`: a person decides, as an interrupt `hook_gate` (protocol.md 6.11)."""

from __future__ import annotations

from typing import Any, ClassVar

from agentkit.runtime.hooks import HookCall
from agentkit.wire import AgentHook, HookDecision, HookHandlerType, HookResponse

__all__ = ["GateHandler"]


class GateHandler:
    """Suspends at once. The handler is what the person reads: a text, or an object with a `reason`."""

    type: ClassVar[HookHandlerType] = HookHandlerType.GATE

    async def require(self, hook: AgentHook, *, owner: str) -> None:
        """Nothing."""

    async def ask(self, call: HookCall) -> HookResponse:
        """Suspends."""
        return HookResponse(decision=HookDecision.SUSPEND, reason=_reason(call.hook.handler))

    async def aclose(self) -> None:
        """Nothing is open."""


def _reason(handler: Any) -> str:
    match handler:
        case str(reason) | {"reason": str(reason)}:
            return reason
        case _:
            return ""
