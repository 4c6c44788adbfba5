"""An agent's tools made ready for a chat: schemas filled in, whole servers spelt out, what is missing refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from agentkit.runtime.executors import ToolExecutor, internal
from agentkit.runtime.faults import Fault
from agentkit.runtime.skills import SkillSource
from agentkit.wire import AgentConfig, AgentTool, ToolType

__all__ = ["Binder"]


class Requiring(Protocol):
    """What an agent's hooks need."""

    async def require(self, config: AgentConfig, *, owner: str) -> None:
        """Raises Fault where it is not there."""
        ...


class Binder:
    """Binds tools by their executors. Tools of kinds that none of them has (client, internal) stay as they are."""

    def __init__(
        self,
        executors: Iterable[ToolExecutor],
        *,
        skills: SkillSource | None = None,
        hooks: Requiring | None = None,
    ) -> None:
        self._skills = skills
        self._hooks = hooks
        self._executors: Mapping[str, ToolExecutor] = {kind: each for each in executors for kind in each.kinds}

    def executor(self, kind: ToolType) -> ToolExecutor | None:
        """Who carries out the calls of this kind."""
        return self._executors.get(kind)

    async def bind(self, config: AgentConfig, *, owner: str) -> AgentConfig:
        """The agent as a chat has it. Raises Fault where a tool could never work, or two have one name.

        So it does where a hook needs what is not there.
        """
        if self._hooks is not None:
            await self._hooks.require(config, owner=owner)
        if self._skills is not None:
            config = await self._skills.preload(config)
        bound: list[AgentTool] = []
        for tool in config.tools or ():
            executor = self._executors.get(tool.type)
            bound += [tool] if executor is None else await executor.bind(tool, owner=owner)
        names = internal.names(config)
        for tool in bound:
            if tool.name in names:
                raise Fault("invalid_request", f"two tools are called {tool.name!r}; rename one")
            names.add(tool.name)
        return config if bound == list(config.tools or ()) else config.model_copy(update={"tools": bound})

    def is_stale(self, agent: AgentConfig) -> bool:
        """Whether some tool of a bound agent would be bound differently now."""
        for tool in agent.tools or ():
            executor = self._executors.get(tool.type)
            if executor is not None and executor.is_stale(tool):
                return True
        return False
