"""What the turn machine and the task machine ask of their driver. Values only; the driver acts.

What each effect is answered with (an input of the machine that asked) stands in its docstring. A driver does the
effects in the order given, answers each one exactly once, and stops at `Settle`, which is the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = [
    "Allow",
    "CancelTool",
    "CloseStream",
    "Effect",
    "Emit",
    "EmitKind",
    "FetchChat",
    "FetchStatus",
    "FetchTask",
    "Judge",
    "OpenStream",
    "OpenTaskStream",
    "Outcome",
    "PostCancel",
    "PostDecision",
    "PostResult",
    "PostRun",
    "PostStop",
    "PostTask",
    "PostUnknown",
    "RunTool",
    "Settle",
    "StartTimer",
    "TaskOutcome",
    "Timer",
    "WatchEffect",
]

Outcome: TypeAlias = Literal["completed", "failed", "canceled", "rejected", "refused", "lost", "left", "parked"]
"""How a turn ends. completed, failed, canceled, rejected: the run's own last word (or the caller's stop). refused: the
message was not taken. lost: no way to hear of the run any more. left: only we stopped listening. parked: the run waits
for a person, and the caller asked to have control back."""

TaskOutcome: TypeAlias = Literal["completed", "failed", "cancelled", "refused", "lost", "left"]
"""How watching a task ends; cancelled has two l here, as on the wire (protocol.md 2.4)."""

EmitKind: TypeAlias = Literal["wire", "parked", "unparked", "asked", "tool_call", "progress", "error", "link", "update"]


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer's name and its number; only the newest number of a name means anything."""

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Answer after `seconds` with `timer(timer)`. Replaces a running timer of the same name.

    The pause is exact: a driver that wants jitter on `retry` adds it.
    """

    timer: Timer
    seconds: float


@dataclass(frozen=True, slots=True)
class OpenStream:
    """GET /chats/{chat_id}/stream, from the log's entry after `after` where that is not None.

    Inputs, all with this `attempt`: `stream_opened` when the response's headers are there and it is 2xx, `wire` per
    line, `bad_event` per line that cannot be read, then `stream_lost` once, unless `CloseStream` came first.
    """

    chat_id: str
    attempt: int
    after: int | None = None


@dataclass(frozen=True, slots=True)
class OpenTaskStream:
    """GET /tasks/{task_id}/stream. Inputs as for `OpenStream`."""

    task_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Close that attempt's response. What it still delivers is ignored, and so is closing it twice."""

    attempt: int


@dataclass(frozen=True, slots=True)
class PostRun:
    """POST /agents/run with this body. Input: `accepted(reply)` or `refused(error)`."""

    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PostStop:
    """POST /chats/{chat_id}/stop. Input: `stop_failed(error)`, or nothing."""

    chat_id: str


@dataclass(frozen=True, slots=True)
class FetchChat:
    """GET /chats/{chat_id}, its messages where the answer lacks `chat_messages`, and `with_children` those below it.

    Input: `fetched(seq, chat, messages, children)` or `fetch_failed(seq, error)`.
    """

    chat_id: str
    seq: int
    with_children: bool = False


@dataclass(frozen=True, slots=True)
class RunTool:
    """Call the local handler, off the reader. Input: `tool_finished(id, result)`; an exception is a result too.

    Where it was begun before: `tool_unknown(id, why)` if nobody can say what came of it, `tool_taken(id)` if another
    process runs it. Of a call in the chat of an agent below this one: that chat, and as `agent` the tool that this
    agent asked it with. `attempt`: the platform's count, 0 where it has none.
    """

    id: str
    name: str
    args: Mapping[str, Any]
    invocation: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    chat_id: str | None = None
    agent: str | None = None
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Judge:
    """Ask the program's rule whether a person is needed for this call, off the reader.

    Input: `judged(id, needs_person=...)`; a rule that raises, or takes too long, needs one. `id` is the question's;
    `agent` as in `RunTool`.
    """

    id: str
    invocation_id: str
    name: str
    args: Mapping[str, Any]
    chat_id: str
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Allow:
    """POST /interrupts/{id}/resolve: what the rule allowed, with what it was shown.

    Input: `allowed(id)` or `allow_failed(id, error)`.
    """

    id: str
    arguments_hash: str
    note: str


@dataclass(frozen=True, slots=True)
class CancelTool:
    """Nobody waits for that handler any more: cancel it where it can be; a result it still gives is ignored."""

    id: str


@dataclass(frozen=True, slots=True)
class PostResult:
    """POST /tools/{id}; retrying is the transport's. Input: `result_posted(id)` or `result_failed(id, error)`.

    Send it to its end even when `Settle` follows: the result of a handler that has run must not get lost.
    """

    id: str
    result: str


@dataclass(frozen=True, slots=True)
class PostUnknown:
    """POST /tools/{id}/unknown: this attempt was begun, and nobody can say what came of it.

    Input: `unknown_told(id)` or `unknown_failed(id, error, result)`, with the text to post where the platform has no
    such endpoint.
    """

    id: str
    attempt: int
    note: str


@dataclass(frozen=True, slots=True)
class PostDecision:
    """POST /tools/{id}/invoke or /reject. Input: `decision_failed(id, error)`, or nothing.

    `arguments_hash`: of what was shown. `always`: the wire form of an `Always`. `by`: who decides.
    """

    id: str
    approve: bool
    args: Mapping[str, Any] | None = None
    note: str = ""
    arguments_hash: str | None = None
    always: Mapping[str, Any] | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class PostTask:
    """POST /apps/run with this body. Input: `accepted(task)` or `refused(error)`."""

    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PostCancel:
    """POST /tasks/{task_id}/cancel. Input: `stop_failed(error)`, or nothing."""

    task_id: str


@dataclass(frozen=True, slots=True)
class FetchTask:
    """GET /tasks/{task_id}. Input: `fetched(seq, task)` or `fetch_failed(seq, error)`."""

    task_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class FetchStatus:
    """GET /tasks/{task_id}/status. Input: `status_fetched(seq, status)` or `fetch_failed(seq, error)`."""

    task_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the caller. By `kind`:

    | kind | data |
    |---|---|
    | wire | what the stream said (or, with `fetched`, a GET): `event` is its name, `cursor` its place in the log, `fields` the changed members of a partial object |
    | parked | `{"run", "interrupts", "invocations"}`: a person is waited for; again when what is waited for changes |
    | unparked | `{"run"}`: it goes on |
    | asked | an interrupt that the program's own rule was asked about, and a person has to answer after all |
    | tool_call | a client-tool invocation that nobody here handles; `submit(id, result)` answers it |
    | progress | `{"invocation_id", "message", "fraction", "data"}`: a local handler's word; made by the driver, no machine does |
    | error | an exception that does not end the turn |
    | link | `{"state", "was"}`: how we hear of the chat changed (`link.LinkState` in lower case) |
    | update | a task: the whole of it as merged so far; `fields` what changed, empty for "anything" |
    """  # noqa: E501  (a table row is one line)

    kind: EmitKind
    data: Any
    event: str = ""
    cursor: int | None = None
    fields: tuple[str, ...] = ()
    fetched: bool = False


@dataclass(frozen=True, slots=True)
class Settle:
    """The end; nothing follows. `detail` says why in a sentence where the outcome does not.

    `run` is the run (or task) as last heard, `error` what made it refused or lost, and `maybe_sent` says that the
    message may have been taken although nobody told us.
    """

    outcome: Outcome | TaskOutcome
    detail: str = ""
    run: Mapping[str, Any] | None = None
    error: Exception | None = None
    maybe_sent: bool = False


Effect: TypeAlias = (
    OpenStream
    | CloseStream
    | StartTimer
    | PostRun
    | PostStop
    | PostResult
    | PostUnknown
    | PostDecision
    | FetchChat
    | RunTool
    | Judge
    | Allow
    | CancelTool
    | Emit
    | Settle
)
"""What a `TurnMachine` asks for."""

WatchEffect: TypeAlias = (
    OpenTaskStream | CloseStream | StartTimer | PostTask | PostCancel | FetchTask | FetchStatus | Emit | Settle
)
"""What a `WatchMachine` asks for."""
