"""Running client tools: whatever a handler does, it comes to one result text.

Arguments that miss the schema, an exception, a result that JSON cannot carry, a time-out: each becomes
`{"error": "..."}`, which the model reads, and the other tools of the turn go on (protocol.md 6.5).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from pydantic_core import to_json

from agentkit.client.crew import Crew
from agentkit.errors import ToolError
from agentkit.protocol.effects import Emit, RunTool
from agentkit.tools.client import ClientTool
from agentkit.tools.context import Progress, ToolContext, idempotency_key
from agentkit.tools.result import result_text

__all__ = ["Handlers", "Started"]

logger = logging.getLogger("agentkit.tools")

Tell = Callable[[Emit], None]


class Handlers:
    """The client tools of an agent that have a function here."""

    def __init__(self, tools: Mapping[str, ClientTool[..., Any]], *, timeout_seconds: float | None = None) -> None:
        self._tools = tools
        self.timeout_seconds = timeout_seconds
        self._failed: set[str] = set()

    def names(self) -> frozenset[str]:
        """Which tools can be run here."""
        return frozenset(self._tools)

    def has_failed(self, invocation_id: str) -> bool:
        """Whether that call's result is an error."""
        return invocation_id in self._failed

    def start(self, effect: RunTool, *, chat_id: str, tell: Tell) -> Started:
        """The call, ready to run."""
        return Started(self._tools[effect.name], effect, chat_id, tell, self)

    def error(self, invocation_id: str, message: str) -> str:
        """The result text of a call that failed."""
        self._failed.add(invocation_id)
        sayable = message.encode("utf-8", "backslashreplace").decode()  # a file name may hold half a surrogate pair
        return to_json({"error": sayable}).decode()


@dataclass
class Started:
    """One call of one handler."""

    tool: ClientTool[..., Any]
    effect: RunTool
    chat_id: str
    tell: Tell
    handlers: Handlers
    is_cancelled: bool = field(default=False)
    _end_loop: Callable[[], object] | None = field(default=None, repr=False)

    def cancel(self) -> None:
        """Tells the handler that nobody waits any more (`ctx.cancelled`); ends an async one that `run_sync` runs."""
        self.is_cancelled = True
        if self._end_loop is not None:
            with suppress(RuntimeError):  # it ended by itself
                self._end_loop()

    def run_sync(self) -> str:
        """Runs it in this thread; an async handler gets an event loop of its own."""
        try:
            value = self._call()
            if inspect.isawaitable(value):
                value = anyio.run(self._wait_for, value, backend="asyncio")
            return result_text(value)
        except Exception as error:
            return self._explain(error)

    async def run_async(self, crew: Crew) -> str:
        """Runs it in this task, or on a thread of the crew where it is a plain function."""
        seconds = self.handlers.timeout_seconds
        try:
            with anyio.move_on_after(seconds):
                if self.tool.is_async:
                    value = await self._call()
                else:
                    value = await crew.call(self._call)
                    if inspect.isawaitable(value):
                        value = await value
                return result_text(value)
        except Exception as error:
            return self._explain(error)
        self.cancel()
        return self.timed_out()

    def timed_out(self) -> str:
        """The result of a call that took too long; its own, later one is ignored."""
        seconds = self.handlers.timeout_seconds
        return self.handlers.error(self.effect.id, f"tool {self.tool.name!r} took longer than {seconds:g} s")

    def _call(self) -> Any:
        name, args = self.tool.name, self.effect.args
        key = idempotency_key(self.chat_id, self.effect.id, name, args)
        logger.debug("call %s of tool %s", self.effect.id, name)
        context = ToolContext(
            chat_id=self.chat_id,
            invocation_id=self.effect.id,
            tool_name=name,
            idempotency_key=key,
            is_cancelled=lambda: self.is_cancelled,
            on_progress=self._progress,
        )
        return self.tool.call(args, context)

    def _progress(self, progress: Progress) -> None:
        told = {"message": progress.message, "fraction": progress.fraction, "data": progress.data}
        self.tell(Emit("progress", {"invocation_id": self.effect.id, **told}))

    def _explain(self, error: Exception) -> str:
        if isinstance(error, ToolError):
            message = str(error)
        else:
            logger.warning("call %s: tool %s raised", self.effect.id, self.tool.name, exc_info=error)
            message = f"{type(error).__name__}: {error}"
        return self.handlers.error(self.effect.id, message)

    async def _wait_for(self, value: Awaitable[Any]) -> Any:
        loop = asyncio.get_running_loop()
        with anyio.CancelScope() as scope:
            self._end_loop = lambda: loop.call_soon_threadsafe(scope.cancel)
            if self.is_cancelled:
                scope.cancel()
            return await value
