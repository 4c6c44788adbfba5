"""An executor of our own for the kind `http`: what a call does is written in its arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import anyio

from agentkit.runtime.executors import Elsewhere, Execution, Produced, ToolDesk, ToolFailure
from agentkit.wire import AgentTool, ToolType

__all__ = ["BenchExecutor", "bench_tool"]


def bench_tool(name: str = "work", **more: Any) -> dict[str, Any]:
    """A tool that the executor below carries out."""
    schema = {"type": "object", "properties": {"do": {"type": "string"}, "n": {"type": "integer"}}, "required": ["do"]}
    return {"name": name, "type": "http", "http": {"url": "http://127.0.0.1/", "input_schema": schema}, **more}


class BenchExecutor:
    """Carries out `do`: a name of `ways`, called with the call and the desk; else the text is the result."""

    kinds: ClassVar[tuple[ToolType, ...]] = (ToolType.HTTP,)

    def __init__(self, *, idempotent: bool = False, **ways: Callable[[Execution, ToolDesk], Any]) -> None:
        self.calls: list[Execution] = []
        self.begun = Counter[str]()
        self.now = self.most = 0
        self._idempotent = idempotent
        self._ways = ways

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        yield

    async def bind(self, tool: AgentTool, *, owner: str) -> Sequence[AgentTool]:
        return [tool]

    def is_stale(self, tool: AgentTool) -> bool:
        return False

    def is_idempotent(self, call: Execution) -> bool:
        return self._idempotent

    async def execute(self, call: Execution, desk: ToolDesk) -> Produced | Elsewhere:
        self.calls.append(call)
        self.begun[call.invocation_id] += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            match call.arguments["do"]:
                case "hang":
                    await anyio.sleep_forever()
                case "break":
                    raise RuntimeError("a bug with sk-secret in it")
                case "fail":
                    raise ToolFailure("the shelf is empty", data={"shelf": 0})
                case str(do) if way := self._ways.get(do):
                    return await way(call, desk)
            return Produced(f"did {call.arguments['do']}")
        finally:
            self.now -= 1
