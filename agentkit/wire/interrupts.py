"""Questions to people, and the requests that answer them (protocol.md 6.2, 6.3); much of it is our server's own."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, cast

from pydantic import Field

from agentkit.wire._base import DecodedObject, Open, Owned, Whole, Wire
from agentkit.wire.tools import ToolType
from agentkit.wire.widgets import Widget

__all__ = [
    "Always",
    "AlwaysAllow",
    "AlwaysAllowOption",
    "AlwaysAllowScope",
    "Decide",
    "Explanation",
    "Interrupt",
    "InterruptContext",
    "InterruptDecision",
    "InterruptReason",
    "InterruptResolution",
    "InterruptResourceType",
    "InterruptStatus",
    "RejectTool",
    "ResolveInterrupt",
    "UnknownOutcome",
]


class InterruptReason(StrEnum):
    """Why a run waits."""

    WAIT = "wait"
    TOOL_APPROVAL = "tool_approval"
    CLIENT_TOOL = "client_tool"
    WIDGET = "widget"
    AUTH = "auth"
    CONFIRMATION = "confirmation"
    HOOK_GATE = "hook_gate"


class InterruptStatus(StrEnum):
    """Whether an interrupt still waits; it leaves `pending` once."""

    PENDING = "pending"
    RESOLVED = "resolved"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class InterruptResolution(StrEnum):
    """How an interrupt was answered."""

    ALLOW = "allow"
    DENY = "deny"


class InterruptDecision(StrEnum):
    """What somebody decided (ours): `resolution` says no more than whether the run goes on as it wanted to."""

    APPROVED = "approved"
    EDITED = "edited"  # approved, with other arguments
    REJECTED = "rejected"
    RESPONDED = "responded"  # not run: the answer is the call's result, or what was asked for
    EXPIRED = "expired"


class InterruptResourceType(StrEnum):
    """What an interrupt's `resource_id` names."""

    TURN = "turn"
    TOOL_INVOCATION = "tool_invocation"
    HOOK_EVENT = "hook_event"


class AlwaysAllowScope(StrEnum):
    """How far "always allow" reaches (newer servers)."""

    EXACT = "exact"
    PREFIX = "prefix"
    FOLDER = "folder"
    REMOTE = "remote"
    TOOL = "tool"


class InterruptContext(Whole):
    """What a person needs to know to answer (ours, in `GET /interrupts/{id}` alone).

    Of a call: its tool's kind, names, description and JSON Schema, and the `target` it would reach; `messages` is what
    was said last, `{role, text}` each, oldest first and cut; `always` are the rules that the answer may add, each an
    `option` (an `Always`) with its `label`.
    """

    agent_name: str = ""
    tool_type: Open[ToolType] = ""
    display_name: str = ""
    description: str = ""
    input_schema: dict[str, Any] | None = None
    target: str = ""
    messages: list[dict[str, str]] = Field(default_factory=list[dict[str, str]])
    always: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])


class Interrupt(Owned):
    """A question that a run waits for (`InterruptDTO`, newer servers).

    For approvals `resource_id` is the invocation, and `meta` is `{tool_invocation_id, tool_name, arguments}`; with
    `unknown_outcome` in it the call may have run already, with `judged` the client that drives the turn may have a rule
    that allows it. What follows `meta` is our server's: `arguments_hash` names exactly what is shown, `resolved_by` is
    who answered as far as was proven, `resolved_as` as whom they said they did, `edited_from` the arguments before they
    were edited (`resolved_data` has those the call was made with), `answer_schema` what `data` has to fit, and
    `chat_path` the chats from the one that people talk to down to this one.
    """

    run_id: str = ""
    chat_id: str = ""
    reason: Open[InterruptReason] = ""
    source: str = ""
    resource_id: str = ""
    resource_type: Open[InterruptResourceType] = ""
    status: Open[InterruptStatus] = ""
    resolution: Open[InterruptResolution] | None = None
    resolved_at: str | None = None
    resolved_data: Any = None
    expires_at: str | None = None
    meta: DecodedObject = Field(default_factory=dict)
    arguments_hash: str = ""
    decision: Open[InterruptDecision] | None = None
    resolved_by: str | None = None
    resolved_as: str | None = None
    note: str = ""
    edited_from: dict[str, Any] | None = None
    answer_schema: dict[str, Any] | None = None
    approvers: list[str] | None = None
    remind_at: str | None = None
    reminders: int = 0
    escalate_at: str | None = None
    is_escalated: bool = False
    chat_path: list[str] = Field(default_factory=list[str])
    context: InterruptContext | None = None

    @property
    def tool_name(self) -> str:
        """The tool that asks; "" where it is no tool."""
        return str(self.meta.get("tool_name") or "") if isinstance(self.meta, dict) else ""

    @property
    def arguments(self) -> dict[str, Any]:
        """What the tool would be called with."""
        arguments = self.meta.get("arguments") if isinstance(self.meta, dict) else None
        return cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {}

    @property
    def widget(self) -> Widget | None:
        """What the person is shown, where the question is one; `agent.respond(resource_id, ...)` answers it."""
        widget = self.meta.get("widget") if isinstance(self.meta, dict) else None
        return Widget.parse(widget) if isinstance(widget, dict) else None


class Always(Wire):
    """Which later calls of the tool in this chat need no approval any more (ours).

    `scope` is tool, exact (the same arguments) or prefix (the text `argument` begins with `prefix`); it ends at
    `expires_at` (RFC 3339) or `seconds` from now, and without either with the chat.
    """

    scope: Open[AlwaysAllowScope] = AlwaysAllowScope.TOOL
    argument: str | None = None
    prefix: str | None = None
    expires_at: str | None = None
    seconds: float | None = None


class Decide(Wire):
    """The body of `POST /tools/{id}/invoke`, which SDKs leave out.

    `arguments` edits the call, `arguments_hash` names the call that the person was shown, `always` allows later calls
    too, `by` is who decides, where no key proves it; all are our server's.
    """

    arguments: dict[str, Any] | None = None
    arguments_hash: str | None = None
    always: Always | None = None
    note: str | None = None
    by: str | None = None


class RejectTool(Wire):
    """The body of `POST /tools/{id}/reject`; the model reads the reason. The rest is as in `Decide`."""

    reason: str | None = None
    arguments_hash: str | None = None
    by: str | None = None


class ResolveInterrupt(Wire):
    """The body of `POST /interrupts/{id}/resolve`: `decision` is allow, deny, or (ours) respond.

    `data` answers a question that is no approval; with `respond` it is the result of a call that is not run then. The
    rest is as in `Decide`.
    """

    decision: str = ""
    data: Any = None
    arguments: dict[str, Any] | None = None
    arguments_hash: str | None = None
    always: Always | None = None
    note: str | None = None
    by: str | None = None


class AlwaysAllow(Wire):
    """The body of `POST /chats/{id}/tools/{id}/always-allow`: the tool, or in the newest form an option.

    Our options are an `Always`, as `GET .../always-allow/options` lists them. `tool_name` is checked: 409 where the
    call is another tool's.
    """

    tool_name: str | None = None
    option: Any = None
    by: str | None = None


class UnknownOutcome(Wire):
    """The body of `POST /tools/{id}/unknown` (ours): the client began this attempt, and cannot say what came of it.

    `note` is for the person who is asked then.
    """

    attempt: int = 0
    note: str | None = None


class AlwaysAllowOption(Whole):
    """A rule that would allow a call (ours): `option` goes back as it came, `label` says it to a person."""

    option: Always = Field(default_factory=Always)
    label: str = ""


class Explanation(Whole):
    """An account of a call, for the person who is asked about it."""

    explanation: str = ""
