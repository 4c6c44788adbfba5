"""Chats: messages, tool invocations, runs and interrupts, and the requests that move them (protocol.md 6.1 to 6.5)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from pydantic import Field

from agentkit.wire._base import DecodedObject, JsonText, Open, Owned, Whole, Wire
from agentkit.wire.agents import Agent, AgentConfig, AgentVersion
from agentkit.wire.files import FileRef
from agentkit.wire.interrupts import Interrupt, InterruptReason
from agentkit.wire.tools import Tool, ToolCall, ToolFunction, ToolInvocationStatus, ToolType
from agentkit.wire.widgets import Widget, WidgetAction

__all__ = [
    "AgentData",
    "AgentRun",
    "AgentRunState",
    "Chat",
    "ChatMessage",
    "ChatMessageContentType",
    "ChatMessageRole",
    "ChatMessageStatus",
    "ChatStatus",
    "ChatTaskInput",
    "MessageContent",
    "PlanStep",
    "PlanStepStatus",
    "ResourceStatus",
    "RunAgentReply",
    "RunAgentRequest",
    "SubmitToolResult",
    "ToolInvocation",
    "is_message_ready",
]


class ChatStatus(StrEnum):
    """Whether a chat works; `waiting` is newer."""

    BUSY = "busy"
    IDLE = "idle"
    AWAITING_INPUT = "awaiting_input"
    COMPLETED = "completed"
    WAITING = "waiting"


class ChatMessageRole(StrEnum):
    """Who speaks; the last three are newer."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    INJECTION = "injection"
    COMPACTION = "compaction"
    EVENT = "event"


class ChatMessageStatus(StrEnum):
    """Whether a message is finished; `queued` (newer) waits for its run."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUEUED = "queued"


class ChatMessageContentType(StrEnum):
    """Which member of a content part is filled; `event` is newer."""

    TEXT = "text"
    REASONING = "reasoning"
    IMAGE = "image"
    FILE = "file"
    TOOL = "tool"
    EVENT = "event"


class PlanStepStatus(StrEnum):
    """How far a step of a plan is."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class AgentRunState(StrEnum):
    """How far a run is. `canceled` has one l here."""

    SUBMITTED = "submitted"
    WORKING = "working"
    INPUT_REQUIRED = "input_required"
    AUTH_REQUIRED = "auth_required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    REJECTED = "rejected"


_READY: Final = frozenset({ChatMessageStatus.READY, ChatMessageStatus.FAILED, ChatMessageStatus.CANCELLED})


def is_message_ready(status: str | None) -> bool:
    """Whether a message of this status changes no more: ready, failed or cancelled (seeds/003, "status helpers").

    Nothing else is, `queued` included (protocol.md 11.2).

    >>> is_message_ready("ready"), is_message_ready("queued"), is_message_ready(None)
    (True, False, False)
    """
    return status in _READY


# -- what a chat is made of ----------------------------------------------------------------------------------------


class MessageContent(Wire):
    """One part of a message; `type` says which member is filled. `image` and `file` are URIs."""

    type: Open[ChatMessageContentType] = ""
    error: str | None = None
    text: str | None = None
    image: str | None = None
    file: str | None = None
    tool_calls: list[ToolCall] | None = None


class ToolInvocation(Owned):
    """A tool call and how far it is (`ToolInvocationDTO`).

    `id` is what `/tools/{id}` takes, `tool_invocation_id` the model's own id of the call. `result` is the text the
    model reads, `attachments` are the files that came with it; `execution_id` is a task (app tools) or a chat (agent
    tools). Ours: `attempt` counts how often the call may have been begun, `journal` says when each attempt was, and how
    it ended; `approved_by` is who allowed it.
    """

    chat_message_id: str = ""
    tool_invocation_id: str = ""
    type: Open[ToolType] = ""
    display_name: str = ""
    function: ToolFunction = Field(default_factory=ToolFunction)
    status: Open[ToolInvocationStatus] = ""
    result: str | None = None
    data: Any = None
    widget: Widget | None = None
    execution_id: str | None = None
    action: str | None = None
    attachments: list[FileRef] | None = None
    attempt: int = 0
    journal: list[dict[str, Any]] | None = None
    approved_by: str | None = None


class ChatMessage(Owned):
    """A message (`ChatMessageDTO`). Content is cumulative: each one that comes replaces the one before.

    `order` rises by one per message from 0. Several text parts may follow each other; the text is all of them.
    """

    chat_id: str = ""
    chat: dict[str, Any] | None = None
    agent_run_id: str | None = None
    order: int = 0
    status: Open[ChatMessageStatus] = ""
    task_id: str | None = None
    role: Open[ChatMessageRole] = ""
    content: list[MessageContent] = Field(default_factory=list[MessageContent])
    tools: list[Tool] | None = None
    tool_call_id: str | None = None
    tool_invocations: list[ToolInvocation] = Field(default_factory=list[ToolInvocation])

    @property
    def text(self) -> str:
        """What the message says: its text parts, one after the other."""
        return "".join(part.text or "" for part in self.content if part.type == ChatMessageContentType.TEXT)


class AgentRun(Owned):
    """The work for one user message (`AgentRunDTO`, newer servers)."""

    agent_id: str | None = None
    agent: Agent | None = None
    agent_version_id: str | None = None
    chat_id: str = ""
    user_message_id: str | None = None
    state: Open[AgentRunState] = ""
    error: str | None = None
    output: Any = None
    finished_at: str | None = None
    interrupt_reason: Open[InterruptReason] | None = None
    interrupt_tool_id: str | None = None
    interrupt_meta: DecodedObject | None = None
    tool_invocation_id: str | None = None
    trigger_id: str | None = None
    metadata: DecodedObject | None = None
    profile_id: str | None = None
    remote_id: str | None = None


class PlanStep(Wire):
    """A step of the agent's plan, numbered from 0."""

    index: int = 0
    title: str = ""
    description: str = ""
    notes: str | None = None
    status: Open[PlanStepStatus] = PlanStepStatus.PENDING


class AgentData(Wire):
    """What the agent keeps in the chat; the last two are newer and replace the list.

    `allow_rules` (ours) are the narrower or passing permissions: `{tool_name, scope, ...}`, see `Always`.
    """

    plan_steps: list[PlanStep] = Field(default_factory=list[PlanStep])
    memory: DecodedObject = Field(default_factory=dict)
    always_allowed_tools: list[str] = Field(default_factory=list[str])
    allow_rules: list[dict[str, Any]] | None = None
    allow_all_tools: bool | None = None
    disable_hooks: bool | None = None


class Chat(Owned):
    """A conversation (`ChatDTO`). `output` is what `finish` handed in; `parent_id` is set on a sub-agent's chat.

    `active_run` and `pending_interrupts` come from newer servers and from ours.
    """

    status: Open[ChatStatus] = ""
    output: Any = None
    context: dict[str, Any] = Field(default_factory=dict)
    name: str = ""
    description: str = ""
    chat_messages: list[ChatMessage] = Field(default_factory=list[ChatMessage])
    agent_data: AgentData = Field(default_factory=AgentData)
    parent_id: str | None = None
    parent: Chat | None = None
    children: list[Chat] = Field(default_factory=lambda: list[Chat]())
    agent_id: str | None = None
    agent: Agent | None = None
    agent_version_id: str | None = None
    agent_version: AgentVersion | None = None
    active_run: AgentRun | None = None
    pending_interrupts: list[Interrupt] = Field(default_factory=list[Interrupt])


class ResourceStatus(Whole):
    """Only the status, for polling (`/chats/{id}/status`, `/tasks/{id}/status`): a text, or a task's number."""

    id: str = ""
    status: int | str = ""
    updated_at: str = ""


# -- requests ------------------------------------------------------------------------------------------------------


class ChatTaskInput(Wire):
    """The message. Files come as `attachments`, as `images` and as `files`, by SDK: a server merges all three.

    The rest is what SDKs fill because their shared type has it, and carries no meaning (protocol.md 6.1).
    """

    text: str | None = None
    attachments: list[FileRef] | None = None
    images: list[str] | None = None
    files: list[str] | None = None
    role: Open[ChatMessageRole] = ChatMessageRole.USER
    context: list[Any] | None = None
    system_prompt: str | None = None
    context_size: int | None = None
    model: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    reasoning: Any = None
    reasoning_effort: str | None = None
    reasoning_max_tokens: int | None = None
    tools: list[Any] | None = None
    tool_call_id: str | None = None


class RunAgentRequest(Wire):
    """The body of `POST /agents/run` (`ApiAgentRunRequest`, protocol.md 6.1); a null `chat_id` starts a chat.

    `agent` is `namespace/name[@version]`; `on_busy` (queue, reject, interrupt) is read by our own server only.
    """

    chat_id: str | None = None
    agent: str | None = None
    agent_config: AgentConfig | None = None
    agent_name: str | None = None
    agent_id: str | None = None
    agent_version_id: str | None = None
    context: dict[str, str] | None = None
    input: ChatTaskInput | None = None
    stream: bool = False
    on_busy: str | None = None


class RunAgentReply(Whole):
    """Both messages of the turn that began. The newest servers answer a queued message without an assistant's."""

    user_message: ChatMessage | None = None
    assistant_message: ChatMessage | None = None


class SubmitToolResult(Wire):
    """The body of `POST /tools/{id}`: a `result`, or what a person did with a widget (protocol.md 6.5).

    A `result` that is no text is taken as its JSON: webhooks that call back send what they have.
    """

    result: JsonText | None = None
    action: WidgetAction | None = None
    form_data: dict[str, Any] | None = None
    attachments: list[FileRef] | None = None
