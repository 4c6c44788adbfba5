"""Running client tools: whatever a handler does, it comes to one result text.

Arguments that miss the schema, an exception, a result that JSON cannot carry, a time-out: each becomes
`{"error": "..."}`, which the model reads, and the other tools of the turn go on (protocol.md 6.5). Files of a result
are uploaded before it is posted.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from pydantic_core import to_json

from agentkit.client.crew import Crew
from agentkit.client.hooks import Hooks, after_call, before_call, settle, settle_async
from agentkit.errors import AgentKitError, ToolError, ToolResultError
from agentkit.protocol.effects import Emit, RunTool
from agentkit.tools.client import ClientTool
from agentkit.tools.context import Progress, ToolContext, idempotency_key
from agentkit.tools.result import ToolOutput, result_text
from agentkit.wire import FileRef

__all__ = ["Handlers", "Started"]

logger = logging.getLogger("agentkit.tools")

FIRST_PAUSE_SECONDS: Final = 0.2  # before an idempotent handler that raised is tried again; doubled each time
LONGEST_PAUSE_SECONDS: Final = 5.0

Tell = Callable[[Emit], None]
Upload = Callable[[Sequence[Any]], list[FileRef]]
AsyncUpload = Callable[[Sequence[Any]], Awaitable[list[FileRef]]]


class Handlers:
    """The client tools of an agent, and of those it asks, that have a function here: by agent tool and name."""

    def __init__(
        self,
        tools: Mapping[tuple[str | None, str], ClientTool[..., Any]],
        *,
        timeout_seconds: float | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self._tools = tools
        self.timeout_seconds = timeout_seconds
        self.hooks = hooks or Hooks()
        self._failed: set[str] = set()
        self._files: dict[str, Sequence[FileRef]] = {}

    def names(self) -> frozenset[str]:
        """Which of the agent's own tools can be run here."""
        return frozenset(name for agent, name in self._tools if agent is None)

    def names_below(self) -> frozenset[tuple[str, str]]:
        """Which tools of agents that it asks can be run here: the tool that it asks them with, and the name."""
        return frozenset((agent, name) for agent, name in self._tools if agent is not None)

    def has_failed(self, invocation_id: str) -> bool:
        """Whether that call's result is an error."""
        return invocation_id in self._failed

    def files(self, invocation_id: str) -> Sequence[FileRef]:
        """The files of that call's result."""
        return self._files.get(invocation_id, ())

    def start(self, effect: RunTool, *, chat_id: str, tell: Tell) -> Started:
        """The call, ready to run."""
        return Started(self._tools[effect.agent, effect.name], effect, effect.chat_id or chat_id, tell, self)

    def result(self, invocation_id: str, value: Any, files: Sequence[FileRef]) -> str:
        """The result text of a call that went well. Raises ToolResultError for what JSON cannot carry."""
        text = result_text(value.text if isinstance(value, ToolOutput) else value)
        if files:
            self._files[invocation_id] = files
        return text

    def forget(self, invocation_id: str) -> None:
        """The call's result is taken back: neither its error nor its files count."""
        self._failed.discard(invocation_id)
        self._files.pop(invocation_id, None)

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
    wants_stop: bool = field(default=False)  # a hook of ours ends the run with this call
    _end_loop: Callable[[], object] | None = field(default=None, repr=False)
    _cancelled: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def timeout_seconds(self) -> float | None:
        """How long it may take: what the tool says, or else what is so for every tool."""
        own = self.tool.builder.timeout_seconds
        return self.handlers.timeout_seconds if own is None else own

    def cancel(self) -> None:
        """Tells the handler that nobody waits any more (`ctx.cancelled`); ends an async one that `run_sync` runs."""
        self.is_cancelled = True
        self._cancelled.set()
        if self._end_loop is not None:
            with suppress(RuntimeError):  # it ended by itself
                self._end_loop()

    def run_sync(self, upload: Upload) -> str:
        """Runs it in this thread, if hooks let it; an async handler gets an event loop of its own."""
        hooks = self.handlers.hooks
        denied = settle(before_call(hooks, self))
        return settle(after_call(hooks, self, self._run_sync(upload))) if denied is None else denied

    async def run_async(self, crew: Crew, upload: AsyncUpload) -> str:
        """Runs it in this task, if hooks let it, or on a thread of the crew where it is a plain function."""
        hooks = self.handlers.hooks
        denied = await settle_async(before_call(hooks, self))
        if denied is not None:
            return denied
        result = await self._run_async(crew, upload)
        return result if self.is_cancelled else await settle_async(after_call(hooks, self, result))

    def timed_out(self) -> str:
        """The result of a call that took too long; its own, later one is ignored."""
        seconds = self.timeout_seconds
        return self.handlers.error(self.effect.id, f"tool {self.tool.name!r} took longer than {seconds:g} s")

    # -- parts -----------------------------------------------------------------------------------------------------

    def _run_sync(self, upload: Upload) -> str:
        try:
            value = self._value()
            return self.handlers.result(self.effect.id, value, self._sent(value, upload))
        except Exception as error:
            return self._explain(error)

    async def _run_async(self, crew: Crew, upload: AsyncUpload) -> str:
        try:
            with anyio.move_on_after(self.timeout_seconds):
                value = await self._value_async(crew)
                return self.handlers.result(self.effect.id, value, await self._sent_async(value, upload))
        except Exception as error:
            return self._explain(error)
        self.cancel()
        return self.timed_out()

    def _value(self) -> Any:
        """What the handler returns, after as many attempts as it allows."""
        for pause in self._pauses():
            try:
                return self._once()
            except ToolError:
                raise
            except Exception as error:
                self._note(error, pause)
                if self._cancelled.wait(pause):
                    raise
        return self._once()

    def _once(self) -> Any:
        value = self._call()
        return anyio.run(self._wait_for, value, backend="asyncio") if inspect.isawaitable(value) else value

    async def _value_async(self, crew: Crew) -> Any:
        for pause in self._pauses():
            try:
                return await self._once_async(crew)
            except ToolError:
                raise
            except Exception as error:
                self._note(error, pause)
            await anyio.sleep(pause)
        return await self._once_async(crew)

    async def _once_async(self, crew: Crew) -> Any:
        if self.tool.is_async:
            return await self._call()
        value = await crew.call(self._call)
        return await value if inspect.isawaitable(value) else value

    def _sent(self, value: Any, upload: Upload) -> list[FileRef]:
        """The files of a result, uploaded."""
        try:
            return upload(value.files) if isinstance(value, ToolOutput) and value.files else []
        except (AgentKitError, OSError) as error:
            raise _not_sent(error) from None

    async def _sent_async(self, value: Any, upload: AsyncUpload) -> list[FileRef]:
        try:
            return await upload(value.files) if isinstance(value, ToolOutput) and value.files else []
        except (AgentKitError, OSError) as error:
            raise _not_sent(error) from None

    def _pauses(self) -> Iterator[float]:
        """How long to wait after each attempt that is not the last one, in seconds."""
        builder, pause = self.tool.builder, FIRST_PAUSE_SECONDS
        for _ in range(builder.retries or 0 if builder.is_idempotent else 0):
            yield pause
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _note(self, error: Exception, pause: float) -> None:
        logger.info("call %s: tool %s raised; again in %g s", self.effect.id, self.tool.name, pause, exc_info=error)

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


def _not_sent(error: Exception) -> ToolResultError:
    return ToolResultError(f"the files of the result could not be uploaded: {error}")
