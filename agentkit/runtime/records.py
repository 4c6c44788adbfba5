"""The rows of the platform's truth: one class per noun, changed only by compare-and-set.

A record is internal: what a client sees of it is rendered in `agentkit.runtime.dto`. `version` rises with every
update; `INDEX` names the fields that a store keeps as columns so that `find(kind, field=value)` is fast.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from agentkit.wire import (
    AgentConfig,
    AgentHook,
    AgentRunState,
    AppSessionStatus,
    AppVersionInput,
    ChatMessageRole,
    ChatMessageStatus,
    ChatStatus,
    HookDecision,
    HookEvent,
    IntegrationAuthType,
    IntegrationStatus,
    InterruptDecision,
    InterruptReason,
    InterruptResolution,
    InterruptStatus,
    TaskLogType,
    TaskStatus,
    ToolInvocationStatus,
    ToolType,
)

__all__ = [
    "RECORDS",
    "AgentRecord",
    "AgentVersionRecord",
    "AppRecord",
    "AppVersionRecord",
    "AuthorizationRecord",
    "BudgetRecord",
    "ChatRecord",
    "HookCallRecord",
    "IdempotencyRecord",
    "IntegrationRecord",
    "InterruptRecord",
    "InvocationRecord",
    "KeyRecord",
    "MessageRecord",
    "NoticeTargetRecord",
    "Record",
    "RunAgent",
    "RunRecord",
    "SecretRecord",
    "SessionRecord",
    "StoredFile",
    "TaskLogRecord",
    "TaskRecord",
    "WebhookRecord",
]


class Record(BaseModel):
    """What every row has. Times are RFC 3339 text in UTC, set by the store's clock."""

    model_config = ConfigDict(defer_build=True, extra="ignore", frozen=True)

    KIND: ClassVar[str]
    INDEX: ClassVar[tuple[str, ...]] = ()

    id: str
    version: int = 0  # set by the store: 1 after insert, +1 per update
    created_at: str = ""
    updated_at: str = ""

    def but(self, **changes: Any) -> Any:
        """A copy with these fields changed (not validated: the caller is typed)."""
        return self.model_copy(update=changes)


class RunAgent(BaseModel):
    """The agent that came with a message, by the fields of the chat that it takes over."""

    model_config = ConfigDict(defer_build=True, extra="ignore", frozen=True)

    agent: AgentConfig
    given: AgentConfig | None = None
    agent_ref: str | None = None
    agent_id: str | None = None
    agent_version_id: str | None = None


class ChatRecord(Record):
    """A conversation: its agent as it was when the chat began, and what the agent keeps for it."""

    KIND = "chat"
    INDEX = ("owner", "status", "parent_id")

    owner: str
    status: ChatStatus = ChatStatus.IDLE
    agent: AgentConfig  # bound: its tools as they are offered
    given: AgentConfig | None = None  # as it came, where binding changed it
    handed_over_from: AgentConfig | None = None  # as it came: the agent that gave the chat to the one it has now
    handed_to: RunAgent | None = None  # the agent that has the chat from the next answer on
    agent_ref: str | None = None
    agent_id: str | None = None
    agent_version_id: str | None = None
    name: str = ""
    context: dict[str, str] = Field(default_factory=dict)
    output: Any = None
    plan_steps: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    memory: dict[str, Any] = Field(default_factory=dict)
    always_allowed_tools: list[str] = Field(default_factory=list)
    allow_rules: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])  # narrower, or not for ever
    run_id: str | None = None  # the run that is, or was last, active
    next_order: int = 0
    parent_id: str | None = None  # a sub-agent's chat: the chat that asked it
    parent_invocation_id: str | None = None  # and the call that it answers
    depth: int = 0  # of sub-agents above it


class RunRecord(Record):
    """The work for one user message (protocol.md, AgentRunDTO)."""

    KIND = "run"
    INDEX = ("chat_id", "state")

    chat_id: str
    state: AgentRunState
    user_message_id: str
    assistant_message_id: str  # the first answer: it exists before the model has said a word
    message_id: str  # the answer the model is writing, or wrote last
    asked_by: str | None = None  # the process that asks the model for it, or that did
    turns: int = 0  # model calls made
    output_attempts: int = 0
    reminded: bool = False  # told once that a finish call is missing
    error: str | None = None
    output: Any = None
    interrupt_reason: InterruptReason | None = None
    agent: RunAgent | None = None  # until the run begins: the run before it goes on with the agent it began with
    finished_at: str | None = None
    usage: dict[str, Any] = Field(default_factory=dict)
    budget_id: str | None = None  # the topmost run's id, in a sub-agent's
    injected: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])  # messages that hooks put in
    system_added: list[str] = Field(default_factory=list[str])  # what hooks add to the system prompt
    invocation_id: str | None = None  # the call of another chat that a sub-agent's run answers
    result_chars: int = 0  # of its result that call's model gets at once; 0: all
    timeout_seconds: float | None = None  # it may take so long from its beginning, questions to people not counted
    deadline: str | None = None


class MessageRecord(Record):
    """One message. `order` is -1 while its run waits in the chat's queue."""

    KIND = "message"
    INDEX = ("chat_id", "run_id", "order", "status")

    chat_id: str
    run_id: str
    order: int
    role: ChatMessageRole
    status: ChatMessageStatus
    content: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    tool_call_id: str | None = None
    attachments: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])


class InvocationRecord(Record):
    """One tool call of an assistant message, and its only result."""

    KIND = "invocation"
    INDEX = ("chat_id", "run_id", "message_id", "status", "arguments_hash")

    chat_id: str
    run_id: str
    message_id: str
    call_id: str  # the model's own id of the call
    position: int  # among its message's calls
    type: ToolType
    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    arguments_hash: str = ""
    status: ToolInvocationStatus = ToolInvocationStatus.PENDING
    require_approval: bool = False
    result: str | None = None
    data: Any = None
    files: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])  # FileRefs of the result
    widget: dict[str, Any] | None = None
    via: str | None = None  # the internal tool by which the model called it
    engine_id: str | None = None  # the process that carries it out, or did when it died
    attempt: int = 0  # how often it was begun
    journal: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])  # see agentkit.runtime.journal
    approved_by: str | None = None
    execution_id: str | None = None  # the task or child chat that it goes on in
    callback_token: str | None = None  # what lets somebody without a key answer it, once: a SHA-256 for each attempt
    callback_until: str | None = None  # when it is too late for that


class BudgetRecord(Record):
    """What a run and the sub-agents below it have used, together; its id is the id of the topmost run."""

    KIND = "budget"

    turns: int = 0  # model calls
    tool_calls: int = 0


class InterruptRecord(Record):
    """A question to a person: answered once, by the first who answers."""

    KIND = "interrupt"
    INDEX = ("chat_id", "run_id", "resource_id", "status", "owner", "reason", "tool_name")

    owner: str = ""
    chat_id: str
    run_id: str
    chat_path: list[str] = Field(default_factory=list[str])  # from the chat that people talk to down to this one
    resource_id: str
    reason: InterruptReason
    tool_name: str = ""
    status: InterruptStatus = InterruptStatus.PENDING
    resolution: InterruptResolution | None = None
    decision: InterruptDecision | None = None
    resolved_at: str | None = None
    resolved_by: str | None = None  # as far as was proven
    resolved_as: str | None = None  # as they said
    note: str = ""
    edited_from: dict[str, Any] | None = None  # the arguments that were edited
    expires_at: str | None = None
    approvers: list[str] | None = None  # groups; None: whoever may approve
    remind_seconds: float | None = None
    remind_at: str | None = None
    reminders: int = 0
    escalate_at: str | None = None
    escalate_to: list[str] | None = None
    is_escalated: bool = False
    arguments_hash: str = ""
    meta: dict[str, Any] = Field(default_factory=dict)
    answer_schema: dict[str, Any] | None = None  # of a question that is no approval
    resolved_data: Any = None


class HookCallRecord(Record):
    """One hook, asked about one moment of a run, and what it said; there for as long as that matters."""

    KIND = "hook_call"
    INDEX = ("chat_id", "run_id", "resource_id")

    chat_id: str
    run_id: str
    resource_id: str  # what it is about: a run, message or invocation
    event: HookEvent
    position: int  # among the agent's hooks
    hook: AgentHook
    payload: dict[str, Any]
    is_told: bool = False  # nobody waits for the answer
    decision: HookDecision | None = None  # None: not answered yet, or a person is asked
    reason: str = ""
    override: Any = None
    interrupt_id: str | None = None  # the question to a person
    engine_id: str | None = None  # the process that asks it, or did when it died
    attempts: int = 0
    execution_id: str | None = None  # the chat of the agent that answers


class AgentRecord(Record):
    """A stored agent: `namespace/name`, and which version is current."""

    KIND = "agent"
    INDEX = ("owner", "namespace", "name")

    owner: str
    namespace: str
    name: str
    version_id: str
    images: dict[str, Any] = Field(default_factory=dict)
    visibility: str = "private"


class AgentVersionRecord(Record):
    """One version of a stored agent."""

    KIND = "agent_version"
    INDEX = ("agent_id",)

    agent_id: str
    config: AgentConfig


class AppRecord(Record):
    """An app: `namespace/name`, and which version is current ("" until one is)."""

    KIND = "app"
    INDEX = ("owner", "namespace", "name", "visibility")

    owner: str
    namespace: str
    name: str
    version_id: str = ""
    description: str = ""
    agent_description: str = ""
    category: str = ""
    images: dict[str, Any] = Field(default_factory=dict)
    visibility: str = "private"


class AppVersionRecord(Record):
    """One version of an app. Its code is a zip among the files, or, where it was given in code, a folder."""

    KIND = "app_version"
    INDEX = ("app_id", "checksum")

    app_id: str
    config: AppVersionInput
    checksum: str = ""
    bundle_sha256: str | None = None
    folder: str | None = None
    is_compat: bool = False


class TaskRecord(Record):
    """One execution of an app's function. `events` has one entry per transition: `{id, status, event_time}`."""

    KIND = "task"
    INDEX = ("owner", "status", "session_id", "app_id", "app_version_id", "engine_id", "is_featured", "invocation_id")

    owner: str
    status: TaskStatus = TaskStatus.RECEIVED
    app_id: str
    app_version_id: str
    function: str | None = None
    input: Any = None
    setup: Any = None
    output: Any = None
    error: str | None = None
    end_kind: str = ""  # how it ended: see ports.End
    session_id: str | None = None
    session_timeout: int | None = None
    infra: str | None = None
    workers: list[str] = Field(default_factory=list[str])
    webhook: str | None = None
    run_at: str | None = None
    engine_id: str | None = None  # the process whose fleet has it
    worker_id: str | None = None
    attempts: int = 0  # how often a worker took it
    is_idempotent: bool = False  # may run again when its worker or server died half-way
    timeout_seconds: float | None = None
    is_cancel_wanted: bool = False
    events: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    output_files: list[str] = Field(default_factory=list[str])  # ids of files the app made
    visibility: str = "private"
    is_featured: bool = False
    metadata: dict[str, Any] = Field(default_factory=dict)
    chat_id: str | None = None
    agent_id: str | None = None
    invocation_id: str | None = None  # the tool call whose result is this task's end
    idempotency_key: str | None = None  # what its app may tell it by from other work, however often it is begun
    result_chars: int = 0  # of its output that call's model gets at once; 0: all
    finished_at: str | None = None


class TaskLogRecord(Record):
    """A piece of what a phase of a task printed; pieces of one task in insertion order."""

    KIND = "task_log"
    INDEX = ("task_id",)

    task_id: str
    log_type: TaskLogType
    text: str


class SessionRecord(Record):
    """A worker leased over several tasks. While a call waits or runs it does not expire."""

    KIND = "session"
    INDEX = ("owner", "status", "engine_id")

    owner: str
    app_id: str
    app_version_id: str
    setup: Any = None
    status: AppSessionStatus = AppSessionStatus.ACTIVE
    engine_id: str | None = None
    worker_id: str | None = None
    expires_at: str = ""
    ended_at: str | None = None
    is_lost: bool = False  # its worker died
    end_reason: str = ""
    task_id: str | None = None
    call_count: int = 0
    last_call_at: str | None = None
    idle_timeout: int = 60


class WebhookRecord(Record):
    """A webhook to deliver, at least once; removed when it was, or was given up.

    It tells of the end of a task, or of what happened to a question to a person: of one question in order.
    """

    KIND = "webhook"
    INDEX = ("task_id", "interrupt_id", "target_id")

    owner: str
    task_id: str = ""
    url: str
    attempts: int = 0
    last_error: str = ""
    interrupt_id: str = ""
    target_id: str = ""
    event: str = ""
    position: int = 0  # among the deliveries of its target
    is_held: bool = False  # not tried before a program had its time to answer
    entry: dict[str, Any] = Field(default_factory=dict[str, Any])  # the question as it was: see `asking.notices`

    @property
    def wake_key(self) -> str:
        """What the engine calls it."""
        return f"webhook:{self.id}"


class NoticeTargetRecord(Record):
    """A URL that is told of every question to a person; `secret` names what its webhooks are signed with."""

    KIND = "notice_target"

    url: str
    secret: str = ""
    deliveries: int = 0  # how many were begun


class StoredFile(Record):
    """A file: its bytes lie beside the database under their hash. `upload_token` guards the one PUT."""

    KIND = "file"
    INDEX = ("owner", "upload_token", "sha256")

    owner: str
    filename: str = ""
    content_type: str = "application/octet-stream"
    size: int | None = None
    path: str = ""
    public: bool = False
    sha256: str | None = None  # None until the bytes are here
    upload_token: str | None = None  # stored hashed, dropped after the upload


class KeyRecord(Record):
    """An API key: only its SHA-256 is kept. No `scopes`: it may do everything."""

    KIND = "key"
    INDEX = ("owner", "sha256")

    sha256: str
    owner: str
    name: str = ""
    masked: str = ""
    scopes: list[str] = Field(default_factory=list)
    groups: list[str] = Field(default_factory=list[str])  # of approvers, that its holder belongs to
    expires_at: str | None = None
    revoked: bool = False


class ConsoleSessionRecord(Record):
    """A browser that is signed in to the console with an API key; its id is the SHA-256 of the token in its cookie."""

    KIND = "console_session"
    INDEX = ("key_id", "expires_at")

    key_id: str
    expires_at: str  # moved on while it is used
    ends_at: str  # however much it is used


class SecretRecord(Record):
    """A secret of an owner, sealed for this row; its id is made of owner and key, so that there is one of each."""

    KIND = "secret"
    INDEX = ("owner", "key")

    owner: str
    key: str
    sealed: str = Field(repr=False)
    masked: str = ""
    description: str = ""


class IntegrationRecord(Record):
    """A connection of an owner to a provider, one of each; `sealed` holds its tokens or its API key as JSON."""

    KIND = "integration"
    INDEX = ("owner", "provider", "status")

    owner: str
    provider: str
    auth: IntegrationAuthType
    status: IntegrationStatus
    sealed: str = Field(default="", repr=False)
    scopes: list[str] = Field(default_factory=list[str])
    expires_at: str | None = None  # of the access token
    metadata: dict[str, Any] = Field(default_factory=dict)
    account_identifier: str = ""
    account_name: str = ""
    error_message: str = ""


class AuthorizationRecord(Record):
    """An OAuth authorization that somebody is asked for; its id is the SHA-256 of the `state`, good for one answer."""

    KIND = "authorization"
    INDEX = ("owner", "provider")

    owner: str
    provider: str
    sealed: str = Field(repr=False)  # the PKCE verifier
    scopes: list[str] = Field(default_factory=list[str])
    redirect_uri: str
    expires_at: str
    metadata: dict[str, Any] = Field(default_factory=dict)


class IdempotencyRecord(Record):
    """What a POST with an `Idempotency-Key` answered. `id` is owner, path and key, hashed together."""

    KIND = "idempotency"

    request_hash: str
    status: int
    body: Any = None


RECORDS: tuple[type[Record], ...] = (
    ChatRecord,
    RunRecord,
    MessageRecord,
    InvocationRecord,
    BudgetRecord,
    InterruptRecord,
    HookCallRecord,
    AgentRecord,
    AgentVersionRecord,
    AppRecord,
    AppVersionRecord,
    TaskRecord,
    TaskLogRecord,
    SessionRecord,
    WebhookRecord,
    NoticeTargetRecord,
    StoredFile,
    KeyRecord,
    ConsoleSessionRecord,
    SecretRecord,
    IntegrationRecord,
    AuthorizationRecord,
    IdempotencyRecord,
)
