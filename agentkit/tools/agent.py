"""Tools that hand a task to another agent (`type: agent`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from agentkit.tools._builder import ToolBuilder

__all__ = ["AgentToolBuilder", "agent_tool"]


@dataclass(frozen=True, kw_only=True, repr=False)
class AgentToolBuilder(ToolBuilder):
    """Starts a chat of another agent with the arguments and returns its output; declared parameters are a hint."""

    KIND: ClassVar[str] = "agent"

    ref: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._filled(self.ref, what="the agent reference", example="'namespace/name@version'")

    def config(self) -> dict[str, Any]:
        """`ref`, and the hint where there is one."""
        return {"ref": self.ref, **self._hint()}


def agent_tool(name: str, agent_ref: str) -> AgentToolBuilder:
    """A tool that is the agent `namespace/name@version`.

    >>> agent_tool("research", "acme/researcher@latest").build()["agent"]
    {'ref': 'acme/researcher@latest'}
    """
    return AgentToolBuilder(name=name, ref=agent_ref)
