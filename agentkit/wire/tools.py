"""Tools as they travel: the definition in an agent, one per kind, and the OpenAI-style form models speak.

Sources: protocol.md 6.3 (objects), 6.7 (the JSON by builder), 9.1 (enums).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, cast

from pydantic import Field, model_validator

from agentkit.wire._base import DecodedObject, Open, Whole, Wire

__all__ = [
    "AgentTool",
    "AgentToolConfig",
    "AppToolConfig",
    "ApprovalPolicy",
    "ClientToolConfig",
    "HookToolConfig",
    "HttpAuth",
    "HttpToolConfig",
    "InternalToolConfig",
    "InternalToolInfo",
    "McpToolConfig",
    "Reconcile",
    "Tool",
    "ToolCall",
    "ToolCallType",
    "ToolDefinition",
    "ToolFunction",
    "ToolInvocationStatus",
    "ToolParamType",
    "ToolParameters",
    "ToolType",
]


class ToolType(StrEnum):
    """Who acts on a tool call. `call` is a synonym of `http` (protocol.md 10 row 43); `harness` is newer."""

    APP = "app"
    AGENT = "agent"
    HOOK = "hook"
    HTTP = "http"
    CALL = "call"
    MCP = "mcp"
    CLIENT = "client"
    INTERNAL = "internal"
    HARNESS = "harness"


class ToolInvocationStatus(StrEnum):
    """How far a tool call is; the transitions are in protocol.md 6.3. `waiting` is newer."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    AWAITING_INPUT = "awaiting_input"
    AWAITING_APPROVAL = "awaiting_approval"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WAITING = "waiting"


class ToolCallType(StrEnum):
    """The discriminator of tool calls and tool definitions (seeds/003, "generated tool types")."""

    TOOL_TYPE_FUNCTION = "function"


class ToolParamType(StrEnum):
    """The JSON Schema types of tool parameters (seeds/003, "generated tool types")."""

    OBJECT = "object"
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ARRAY = "array"
    NULL = "null"


# -- what an agent is given ----------------------------------------------------------------------------------------


class ClientToolConfig(Wire):
    """A tool that runs in the caller's process."""

    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None


class AppToolConfig(Wire):
    """A tool that runs an app. `setup` and `input` are fixed values; `input_schema` is a hint, the app has its own."""

    ref: str | None = None
    id: str | None = None
    version_id: str | None = None
    function: str | None = None
    session_enabled: bool = False
    setup: Any = None
    input: Any = None
    fixed_input: dict[str, Any] | None = None
    input_schema: dict[str, Any] | None = None


class AgentToolConfig(Wire):
    """A tool that asks another agent: a stored one by `ref`, or one that comes along as `config` (ours).

    `handoff`: the other agent takes the chat over, instead of answering in a chat of its own.
    """

    ref: str | None = None
    id: str | None = None
    version_id: str | None = None
    config: dict[str, Any] | None = None
    handoff: bool = False
    input_schema: dict[str, Any] | None = None


class HookToolConfig(Wire):
    """A tool that calls a webhook; `secret` names an entry of the secret store (protocol.md 6.5)."""

    url: str = ""
    secret: str | None = None
    secret_ref: str | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None


class HttpAuth(Wire):
    """How an HTTP tool proves itself: `type` is integration, credential, api_key or bearer.

    `secret` names an entry of the secret store, it is never the secret itself.
    """

    type: str = ""
    provider: str | None = None
    integration_id: str | None = None
    secret: str | None = None
    header: str | None = None


class Reconcile(Wire):
    """How an HTTP tool finds out what became of a call whose answer was lost (ours).

    Asked with the call's templates, headers and `Idempotency-Key`. 2xx: it was done, and this is its answer; 404: it
    was not done, and is made again; anything else: nobody knows, and a person is asked.
    """

    url: str = ""
    method: str = "GET"


class HttpToolConfig(Wire):
    """A tool that is an HTTP request; a null `method` means POST. Templates: protocol.md 6.11."""

    url: str = ""
    method: str | None = None
    auth: HttpAuth | None = None
    headers: dict[str, str] | None = None
    reconcile: Reconcile | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None


class McpToolConfig(Wire):
    """A tool of an MCP server, named by `integration_id` or, in the newest form, by `server`.

    `tool_name` `*` (ours) is every tool of the server, or those of `only`. `approval` says what decides whether a
    person is asked: the server's annotations (the default), `always` or `never`.
    """

    integration_id: str | None = None
    server: str | None = None
    tool_name: str = ""
    only: list[str] | None = None
    approval: str | None = None
    input_schema: dict[str, Any] | None = None


class InternalToolConfig(Wire):
    """A tool of the platform itself."""

    category: str = ""
    operation: str = ""


class ApprovalPolicy(Wire):
    """How people are asked about calls: of one tool, or of every tool of an agent that says nothing itself (ours).

    `when` is a JSON Schema: only calls whose arguments fit it are asked about. `judged`: the client has a function that
    may allow a call without a person. `approvers` are groups, of which one member answers; None: whoever may approve.
    All times are seconds after the question: `timeout` denies it (0 or None: never), `remind` tells it again, every so
    often, `escalate` lets the groups of `escalate_to` answer as well.
    """

    when: dict[str, Any] | None = None
    judged: bool = False
    approvers: list[str] | None = None
    timeout: float | None = None
    remind: float | None = None
    escalate: float | None = None
    escalate_to: list[str] | None = None


class AgentTool(Wire):
    """One tool of an agent: what the model is told, and under the name of its `type` who acts.

    `approval_timeout` is in seconds, 0 = for ever. `timeout` (seconds for one attempt), `idempotent` (a second attempt
    does no harm) and `retries` (further attempts where that is so) are our own. An entry that came as
    `{"schema": {...}}` is read as what is inside
    (protocol.md 6.7: a headless JavaScript caller sends builder results as they are).
    """

    name: str = ""
    display_name: str = ""
    description: str = ""
    type: Open[ToolType] = ""
    require_approval: bool = False
    approval_timeout: float | None = None
    approval: ApprovalPolicy | None = None
    timeout: float | None = None
    idempotent: bool | None = None
    retries: int | None = None
    client: ClientToolConfig | None = None
    app: AppToolConfig | None = None
    agent: AgentToolConfig | None = None
    hook: HookToolConfig | None = None
    http: HttpToolConfig | None = None
    call: HttpToolConfig | None = None
    mcp: McpToolConfig | None = None
    internal: InternalToolConfig | None = None

    @property
    def config(self) -> Wire | None:
        """The member that `type` names; `http` and `call` stand for each other. None where it is missing."""
        configs: dict[str, Wire | None] = {
            ToolType.CLIENT: self.client,
            ToolType.APP: self.app,
            ToolType.AGENT: self.agent,
            ToolType.HOOK: self.hook,
            ToolType.HTTP: self.http or self.call,
            ToolType.CALL: self.call or self.http,
            ToolType.MCP: self.mcp,
            ToolType.INTERNAL: self.internal,
        }
        return configs.get(self.type)

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        entry = cast("dict[str, Any]", data)
        return entry["schema"] if "schema" in entry and "name" not in entry else entry


class InternalToolInfo(Whole):
    """A category of the platform's own tools (`GET /agents/internal-tools`): `id` is its flag in `internal_tools`."""

    id: str = ""
    name: str = ""
    description: str = ""
    tools: list[Any] = Field(default_factory=list)
    scope: Any = None
    default_enabled: bool | None = None


# -- what models speak ---------------------------------------------------------------------------------------------


class ToolFunction(Wire):
    """Which function is called, with which arguments: an object, or the text as it came where that is no object."""

    name: str = ""
    arguments: DecodedObject = Field(default_factory=dict)


class ToolCall(Wire):
    """A call as the model wrote it; `id` is the model's own."""

    id: str = ""
    type: Open[ToolCallType] = ToolCallType.TOOL_TYPE_FUNCTION
    function: ToolFunction = Field(default_factory=ToolFunction)


class ToolParameters(Wire):
    """The JSON Schema of a tool's parameters; every other keyword is kept as it came."""

    type: Open[ToolParamType] | list[str] | None = None
    title: str | None = None
    description: str | None = None
    properties: dict[str, Any] | None = None
    required: list[str] | None = None


class ToolDefinition(Wire):
    """What a model is told about a function."""

    name: str = ""
    description: str | None = None
    parameters: ToolParameters | None = None
    required: list[str] | None = None


class Tool(Wire):
    """A tool in the form LLM apps take (protocol.md 5.3)."""

    type: Open[ToolCallType] = ToolCallType.TOOL_TYPE_FUNCTION
    function: ToolDefinition = Field(default_factory=ToolDefinition)
