"""What a turn tells its caller: one union of typed events, made from what the machine emits.

    for event in turn:
        match event:
            case TextDelta():
                print(event.text, end="")
            case ApprovalRequested():
                agent.approve(event.interrupt.resource_id)

Every event has `kind`, `seq` (rises by one per event of the turn), `chat_id` and `run_id`. What agents below do comes
wrapped: `case ChildEvent(event=TextDelta(text=text))`. Folding a turn's events
gives what `run` returns: there is one loop, and not streaming is consuming the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any, ClassVar, TypeAlias

from pydantic_core import from_json, to_json

from agentkit.protocol.deltas import Accumulator, Applied
from agentkit.protocol.effects import Emit, RunTool, Settle
from agentkit.protocol.lines import is_object
from agentkit.protocol.news import RUN_PHASES, Phase
from agentkit.protocol.verdicts import Verdicts
from agentkit.wire import AgentRun, Chat, ChatMessage, Interrupt, ToolCall, ToolInvocation, is_message_ready

__all__ = [
    "ApprovalRequested",
    "ApprovalResolved",
    "ChatChanged",
    "ChildEvent",
    "Fault",
    "LinkChanged",
    "MessageChanged",
    "OutputPartial",
    "ReasoningDelta",
    "RunFinished",
    "RunStarted",
    "Story",
    "TextDelta",
    "ToolAwaited",
    "ToolCalled",
    "ToolFinished",
    "ToolProgress",
    "ToolStarted",
    "TurnEvent",
    "Unknown",
]

FINISH = "finish"  # the internal tool whose arguments are the output (protocol.md 6.9)
_SETTLED = ("completed", "failed", "cancelled")  # how an invocation ends


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    seq: int = 0
    chat_id: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(_Event):
    """The platform works on the message."""

    kind: ClassVar[str] = "run_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta(_Event):
    """The answer grew by `text`; `snapshot` is the message's whole text so far."""

    kind: ClassVar[str] = "text_delta"
    message_id: str
    text: str
    snapshot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDelta(_Event):
    """The model's reasoning grew by `text`."""

    kind: ClassVar[str] = "reasoning_delta"
    message_id: str
    text: str
    snapshot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPartial(_Event):
    """The output as far as the model has written it: half-finished text and missing members included."""

    kind: ClassVar[str] = "output_partial"
    message_id: str
    partial: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled(_Event):
    """The model called a tool; `invocation.status` says who acts next."""

    kind: ClassVar[str] = "tool_called"
    invocation: ToolInvocation


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted(_Event):
    """A handler here runs a client tool."""

    kind: ClassVar[str] = "tool_started"
    invocation: ToolInvocation


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAwaited(_Event):
    """A client tool waits, and no handler here answers it: `submit_tool_result(invocation.id, ...)` does."""

    kind: ClassVar[str] = "tool_awaited"
    invocation: ToolInvocation


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolProgress(_Event):
    """A tool told how far it is: a handler here (`ctx.progress(...)`), or a tool that the platform runs.

    `fraction` is from 0 to 1, where it is known. What the platform runs may count in units of its own, `progress` of
    `total`, and one of the two may be missing.
    """

    kind: ClassVar[str] = "tool_progress"
    invocation_id: str
    message: str = ""
    fraction: float | None = None
    data: Any = None
    progress: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished(_Event):
    """A tool call has its one result: completed, failed or cancelled."""

    kind: ClassVar[str] = "tool_finished"
    invocation: ToolInvocation


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequested(_Event):
    """The run waits for a person's answer."""

    kind: ClassVar[str] = "approval_requested"
    interrupt: Interrupt


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalResolved(_Event):
    """Somebody answered, or the time was over; the next events tell what came of it."""

    kind: ClassVar[str] = "approval_resolved"
    interrupt: Interrupt


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageChanged(_Event):
    """A message as it is now, whole."""

    kind: ClassVar[str] = "message_changed"
    message: ChatMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatChanged(_Event):
    """The chat as it is now, without its messages."""

    kind: ClassVar[str] = "chat_changed"
    chat: Chat


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEvent(_Event):
    """An event of an agent below this one: one that it asked with a tool, or that one asked in turn.

    `event` is told by the other agent's chat, with that one's `chat_id` and `run_id` and a `seq` of its own.
    `invocation_id` is this chat's own call that led there; `depth` is 1 for the agent asked, 2 for one that it asks.
    What waits for a person is told by this chat itself, as ApprovalRequested.
    """

    kind: ClassVar[str] = "child_event"
    invocation_id: str
    depth: int
    event: TurnEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChanged(_Event):
    """How we hear of the chat changed: connecting, live, silent, backoff, polling, down."""

    kind: ClassVar[str] = "link_changed"
    state: str
    was: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(_Event):
    """Something went wrong that does not end the turn: a bad line, a result that could not be posted."""

    kind: ClassVar[str] = "fault"
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(_Event):
    """The end of the turn. `outcome` is the turn machine's word (`protocol/effects.py`); `run` as last heard."""

    kind: ClassVar[str] = "run_finished"
    outcome: str
    detail: str = ""
    run: AgentRun | None = None
    error: Exception | None = None
    maybe_sent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(_Event):
    """An event of a newer platform, as it came."""

    kind: ClassVar[str] = "unknown"
    name: str
    data: Any = None


TurnEvent: TypeAlias = (
    RunStarted
    | TextDelta
    | ReasoningDelta
    | OutputPartial
    | ToolCalled
    | ToolStarted
    | ToolAwaited
    | ToolProgress
    | ToolFinished
    | ApprovalRequested
    | ApprovalResolved
    | MessageChanged
    | ChatChanged
    | ChildEvent
    | LinkChanged
    | Fault
    | RunFinished
    | Unknown
)
"""Everything a turn can tell."""


@dataclass
class _Spoken:
    """One message's text, put together from deltas and snapshots, whichever comes first."""

    said: Accumulator = field(default_factory=Accumulator)
    text: str = ""
    reasoning: str = ""
    delta_seq: int = 0  # the last delta in `text`, where the platform tells
    snapshot_seq: int = 0  # the same of the last snapshot
    saw_delta: bool = False
    is_over: bool = False

    def takes(self, seq: Any) -> bool:
        """Whether a delta of this seq goes on exactly where the text ends; a later one waits for a snapshot."""
        if not isinstance(seq, int):
            return True
        if seq == self.delta_seq + 1 or (seq == 0 and not self.text):
            self.delta_seq = seq
            return True
        return False

    def catch_up(self, message: ChatMessage, seq: int) -> None:
        """Goes on behind a snapshot that holds every delta up to `seq`, some of which were never heard."""
        self.snapshot_seq = seq
        self.delta_seq = max(self.delta_seq, seq)
        if seq > (self.said.seq or 0):
            calls = [call for part in message.content or () for call in part.tool_calls or ()]
            written = [_written(call, place) for place, call in enumerate(calls)]
            said = {"response": _text(message, "text"), "reasoning": _text(message, "reasoning"), "tool_calls": written}
            self.said.restore(said, seq=seq)


@dataclass
class Story:
    """Makes events out of emits. One per turn; pure, but for what it remembers of the messages.

    `sends`: the turn sends a message, so what is finished before the platform took it may be an earlier turn's.
    `is_child`: it is told inside another one, of the chat of an agent below. `verdicts`: of the program's own rules;
    what they answer is not asked of a person, and so not told.
    """

    chat_id: str | None = None
    sends: bool = False
    is_child: bool = False
    run_id: str | None = None
    verdicts: Verdicts = field(default_factory=Verdicts)
    _seq: int = 0
    _started: bool = False
    _spoken: dict[str, _Spoken] = field(default_factory=dict[str, _Spoken])
    _tools: dict[str, str] = field(default_factory=dict[str, str])  # invocation id -> status last told
    _open: dict[str, Interrupt] = field(default_factory=dict[str, Interrupt])
    _resolved: set[str] = field(default_factory=set[str])
    _chat_at: datetime | None = None
    _told: dict[str, Any] = field(default_factory=dict[str, Any])  # message id -> as last told
    _held: list[Mapping[str, Any]] = field(
        default_factory=list[Mapping[str, Any]]
    )  # messages of nobody knows which run
    _output: tuple[str, float, Mapping[str, Any]] = ("", 0, {})  # message, length of the arguments' text, as last told
    _from_order: int = -1
    _is_over: bool = False  # of a child: its end was told
    _below: dict[str, _Below] = field(default_factory=dict[str, "_Below"])  # by chat

    def began(self, reply: Any) -> None:
        """The answer of POST /agents/run: what a fetch brings of earlier runs is not this turn's."""
        self.sends = False
        if is_object(reply):
            messages = [reply.get(name) for name in ("user_message", "assistant_message")]
            self._began([each for each in messages if is_object(each)])

    def _began(self, messages: list[Mapping[str, Any]]) -> None:
        for message in messages:
            self.chat_id = message.get("chat_id") or self.chat_id
            self.run_id = message.get("agent_run_id") or self.run_id
            order = message.get("order")
            if isinstance(order, int) and order >= 0:
                self._from_order = order if self._from_order < 0 else min(order, self._from_order)

    def tell(self, emit: Emit) -> Iterator[TurnEvent]:
        """The events of one emit."""
        match emit.kind:
            case "wire":
                yield from self._wire(emit)
            case "tool_call":
                invocation = ToolInvocation.parse(emit.data)
                yield from self._at(invocation.id, lambda story: story._awaited(invocation))
            case "progress":
                yield from self._at(emit.data["invocation_id"], lambda story: story._progress(emit.data))
            case "error":
                yield Fault(**self._head(), error=emit.data)
            case "link":
                yield LinkChanged(**self._head(), state=emit.data["state"], was=emit.data["was"])
            case "parked":
                yield from self._asked([Interrupt.parse(each) for each in emit.data["interrupts"]])
            case "asked":
                yield from self._asked([Interrupt.parse(emit.data)])
            case "unparked" | "update":
                pass  # the interrupts themselves tell it, through the chat

    def finish(self, settle: Settle) -> Iterator[TurnEvent]:
        """The last events: what was held back until the platform took the message, which may be all of the run."""
        run = AgentRun.parse(settle.run) if settle.run and "state" in settle.run else None
        if run is not None and run.id:
            self.run_id = run.id
        if not self.sends:
            yield from self._release(self.run_id)
        yield RunFinished(
            **self._head(),
            outcome=settle.outcome,
            detail=settle.detail,
            run=run,
            error=settle.error,
            maybe_sent=settle.maybe_sent,
        )

    def started(self, effect: RunTool) -> Iterator[TurnEvent]:
        """A handler here begins."""
        invocation = ToolInvocation.parse(effect.invocation)
        yield from self._at(invocation.id, lambda story: story._began_call(invocation))

    # -- agents below ----------------------------------------------------------------------------------------------

    def _child(self, data: Mapping[str, Any]) -> Iterator[TurnEvent]:
        """What the chat of an agent below said; one that says it badly was complained about by the machine."""
        chat_id, invocation_id, depth = data.get("chat_id"), data.get("invocation_id"), data.get("depth")
        event, inner = data.get("event"), data.get("data")
        if isinstance(chat_id, str) and isinstance(invocation_id, str) and isinstance(event, str) and is_object(inner):
            if chat_id not in self._below:
                story = Story(chat_id=chat_id, is_child=True)
                self._below[chat_id] = _Below(story, invocation_id, depth if isinstance(depth, int) else 1)
            below = self._below[chat_id]
            yield from self._wrapped(below, below.story.tell(Emit("wire", inner, event)))

    def _at(self, invocation_id: str, told: Callable[[Story], Iterator[TurnEvent]]) -> Iterator[TurnEvent]:
        """The events of a call, as events of the chat that it was made in."""
        below = next((each for each in self._below.values() if invocation_id in each.story._tools), None)
        yield from told(self) if below is None else self._wrapped(below, told(below.story))

    def _wrapped(self, below: _Below, events: Iterator[TurnEvent]) -> Iterator[TurnEvent]:
        for event in events:
            yield ChildEvent(**self._head(), invocation_id=below.invocation_id, depth=below.depth, event=event)

    # -- parts -----------------------------------------------------------------------------------------------------

    def _awaited(self, invocation: ToolInvocation) -> Iterator[TurnEvent]:
        yield from self._call_first(invocation)
        yield ToolAwaited(**self._head(), invocation=invocation)

    def _began_call(self, invocation: ToolInvocation) -> Iterator[TurnEvent]:
        yield from self._call_first(invocation)
        yield ToolStarted(**self._head(), invocation=invocation)

    def _progress(self, data: Mapping[str, Any]) -> Iterator[TurnEvent]:
        yield ToolProgress(**self._head(), **data)

    def _counted(self, data: Mapping[str, Any]) -> Iterator[TurnEvent]:
        """How far a tool is that the platform runs."""
        id_, message = data.get("invocation_id"), data.get("message")
        if isinstance(id_, str):
            progress, total = _number(data.get("progress")), _number(data.get("total"))
            is_known = progress is not None and total is not None and 0 <= progress <= total and total > 0
            yield ToolProgress(
                **self._head(),
                invocation_id=id_,
                message=message if isinstance(message, str) else "",
                fraction=(progress or 0) / (total or 1) if is_known else None,
                progress=progress,
                total=total,
            )

    def _head(self) -> dict[str, Any]:
        self._seq += 1
        return {"seq": self._seq, "chat_id": self.chat_id, "run_id": self.run_id}

    def _wire(self, emit: Emit) -> Iterator[TurnEvent]:
        match emit.event:
            case "chat_messages" if emit.fetched or self._may_be_old(emit.data):
                self._held.append(emit.data)  # whose run they are is known with the chat, which comes last
            case "chat_messages" if self._is_ours(emit.data, self.run_id):
                self._held = [each for each in self._held if each.get("id") != emit.data.get("id")]  # this is newer
                yield from self._message(ChatMessage.parse(emit.data))
            case "chat_messages":
                pass  # an earlier run's, or the next one's
            case "chats" if emit.data.get("id") in (None, "", self.chat_id) or self.chat_id is None:
                yield from self._chat(Chat.parse(emit.data))
            case "chats":
                pass  # a child's, which has a stream of its own
            case "agent_runs":
                yield from self._run(AgentRun.parse(emit.data))
            case "delta":
                yield from self._delta(emit.data)
            case "tool_progress":
                yield from self._counted(emit.data)
            case "child":
                yield from self._child(emit.data)
            case "":
                pass
            case name:
                yield Unknown(**self._head(), name=name, data=emit.data)

    def _run(self, run: AgentRun) -> Iterator[TurnEvent]:
        is_ours = not self.sends and self.run_id in (None, run.id or None)
        if is_ours and not self._started and run.state in ("working", "submitted"):
            self.run_id = run.id or None
            yield from self._start()

    def _start(self) -> Iterator[TurnEvent]:
        """The run is at work: its state says so, or what it does."""
        if not self._started:
            self._started = True
            yield RunStarted(**self._head())

    def _chat(self, chat: Chat) -> Iterator[TurnEvent]:
        self.chat_id = chat.id or self.chat_id
        if chat.active_run is not None:
            yield from self._run(chat.active_run)
        if not self.sends:
            yield from self._catch_up(chat)
        if self._is_older(chat):
            return  # the stream's log comes up to where a fetch was already
        if "pending_interrupts" in chat.model_fields_set:  # an older platform does not say
            yield from self._interrupts([] if self.is_child else chat.pending_interrupts)
        yield ChatChanged(**self._head(), chat=chat)
        if self.is_child and chat.active_run is not None:
            yield from self._child_over(chat.active_run)

    def _child_over(self, run: AgentRun) -> Iterator[TurnEvent]:
        """The end of a child's run, told once, by the chat's word: that is its last one (protocol.md 7.2 rule 4)."""
        state = str(run.state)
        if not self._is_over and RUN_PHASES.get(state) is Phase.OVER:
            self._is_over = True
            yield RunFinished(**self._head(), outcome=state, detail=run.error or "", run=run)

    def _is_older(self, chat: Chat) -> bool:
        """Whether a later state of the chat was told."""
        changed = _changed_at(chat)
        if changed is not None and (self._chat_at is None or changed >= self._chat_at):
            self._chat_at = changed
        return changed is not None and changed != self._chat_at

    def _may_be_old(self, data: Mapping[str, Any]) -> bool:
        """Whether it is finished before our message was taken, and was not seen to grow."""
        return self.sends and data.get("id") not in self._spoken and is_message_ready(data.get("status"))

    def _catch_up(self, chat: Chat) -> Iterator[TurnEvent]:
        """What of the messages held back is this turn's."""
        yield from self._release(self.run_id or (chat.active_run.id if chat.active_run else None))

    def _release(self, run_id: str | None) -> Iterator[TurnEvent]:
        messages, self._held = self._held, []
        for data in messages:
            if self._is_ours(data, run_id):
                yield from self._message(ChatMessage.parse(data))

    def _is_ours(self, data: Mapping[str, Any], run_id: str | None) -> bool:
        of_run, order = data.get("agent_run_id"), data.get("order")
        if self.chat_id and data.get("chat_id") not in (None, "", self.chat_id):
            return False
        if of_run and run_id:
            return bool(of_run == run_id)
        return not isinstance(order, int) or order >= self._from_order

    def _call_first(self, invocation: ToolInvocation) -> Iterator[TurnEvent]:
        """A call is told before what comes of it: with its message where that is held back."""
        for data in list(self._held):
            message = ChatMessage.parse(data)
            if any(each.id == invocation.id for each in message.tool_invocations or ()):
                self._held.remove(data)
                yield from self._message(message)
        if invocation.id not in self._tools:
            yield from self._start()
            yield from self._invocation(invocation)

    def _asked(self, pending: list[Interrupt]) -> Iterator[TurnEvent]:
        """What the run is parked on, where an older copy of the chat, told later, hid it."""
        for interrupt in pending:
            if interrupt.id not in self._open:
                self._open[interrupt.id] = interrupt
                yield ApprovalRequested(**self._head(), interrupt=interrupt)

    def _interrupts(self, pending: list[Interrupt]) -> Iterator[TurnEvent]:
        now = {each.id: each for each in pending if each.status == "pending" and not self.verdicts.is_ours(each.id)}
        for id_, interrupt in list(self._open.items()):
            if id_ not in now:
                del self._open[id_]
                self._resolved.add(id_)
                yield ApprovalResolved(**self._head(), interrupt=interrupt)
        for id_, interrupt in now.items():
            if id_ not in self._open and id_ not in self._resolved:  # it leaves `pending` once
                self._open[id_] = interrupt
                yield ApprovalRequested(**self._head(), interrupt=interrupt)

    def _message(self, message: ChatMessage) -> Iterator[TurnEvent]:
        if self._told.get(message.id) == message or self._is_behind(message):
            return  # fetched again, and nothing new; or overtaken by a fetch, or by the stream
        self._told[message.id] = message
        yield from self._start()
        if message.role == "assistant":
            yield from self._grown(message)
            yield from self._handed_in(message.id, _finish_call(message))
        for invocation in message.tool_invocations or ():
            yield from self._invocation(invocation)
        yield MessageChanged(**self._head(), message=message)

    def _is_behind(self, message: ChatMessage) -> bool:
        """Whether this copy is older than what was told: fetches and the stream's log overtake each other."""
        spoken = self._spoken.get(message.id)
        if spoken is not None and not is_message_ready(message.status):
            seq = message.get("delta_seq")
            if spoken.is_over or (isinstance(seq, int) and seq < spoken.snapshot_seq):
                return True
        calls = message.tool_invocations or ()
        return any(self._tools.get(each.id) in _SETTLED and str(each.status) not in _SETTLED for each in calls)

    def _invocation(self, invocation: ToolInvocation) -> Iterator[TurnEvent]:
        told, status = self._tools.get(invocation.id), str(invocation.status)
        self._tools[invocation.id] = status
        if told is None:
            yield ToolCalled(**self._head(), invocation=invocation)
        if status in _SETTLED and told not in _SETTLED:
            yield ToolFinished(**self._head(), invocation=invocation)

    def _grown(self, message: ChatMessage) -> Iterator[TurnEvent]:
        """What a snapshot adds to what was told; a snapshot that went another way is told by MessageChanged alone."""
        spoken = self._spoken.setdefault(message.id, _Spoken())
        is_over = is_message_ready(message.status)
        if spoken.is_over:
            return
        delta_seq = message.get("delta_seq")
        if not is_over and spoken.saw_delta and delta_seq is None:
            return  # the deltas tell it, and nobody can say which of them this snapshot holds
        spoken.is_over = is_over
        if isinstance(delta_seq, int):
            spoken.catch_up(message, delta_seq)
        for kind, told in (("reasoning", spoken.reasoning), ("text", spoken.text)):
            whole = _text(message, kind)
            if whole.startswith(told) and len(whole) > len(told):
                yield self._grow(spoken, message.id, kind, whole[len(told) :])

    def _delta(self, data: Mapping[str, Any]) -> Iterator[TurnEvent]:
        message_id, delta, seq = data.get("resource_id"), data.get("delta"), data.get("seq")
        if not message_id or not is_object(delta):
            return  # a delta that names no message cannot be placed (protocol.md 6.10)
        spoken = self._spoken.setdefault(str(message_id), _Spoken())
        spoken.saw_delta = True
        applied = spoken.said.apply(delta, seq if isinstance(seq, int) else None)
        if spoken.is_over or not spoken.takes(seq):
            return
        yield from self._start()
        for kind, text in (("reasoning", delta.get("reasoning")), ("text", delta.get("response"))):
            if isinstance(text, str) and text:
                yield self._grow(spoken, str(message_id), kind, text)
        if isinstance(applied, Applied) and applied.tool_calls:
            yield from self._handed_in(str(message_id), _finish_call_said(spoken.said))

    def _handed_in(self, message_id: str, arguments: Any) -> Iterator[TurnEvent]:
        """The finish call's arguments, where they go further than what was told: text while they are written."""
        size = len(arguments) if isinstance(arguments, str) else inf
        partial = _partial(arguments)
        was_of, was_size, told = self._output
        if partial is None or (was_of == message_id and size <= was_size):
            return
        self._output = message_id, size, partial
        if partial != told or was_of != message_id:
            yield OutputPartial(**self._head(), message_id=message_id, partial=partial)

    def _grow(self, spoken: _Spoken, message_id: str, kind: str, text: str) -> TextDelta | ReasoningDelta:
        if kind == "text":
            spoken.text += text
            return TextDelta(**self._head(), message_id=message_id, text=text, snapshot=spoken.text)
        spoken.reasoning += text
        return ReasoningDelta(**self._head(), message_id=message_id, text=text, snapshot=spoken.reasoning)


@dataclass(frozen=True, slots=True)
class _Below:
    """An agent below this one: what its chat tells, and which call of ours led there."""

    story: Story
    invocation_id: str
    depth: int


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(message: ChatMessage, kind: str) -> str:
    return "".join(part.text or "" for part in message.content or () if part.type == kind)


def _changed_at(chat: Chat) -> datetime | None:
    """When the chat or its run changed last; None where the platform does not say."""
    told = [chat.updated_at, chat.active_run.updated_at if chat.active_run else ""]
    try:
        return max((datetime.fromisoformat(each) for each in told if each), default=None)
    except (ValueError, TypeError):  # no time, or one with a zone beside one without
        return None


def _written(call: ToolCall, place: int) -> dict[str, Any]:
    """A call of a message, as deltas write it."""
    arguments = call.function.arguments
    text = arguments if isinstance(arguments, str) else to_json(arguments).decode()
    return {"index": place, "id": call.id, "function": {"name": call.function.name, "arguments": text}}


def _finish_call(message: ChatMessage) -> Any:
    """The arguments of a message's finish call; None where it has none."""
    calls = [call for part in message.content or () for call in part.tool_calls or ()]
    functions = [each.function for each in (*calls, *(message.tool_invocations or ()))]
    return next((each.arguments for each in functions if each.name == FINISH), None)


def _finish_call_said(said: Accumulator) -> Any:
    """The same of a message that is being written."""
    functions: list[Mapping[str, Any]] = [call.get("function") or {} for call in said.tool_calls]
    return next((each.get("arguments") for each in functions if each.get("name") == FINISH), None)


def _partial(arguments: Any) -> Mapping[str, Any] | None:
    """An object as far as its text goes."""
    found: Any = arguments
    if isinstance(arguments, str):
        try:
            found = from_json(arguments, allow_partial="trailing-strings")
        except ValueError:
            return None
    return found if is_object(found) else None
