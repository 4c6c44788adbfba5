"""Carries out the internal tools that need more than a transaction."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

from agentkit.runtime.budgets import Limits
from agentkit.runtime.executors import Execution, Produced, ToolDesk, ToolFailure
from agentkit.runtime.executors.internal import Means, by_name
from agentkit.runtime.ports import Store
from agentkit.runtime.skills import SkillSource
from agentkit.wire import AgentTool, ToolType

__all__ = ["InternalExecutor"]


class InternalExecutor:
    """Carries out internal tools. They only read, so a further attempt does no harm."""

    kinds: ClassVar[tuple[ToolType, ...]] = (ToolType.INTERNAL,)

    def __init__(self, store: Store, *, skills: SkillSource, limits: Limits) -> None:
        self._means = Means(store, skills, limits.result_chars)

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """While entered, calls may be carried out."""
        try:
            yield
        finally:
            await self._means.skills.aclose()

    async def bind(self, tool: AgentTool, *, owner: str) -> Sequence[AgentTool]:
        """The tool as it is."""
        return [tool]

    def is_stale(self, tool: AgentTool) -> bool:
        """Never: it is bound as it is."""
        return False

    def is_idempotent(self, call: Execution) -> bool:
        """Always."""
        return True

    async def execute(self, call: Execution, desk: ToolDesk) -> Produced:
        """What the tool found. Raises ToolFailure."""
        tool = by_name(call.tool.name)
        if tool is None or tool.execute is None:
            raise ToolFailure(f"there is no tool {call.tool.name!r} any more", had_effect=False)
        return await tool.execute(call, desk, self._means)
