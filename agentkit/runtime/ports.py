"""The ports of the runtime: what it needs from a database, a queue, a wire between watchers, workers, and a model.

Each port is a small Protocol; its implementations live in the folder of its name, found by file name, and all pass the
port's conformance suite. The store is the truth; the others deliver at-least-once hints, so none is trusted for
correctness (design.md 8).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from agentkit.runtime.records import Record
from agentkit.wire import LLMDelta, TaskLogType, TaskStatus

R = TypeVar("R", bound=Record)
T = TypeVar("T")


# -- Store: the truth ----------------------------------------------------------------------------------------------


class Stale(Exception):
    """A compare-and-set lost: the row changed since it was read. Whoever loses reads again, or lets it be."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One entry of a chat's log. `seq` is gap-free per chat, from 1."""

    chat_id: str
    seq: int
    name: str  # chats, chat_messages, agent_runs, interrupts
    data: Mapping[str, Any]  # the whole DTO as it was then
    at: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Somebody should advance this chat, now or at a time (RFC 3339, the store's clock)."""

    chat_id: str
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """What a transaction changed, told after it is durable."""

    events: Mapping[str, int] = field(default_factory=dict[str, int])  # chat id -> its highest seq; task id -> version
    wakes: Sequence[Wake] = ()
    cuts: Sequence[str] = ()  # chats whose advance under way was overtaken: to be cut before anything is woken


class Reading(Protocol):
    """A consistent view of the store."""

    @property
    def now(self) -> str:
        """The store's clock, RFC 3339 in UTC with microseconds; one value per transaction."""
        ...

    def get(self, kind: type[R], id: str) -> R | None:
        """The record with this id, or None. An 8-character short id finds the record it is the prefix of."""
        ...

    def find(
        self,
        kind: type[R],
        *,
        order_by: str = "created_at",
        descending: bool = False,
        limit: int | None = None,
        after_id: str | None = None,
        **equals: Any,
    ) -> list[R]:
        """The records whose fields equal these (a tuple means any of them); ties in insertion order.

        `after_id` starts behind that record in the same order (keyset paging); [] where it is gone.
        """
        ...

    def events(self, chat_id: str, *, after: int = 0, limit: int = 1000) -> list[StoredEvent]:
        """The chat's log after `seq`, oldest first."""
        ...

    def event_range(self, chat_id: str) -> tuple[int, int]:
        """The lowest and highest `seq` kept for the chat; (1, 0) when the log is empty and was never pruned."""
        ...

    def wakes(self) -> list[Wake]:
        """Every wake-up that is recorded and not cleared, for the scan at boot and the sweeper."""
        ...


class Writing(Reading, Protocol):
    """A transaction: all of it happens, or nothing."""

    def insert(self, record: R) -> R:
        """Adds the record; returns it with `version` 1 and its times. Raises Stale if the id exists."""
        ...

    def update(self, record: R) -> R:
        """Replaces the row of the same id and version; returns it with the next version. Raises Stale if it changed."""
        ...

    def delete(self, record: Record) -> None:
        """Removes the row of the same id and version. Raises Stale if it changed."""
        ...

    def append(self, chat_id: str, name: str, data: Mapping[str, Any]) -> int:
        """Appends to the chat's log; returns the event's `seq`."""
        ...

    def prune_events(self, chat_id: str, *, keep_from: int) -> None:
        """Drops the chat's events below this seq."""
        ...

    def tell(self, id: str, version: int) -> None:
        """Hints to the watchers of this id that its record is at `version` now; nothing is appended to a log."""
        ...

    def wake(self, chat_id: str, *, at: str | None = None) -> None:
        """Records that the chat should be advanced, now or at a time; the earlier of two times stays.

        What is no chat is woken by `kind:id`, as in `task:7jnx8hn0...`.
        """
        ...

    def clear_wake(self, chat_id: str) -> None:
        """Forgets the chat's recorded wake-up."""
        ...

    def cut(self, chat_id: str) -> None:
        """The advance that is under way for the chat was overtaken by this change: told, so that it is cancelled."""
        ...


class Store(Protocol):
    """The truth. `write` runs its function alone, in one durable transaction; an exception from it rolls back."""

    async def open(self) -> None:
        """Opens or creates the database and brings its schema up to date. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Finishes what was accepted and closes."""
        ...

    async def write(self, change: Callable[[Writing], T]) -> T:
        """Runs `change` (no I/O, no waiting) in a transaction; returns when it is durable."""
        ...

    async def read(self, look: Callable[[Reading], T]) -> T:
        """Runs `look` on a consistent view, beside the writer."""
        ...

    def on_commit(self, told: Callable[[Commit], None]) -> None:
        """Calls this in the event loop after each commit that has something to tell."""
        ...


# -- Engine: wake-ups ----------------------------------------------------------------------------------------------


class Engine(Protocol):
    """Delivers wake-ups, at least once; one advance of a chat at a time in this process."""

    def run(self, advance: Callable[[str], Awaitable[None]]) -> AbstractAsyncContextManager[None]:
        """While entered, calls `advance(chat_id)` for every wake-up."""
        ...

    def wake(self, wake: Wake) -> None:
        """Hints that the chat should be advanced. Never blocks, never fails."""
        ...

    def cancel(self, chat_id: str) -> None:
        """Cancels the advance that is under way for the chat, if any; it is not repeated unless woken again."""
        ...


# -- Bus: watchers -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Live:
    """A frame that is not stored: a token delta, or a growing message."""

    name: str
    data: Mapping[str, Any]


class Subscription(Protocol):
    """One watcher of one chat."""

    async def next(self, timeout_seconds: float) -> list[Live] | None:
        """The live frames since the last call; [] when the log grew; None when the time is over."""
        ...


class Bus(Protocol):
    """Wakes the watchers of a chat and carries live frames to them."""

    def subscribe(self, chat_id: str) -> AbstractAsyncContextManager[Subscription]:
        """A subscription from when it is entered on. A slow one loses live frames, never hints."""
        ...

    def grew(self, chat_id: str, seq: int) -> None:
        """Tells that the chat's log grew to `seq`."""
        ...

    def live(self, chat_id: str, frame: Live) -> None:
        """Sends a frame that is not stored."""
        ...


# -- Fleet: where app functions run --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ticket:
    """A task that waits for a worker: what the queue needs to know. Tickets of one `lane` keep their order."""

    task_id: str
    lane: str  # who waits in line together: an owner's tasks of one app version
    version_id: str
    owner: str  # no other owner's tasks are run by the same process
    setup_key: str = ""  # equal where the setup is: such workers are warm
    session_id: str | None = None  # only this session's worker may run it
    workers: Sequence[str] = ()  # only these workers may, where any are named


@dataclass(frozen=True, slots=True)
class Source:
    """An app version made ready to be run on this machine."""

    folder: Path  # holds inf.yml and inference.py
    python: Path  # the interpreter of its environment
    env: Mapping[str, str] = field(default_factory=dict[str, str])  # its own variables and secrets, nothing else
    is_compat: bool = False  # `import inferencesh` means agentkit there
    memory_bytes: int | None = None
    home: Path | None = None  # the app's own, for what it downloads; else each process has one while it lives


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is given to do, once the task was claimed for it."""

    task_id: str
    app_id: str
    version_id: str
    function: str | None  # None: the app's default
    input: Any
    setup: Any
    owner: str
    timeout_seconds: float | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as an app sees it: bytes on this machine, and how the platform calls it."""

    path: Path
    uri: str = ""
    content_type: str = ""
    filename: str = ""
    size: int | None = None


TaskPart: TypeAlias = Literal["input", "setup"]
EndKind: TypeAlias = Literal["completed", "failed", "cancelled", "lost", "timeout"]


@dataclass(frozen=True, slots=True)
class End:
    """How a task ended. `lost`: its worker died; `timeout`: it ran out of time."""

    kind: EndKind
    output: Any = None
    error: str = ""


class Desk(Protocol):
    """What the fleet tells, and asks for: the platform's side of the port. Every method may be repeated safely."""

    async def claim(self, task_id: str, *, worker_id: str) -> Job | None:
        """Takes the task for this worker: it is dispatched now. None: it is over, cancelled, or somebody else's."""
        ...

    async def source(self, task_id: str, version_id: str) -> Source:
        """Makes the app version ready; the task is shown as preparing where that takes work. Raises AppError."""
        ...

    async def moved(self, task_id: str, *statuses: TaskStatus) -> bool:
        """The task went through these statuses. False: it is to be cancelled, or over already; go no further."""
        ...

    async def fetch(self, task_id: str, folder: Path, *, part: TaskPart = "input") -> Mapping[str, LocalFile]:
        """The platform's own files that this part of the task names, by URI, put into `folder`. Raises AppError."""
        ...

    async def keep(self, task_id: str, file: LocalFile) -> dict[str, Any]:
        """Stores a file that the app made; returns what stands for it in the output (`{"uri": ...}`)."""
        ...

    def logged(self, task_id: str, kind: TaskLogType, text: str) -> None:
        """The app printed this. Never blocks; what is too much is dropped with a line that says so."""
        ...

    async def produced(self, task_id: str, output: Any) -> None:
        """The output so far: it replaces what was told before."""
        ...

    async def ended(self, task_id: str, end: End) -> None:
        """The task is over; the first end counts."""
        ...

    async def worker_lost(self, session_id: str, reason: str) -> None:
        """The session's worker is gone: the session is over."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker, for people who look."""

    id: str
    pid: int | None
    version_id: str
    session_id: str | None
    state: str  # starting, idle, busy, stopping
    task_id: str | None
    calls: int
    rss_bytes: int | None


@dataclass(frozen=True, slots=True)
class FleetState:
    """The pool, for people who look; counters since the start."""

    size: int
    queued: int
    workers: Sequence[WorkerInfo]
    counters: Mapping[str, int]  # started, lost, released, killed, completed, failed, cancelled, warm, cold


class Fleet(Protocol):
    """Runs app functions, one at a time per worker. Losing it loses no task: the store knows which are open."""

    def run(self, desk: Desk) -> AbstractAsyncContextManager[None]:
        """While entered, workers take tickets; leaving ends every worker and whatever it started."""
        ...

    def submit(self, ticket: Ticket) -> None:
        """Queues the task. Never blocks, never fails; a task that is queued or running already is not queued twice."""
        ...

    def cancel(self, task_id: str, *, timeout_seconds: float | None = None, force: bool = False) -> bool:
        """Cancels the task here: dropped from the queue, or its app is asked, then told, then killed.

        `timeout_seconds`: how long it may take on its own; `force`: it is killed at once. False: it is not here.
        """
        ...

    def lease(self, session_id: str, *, workers: Sequence[str] = ()) -> bool:
        """Keeps a place for a session's worker. False: every worker (that is named) is leased to another one."""
        ...

    def release(self, session_id: str) -> None:
        """Ends the session's worker, after what it is doing."""
        ...

    def state(self) -> FleetState:
        """How the pool is doing."""
        ...


# -- ModelProvider -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelTool:
    """A tool as a model sees it."""

    name: str
    description: str
    parameters: Mapping[str, Any]  # JSON Schema of the arguments


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A call the model made in an earlier message."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelMessage:
    """One message of the conversation: `role` is user, assistant or tool."""

    role: str
    text: str = ""
    images: Sequence[str] = ()  # URIs
    files: Sequence[str] = ()  # URIs
    calls: Sequence[ModelCall] = ()
    call_id: str | None = None  # role tool: which call this answers


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Everything a model is asked with. Always provider-valid: every call is answered before the next message."""

    model: str  # the part of the reference after the provider
    system_prompt: str
    messages: Sequence[ModelMessage]
    tools: Sequence[ModelTool] = ()
    output_schema: Mapping[str, Any] | None = None  # answer by calling `finish`, whose parameters are this schema
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])  # core_app.input: temperature, ...


class ModelProvider(Protocol):
    """Something that answers. One file per provider in `runtime/models/`."""

    name: str  # the first part of a reference: `openai` in `openai/gpt-5-mini`

    def stream(self, request: ModelRequest) -> AsyncGenerator[LLMDelta]:
        """The answer as deltas (protocol.md 6.10), the last one with `usage`. Raises ModelError."""
        ...
