"""`finish`: the call whose arguments are the run's output, and which ends the run (protocol.md 6.9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentkit.runtime.executors.internal import Category, InternalTool
from agentkit.wire import AgentConfig

__all__ = ["CATEGORY", "NAME", "is_offered", "parameters"]

NAME = "finish"
DESCRIPTION = "Hand in the result and end the work. Call it once, when everything else is done."
_PLAIN: Mapping[str, Any] = {"type": "object", "properties": {"result": {"type": "string"}}, "required": ["result"]}


def is_offered(agent: AgentConfig, *, is_sub_agent: bool) -> bool:
    """Where it is switched on, or by default with an output schema or in a sub-agent (protocol.md 10 row 40)."""
    wanted = agent.internal_tools.finish if agent.internal_tools else None
    return (agent.output_schema is not None or is_sub_agent) if wanted is None else bool(wanted)


def parameters(agent: AgentConfig) -> Mapping[str, Any]:
    """The output schema, or one text where there is none."""
    return agent.output_schema if agent.output_schema is not None else _PLAIN


CATEGORY = Category(
    id="finish",
    description="Lets the agent end its work with an output; by default where it has an output schema, or is asked by "
    "another agent.",
    default_enabled=True,
    tools=(InternalTool(NAME, DESCRIPTION, _PLAIN),),
)
