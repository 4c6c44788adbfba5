"""Who an agent is: a stored one or a configuration, which of its tools run here, and how its output is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel

from agentkit.errors import UsageError
from agentkit.protocol.refs import Reference
from agentkit.tools.config import agent_config
from agentkit.tools.output import Output, output_of
from agentkit.tools.toolbox import Toolbox

__all__ = ["Definition"]

T = TypeVar("T")


@dataclass(frozen=True)
class Definition(Generic[T]):
    """Who the agent is: a stored one by reference, or a configuration; and which of its tools run here."""

    ref: str | None
    config: Mapping[str, Any] | None
    toolbox: Toolbox
    output: Output[T] | None

    @classmethod
    def of(cls, agent: Any, *, tools: Sequence[Any] = (), output_type: Any = None) -> Definition[Any]:
        """The definition of a reference, a config dict or an `AgentConfig`. Raises UsageError and its kin."""
        output = output_of(output_type) if output_type is not None else None
        if isinstance(agent, str):
            return Definition(str(Reference.parse(agent)), None, Toolbox.of(tools), output)
        if agent is None:
            return Definition(None, None, Toolbox.of(tools), output)
        if isinstance(agent, BaseModel):
            agent = agent.model_dump(mode="json", by_alias=True, exclude_unset=True)
        if not isinstance(agent, Mapping):
            raise UsageError(f"an agent is 'namespace/name@version' or a config, not {type(agent).__name__}")
        given = cast("Mapping[str, Any]", agent)
        toolbox = Toolbox.of([*(given.get("tools") or ()), *tools])
        return Definition(None, agent_config(given, toolbox, output), toolbox, output)

    def parse(self, value: Any) -> T:
        """The output as the caller wants it. Raises ToolArgumentsError."""
        return cast("T", value) if self.output is None else self.output.parse(value)
