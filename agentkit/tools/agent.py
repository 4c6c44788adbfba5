"""Tools that hand a task to another agent (`type: agent`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel

from agentkit.errors import ToolDefinitionError
from agentkit.tools._builder import ToolBuilder
from agentkit.tools.approval import Judge
from agentkit.tools.client import ClientTool
from agentkit.tools.config import agent_config
from agentkit.tools.toolbox import Toolbox

__all__ = ["AgentToolBuilder", "agent_tool"]


@dataclass(frozen=True, kw_only=True, repr=False)
class AgentToolBuilder(ToolBuilder):
    """Starts a chat of another agent with the arguments and returns its output; declared parameters are a hint."""

    KIND: ClassVar[str] = "agent"

    ref: str | None = None
    agent: Mapping[str, Any] | None = None
    """The agent itself, as it travels; None where `ref` names a stored one."""
    toolbox: Toolbox = field(default_factory=Toolbox)
    takes_over: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.agent is None:
            self._filled(self.ref or "", what="the agent reference", example="'namespace/name@version'")

    def handoff(self, enabled: bool = True) -> Self:
        """The other agent takes the chat over from here, instead of answering this one in a chat of its own."""
        return replace(self, takes_over=enabled)

    def handlers_inside(self) -> Mapping[str, ClientTool[..., Any]]:
        """The client tools of an agent that answers in its own chat, with those of agents that it asks in turn."""
        return {} if self.takes_over else self.toolbox.flat(what=f"{self._what}: the agents below it")

    def judges_inside(self) -> Mapping[str, Judge]:
        """The rules of the tools of an agent that answers in its own chat, with those of agents below it."""
        return {} if self.takes_over else self.toolbox.flat_judges(what=f"{self._what}: the agents below it")

    def taken_over(self) -> Toolbox | None:
        """The toolbox of an agent that goes on in this chat."""
        return self.toolbox if self.takes_over else None

    def config(self) -> dict[str, Any]:
        """`ref` or the whole agent, and what else was said."""
        who: dict[str, Any] = {"ref": self.ref} if self.agent is None else {"config": deepcopy(dict(self.agent))}
        return {**who, **({"handoff": True} if self.takes_over else {}), **self._hint()}


def agent_tool(name: str, agent: Any, *, tools: Sequence[Any] = ()) -> AgentToolBuilder:
    """A tool that is another agent: a stored one, `namespace/name@version`, or one given here as a config.

    Client tools of a config run here, like the agent's own. `tools`: more of them; for a stored agent their handlers,
    by the names it knows them by. Raises ToolDefinitionError for what is no agent, and for tools that disagree.

    >>> agent_tool("research", "acme/researcher@latest").build()["agent"]
    {'ref': 'acme/researcher@latest'}
    >>> agent_tool("poet", {"core_app": "openai/gpt-5-mini", "system_prompt": "Rhyme."}).build()["agent"]["config"]
    {'core_app': {'ref': 'openai/gpt-5-mini'}, 'system_prompt': 'Rhyme.', 'tools': []}
    """
    if isinstance(agent, str):
        return AgentToolBuilder(name=name, ref=agent, toolbox=Toolbox.of(tools))
    if isinstance(agent, BaseModel):
        agent = agent.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if not isinstance(agent, Mapping):
        raise ToolDefinitionError(
            f"tool {name!r}: an agent is 'namespace/name@version' or a config, not {type(agent).__name__}"
        )
    given = cast("Mapping[str, Any]", agent)
    toolbox = Toolbox.of([*(given.get("tools") or ()), *tools])
    return AgentToolBuilder(name=name, agent=agent_config(given, toolbox), toolbox=toolbox)
