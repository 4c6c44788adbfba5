"""Hooks: what is told to one, and what it may answer (protocol.md 6.11)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from agentkit.wire._base import Open, Whole, Wire, WireBase
from agentkit.wire.agents import HookEvent

__all__ = ["HookDecision", "HookHandlerType", "HookInjection", "HookPayload", "HookResponse"]


class HookHandlerType(StrEnum):
    """Who answers a hook."""

    WEBHOOK = "webhook"
    TASK = "task"
    GATE = "gate"
    BUILTIN = "builtin"


class HookDecision(StrEnum):
    """Whether what the hook was told of may go on."""

    ALLOW = "allow"
    DENY = "deny"
    STOP = "stop"
    SUSPEND = "suspend"


class HookInjection(WireBase):
    """A message for the model, put before its next answer and there for `ttl_turns` answers (None: the whole run).

    One with the `dedup_key` of an earlier one takes its place. `items` are further ones.
    """

    content: str = ""
    role: str = "user"
    ttl_turns: int | None = None
    dedup_key: str | None = None
    items: list[HookInjection] = Field(default_factory=list["HookInjection"])


class HookPayload(Whole):
    """What a hook is told. `turn_count`: answers of the model so far; `data` depends on the event."""

    event: Open[HookEvent] = ""
    timestamp: str = ""
    agent_id: str | None = None
    chat_id: str | None = None
    run_id: str | None = None
    turn_count: int = 0
    data: dict[str, Any] = Field(default_factory=dict[str, Any])


class HookResponse(Wire):
    """What a hook answers; nothing at all is `allow`.

    `override` takes the place of a call's arguments or of its result; `system` is added to the run's system prompt.
    """

    decision: Open[HookDecision] = HookDecision.ALLOW
    reason: str = ""
    inject: HookInjection | None = None
    override: Any = None
    system: str | None = None
