"""What runs server-side tools: one file per kind, all behind the port `ToolExecutor`; `internal/` has our own tools.

An executor waits for the outside and decides nothing: arguments were checked and people asked before it is called, and
timeouts, retries, size limits and the invocation's one end are its caller's (`agentkit.runtime.executions`). It gives
back a `Produced`, hands the call to something whose end settles it (`Elsewhere`), or raises `ToolFailure` with what the
model should read. Any other exception is a bug, told to the model as "internal error" and logged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

from agentkit.runtime.lineage import Asker
from agentkit.runtime.records import InvocationRecord
from agentkit.wire import AgentTool, InterruptReason, ToolType

if TYPE_CHECKING:  # the rows of a chat name executors' results themselves
    from agentkit.runtime.ports import ModelRequest
    from agentkit.runtime.work import Work

__all__ = [
    "Answered",
    "Elsewhere",
    "Execution",
    "Gone",
    "NotDone",
    "Produced",
    "Reconciler",
    "ToolDesk",
    "ToolExecutor",
    "ToolFailure",
    "ToolFile",
    "Unsure",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Execution:
    """One call to carry out. The same `idempotency_key` comes with every attempt, after a restart too."""

    invocation_id: str
    chat_id: str
    run_id: str
    owner: str
    tool: AgentTool  # as the chat has it, bound
    arguments: Mapping[str, Any]  # they fit the tool's schema
    context: Mapping[str, str]  # the chat's variables
    idempotency_key: str
    attempt: int = 1
    askers: Sequence[Asker] = ()  # the chats above, where this one is a sub-agent's


@dataclass(frozen=True, slots=True)
class ToolFile:
    """A file of a result, stored already: `uri` is `inf://files/...`, or a public URL."""

    uri: str
    content_type: str = ""
    filename: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Produced:
    """What a tool gave back. `text` is what the model reads; images among the files are shown to it."""

    text: str
    data: Any = None  # the same as JSON, where it has a structure
    files: Sequence[ToolFile] = ()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The call goes on somewhere else: a task, a child chat, somebody who calls back. Its end settles the invocation.

    `start` is called in the transaction that lets go of the call, with the invocation as it is; what it returns is the
    invocation as it leaves it, open. It is not called where the call is over by then.
    """

    start: Callable[[Work, InvocationRecord], InvocationRecord]


@dataclass(frozen=True, slots=True)
class NotDone:
    """What a reconciling executor found: no attempt at the call had its effect, so it may be made again."""


@dataclass(frozen=True, slots=True)
class Unsure:
    """Nobody knows what came of the call; `why` is a sentence for the person who is asked, without secrets."""

    why: str


class ToolFailure(Exception):
    """The tool failed, and the model reads why: `text` names the thing and the way out, never a secret.

    `had_effect` False: surely nothing happened (refused, not connected), so it may be tried again whatever it does;
    None: not known, so only an idempotent tool is. `is_transient`: trying again may help at all, and not before
    `retry_after_seconds`.
    """

    def __init__(
        self,
        text: str,
        *,
        data: Any = None,
        is_transient: bool = False,
        had_effect: bool | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(text)
        self.text = text
        self.data = data
        self.is_transient = is_transient
        self.had_effect = had_effect
        self.retry_after_seconds = retry_after_seconds


class Gone(Exception):
    """The call is over (stopped, timed out, answered by somebody else): there is nothing left to do for it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a person said to a question of a tool: `data` where it was allowed, None where denied or expired."""

    is_allowed: bool
    data: Any = None
    note: str = ""


class ToolDesk(Protocol):
    """What an executor may ask the platform for while it carries out a call."""

    async def progress(
        self, call: Execution, message: str = "", *, progress: float | None = None, total: float | None = None
    ) -> None:
        """Tells the chat's watchers how far the call is (a live frame `tool_progress`; never stored)."""
        ...

    async def keep(self, owner: str, content: bytes, *, filename: str, content_type: str = "") -> ToolFile:
        """Stores bytes among the owner's files. Raises ToolFailure where they are too many."""
        ...

    async def read(self, owner: str, uri: str) -> tuple[bytes, str] | None:
        """The bytes and content type of a file of the owner's; None where there is no such file."""
        ...

    async def ask(
        self, call: Execution, reason: InterruptReason, meta: Mapping[str, Any], *, schema: Mapping[str, Any] | None
    ) -> Answered:
        """Asks a person and waits for the answer, which fits `schema`; the call's own timeout stands still meanwhile.

        It is an interrupt of the chat, in the inbox with the approvals. Raises Gone.
        """
        ...

    async def sample(self, call: Execution, request: ModelRequest) -> str:
        """The answer of the chat's own model, on the budget of its run. Raises ToolFailure, Gone."""
        ...

    async def change(self, call: Execution, change: Callable[[Work, InvocationRecord], T]) -> T:
        """Changes the invocation in a transaction, while this call is still ours. Raises Gone."""
        ...


class ToolExecutor(Protocol):
    """Carries out the calls of one kind of tool. One object per platform, used by many calls at a time."""

    kinds: ClassVar[tuple[ToolType, ...]]

    def run(self) -> AbstractAsyncContextManager[None]:
        """While entered, calls may be carried out: connections live here. Leaving closes what it opened."""
        ...

    async def bind(self, tool: AgentTool, *, owner: str) -> Sequence[AgentTool]:
        """The tool as this chat will have it: its input schema filled in, one that stands for many spelt out.

        Called for each message. Raises Fault where the definition could never work, or needs what is not there.
        """
        ...

    def is_stale(self, tool: AgentTool) -> bool:
        """Whether a bound tool would be bound differently now. Asked before every model call; waits for nothing."""
        ...

    def is_idempotent(self, call: Execution) -> bool:
        """Whether a second attempt does no harm, where the tool itself does not say so."""
        ...

    async def execute(self, call: Execution, desk: ToolDesk) -> Produced | Elsewhere:
        """Carries out the call. Raises ToolFailure. Cancelled where the call is stopped or out of time."""
        ...


@runtime_checkable
class Reconciler(Protocol):
    """An executor that can find out what came of a call whose answer was lost."""

    def reconciles(self, call: Execution) -> bool:
        """Whether it can for this call."""
        ...

    async def reconcile(self, call: Execution, desk: ToolDesk) -> Produced | NotDone | Unsure:
        """What came of the attempts so far; without an effect of its own. Raises ToolFailure where nobody can tell."""
        ...
