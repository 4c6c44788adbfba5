"""Agents: their configuration, and the stored agent with its versions (protocol.md 6.3, 6.6, 6.8)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from agentkit.wire._base import Open, Owned, Wire
from agentkit.wire.tools import AgentTool, ApprovalPolicy

__all__ = [
    "Agent",
    "AgentConfig",
    "AgentHook",
    "AgentPermissions",
    "AgentVersion",
    "ContextField",
    "CoreApp",
    "CreateAgentRequest",
    "HookEvent",
    "Images",
    "InternalToolsConfig",
    "SkillConfig",
]


class HookEvent(StrEnum):
    """When a hook is called (newer servers)."""

    AGENT_START = "agent.start"
    AGENT_TURN_START = "agent.turn_start"
    AGENT_TOOL_CALL = "agent.tool_call"
    AGENT_TOOL_RESULT = "agent.tool_result"
    AGENT_TURN_COMPLETE = "agent.turn_complete"
    AGENT_ERROR = "agent.error"
    AGENT_COMPLETE = "agent.complete"
    AGENT_IDLE = "agent.idle"
    AGENT_PRE_COMPACT = "agent.pre_compact"
    AGENT_POST_COMPACT = "agent.post_compact"


class CoreApp(Wire):
    """What answers: the model's reference (`openai/gpt-5-mini`) or ids, and its fixed `setup` and `input`."""

    ref: str | None = None
    id: str | None = None
    version_id: str | None = None
    setup: Any = None
    input: Any = None


class ContextField(Wire):
    """A context variable that the agent declares; values are given per chat."""

    name: str = ""
    description: str | None = None
    required: bool = False
    default: str | None = None
    in_prompt: bool | None = None


class SkillConfig(Wire):
    """Knowledge that is loaded on demand by `skill_get`; `preload` puts it into the prompt at once.

    `files` (ours) are texts that it refers to, by their path.
    """

    name: str = ""
    description: str | None = None
    skill_id: str | None = None
    version_id: str | None = None
    url: str | None = None
    content: str | None = None
    preload: bool = False
    files: dict[str, str] | None = None


class InternalToolsConfig(Wire):
    """Which of the platform's own tools the agent has; an unset flag takes the platform's default (protocol.md 6.8).

    Ours: `ask_user`, asking the person a question; `results`, reading on in results that were too long to be given at
    once.
    """

    plan: bool | None = None
    memory: bool | None = None
    widget: bool | None = None
    finish: bool | None = None
    skills: bool | None = None
    meta: bool | None = None
    results: bool | None = None
    ask_user: bool | None = None
    host_context: bool | None = None


class AgentHook(Wire):
    """A call-out of a newer server: `type` is webhook, task, gate or builtin (protocol.md 6.11)."""

    event: Open[HookEvent] = ""
    type: str = ""
    handler: Any = None
    async_: bool | None = Field(default=None, alias="async")
    timeout: float | None = None
    default_resolution: str | None = None


class AgentPermissions(Wire):
    """What the agent may do unasked (newer servers)."""

    allow_all_tools: bool | None = None


class AgentConfig(Wire):
    """An agent as a program describes it (`agent_config`, and the input of a version; protocol.md 6.6).

    `output_schema` is the JSON Schema of what `finish` hands in; `approval` is how people are asked (ours).
    """

    name: str = ""
    description: str = ""
    system_prompt: str = ""
    example_prompts: list[str] = Field(default_factory=list[str])
    core_app: CoreApp | None = None
    tools: list[AgentTool] = Field(default_factory=list[AgentTool])
    skills: list[SkillConfig] = Field(default_factory=list[SkillConfig])
    context: list[ContextField] = Field(default_factory=list[ContextField])
    internal_tools: InternalToolsConfig | None = None
    output_schema: dict[str, Any] | None = None
    hooks: list[AgentHook] | None = None
    permissions: AgentPermissions | None = None
    approval: ApprovalPolicy | None = None


class AgentVersion(Owned, AgentConfig):
    """One version of a stored agent: its configuration, with an identity (`AgentVersionDTO`)."""


class Images(Wire):
    """The pictures of an agent or app, as URLs."""

    card: str = ""
    thumbnail: str = ""
    banner: str = ""


class Agent(Owned):
    """A stored agent, `namespace/name` (`AgentDTO`); `version` is the one that is current."""

    project_id: str | None = None
    project: dict[str, Any] | None = None
    namespace: str = ""
    name: str = ""
    images: Images = Field(default_factory=Images)
    version_id: str = ""
    version: AgentVersion | None = None


class CreateAgentRequest(Wire):
    """The body of `POST /agents`: with an `id` it makes a new version of that agent."""

    id: str | None = None
    name: str = ""
    namespace: str = ""
    title: str | None = None
    images: dict[str, Any] | None = None
    version: AgentConfig | None = None
    visibility: str | None = None
