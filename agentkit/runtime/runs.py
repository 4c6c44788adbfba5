"""A run from its message to its end: start, begin, stop, end. Transaction functions: no I/O, no waiting.

The order in which the events are told is the protocol's (protocol.md 7.2 rules 1 and 4): busy first, then the user's
message and the pending answer; at the end the message, the run, and last the chat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentkit.runtime import children, dto, invocations, journal, moves
from agentkit.runtime.faults import Fault
from agentkit.runtime.hooks import inquiry
from agentkit.runtime.ids import new_id
from agentkit.runtime.moments import later
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import ChatRecord, InvocationRecord, MessageRecord, RunAgent, RunRecord
from agentkit.runtime.states import INTERRUPT, INVOCATION, RUN, InterruptEvent, InvocationEvent, RunEvent, after
from agentkit.runtime.work import Work
from agentkit.wire import (
    AgentConfig,
    AgentRunState,
    ChatMessageContentType,
    ChatMessageRole,
    ChatMessageStatus,
    ChatStatus,
    ToolType,
)

__all__ = ["KEEP_EVENTS", "Asking", "Start", "begin", "end", "keep_said", "new_answer", "start", "stop"]

KEEP_EVENTS = 2_000  # of a chat's log, older than the run that begins; a cursor below gets a snapshot

_MESSAGE_AFTER = {
    AgentRunState.COMPLETED: ChatMessageStatus.READY,
    AgentRunState.FAILED: ChatMessageStatus.FAILED,
    AgentRunState.CANCELED: ChatMessageStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Asking:
    """A call of another chat, which a new chat's first run answers. `waits`: it begins when a sibling has ended."""

    chat_id: str
    invocation_id: str
    depth: int  # of the new chat
    budget_id: str
    result_chars: int = 0
    timeout_seconds: float | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """A message for an agent, everything in it resolved. `agent` None: the chat's own."""

    owner: str
    text: str
    chat_id: str | None = None
    agent: AgentConfig | None = None
    given: AgentConfig | None = None  # the agent as it came, where it was bound since
    agent_ref: str | None = None
    agent_id: str | None = None
    agent_version_id: str | None = None
    name: str = ""
    context: dict[str, str] = field(default_factory=dict[str, str])
    attachments: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    on_busy: str = "queue"  # queue | reject | interrupt
    asking: Asking | None = None


def start(tx: Writing, request: Start) -> dict[str, Any]:
    """Takes the message: the reply of POST /agents/run. A busy chat queues it, refuses it, or drops what it does."""
    work = _chat_for(tx, request)
    if work.open_run and request.on_busy == "reject":
        raise Fault("chat_busy", f"chat {work.chat.id!r} is busy; wait for it, stop it, or send with on_busy='queue'")
    if work.open_run and request.on_busy == "interrupt":
        stop(work)
    run, user, answer = _new_run(work, request)
    if request.asking is None or not request.asking.waits:
        if work.open_run is None and not [each for each in work.queued() if each.id != run.id]:
            run = begin(work, run)
        tx.wake(work.chat.id)
    return {
        "user_message": dto.message(tx, work.message(user.id)),
        "assistant_message": dto.message(tx, work.message(answer.id)),
    }


def begin(work: Work, run: RunRecord) -> RunRecord:
    """The run's turn has come: the chat is busy with it, and its two messages get their places."""
    last = work.tx.event_range(work.chat.id)[1]
    if last > KEEP_EVENTS:
        work.tx.prune_events(work.chat.id, keep_from=last - KEEP_EVENTS)
    agent = _new_definition(work, run)
    deadline = later(work.tx.now, run.timeout_seconds) if run.timeout_seconds else None
    run = work.save(run, state=after(RUN, run.state, RunEvent.BEGIN), agent=None, deadline=deadline)
    if deadline:
        work.tx.wake(children.wake_key(run.id), at=deadline)
    work.save_chat(status=ChatStatus.BUSY, run_id=run.id, output=None, **_taken_over(agent))
    for message_id, status in (
        (run.user_message_id, ChatMessageStatus.READY),
        (run.assistant_message_id, ChatMessageStatus.PENDING),
    ):
        message = work.message(message_id)
        work.save(message, status=status, order=work.take_order())
    work.tell_chat()
    work.tell_run(run)
    work.tell_message(run.user_message_id)
    work.tell_message(run.assistant_message_id)
    return run


def new_answer(work: Work, run: RunRecord) -> RunRecord:
    """A further assistant message, for what the model says next; the chat's agent may be another one from here on."""
    if _hand_over(work):
        run = work.save(run, reminded=False)
        work.tell_chat()
    message = work.tx.insert(
        MessageRecord(
            id=new_id(),
            chat_id=work.chat.id,
            run_id=run.id,
            order=work.take_order(),
            role=ChatMessageRole.ASSISTANT,
            status=ChatMessageStatus.PENDING,
        )
    )
    run = work.save(run, message_id=message.id, asked_by=None)
    work.tell_message(message.id)
    return run


def end(
    work: Work,
    run: RunRecord,
    event: RunEvent,
    *,
    error: str | None = None,
    output: Any = None,
    said: Sequence[Mapping[str, Any]] = (),
) -> RunRecord:
    """The run is over: nothing of it stays open, the next one in the queue is woken, who asked it has its answer.

    `said`: the messages that models are writing in the chats below, as far as watchers have seen them.
    """
    state, had_begun = after(RUN, run.state, event), work.chat.run_id == run.id
    _close_open_calls(work, run, said)
    _close_hooks(work, run)
    _close_message(work, run, state=state, error=error)
    run = work.save(run, state=state, error=error, output=output, finished_at=work.tx.now, interrupt_reason=None)
    work.tell_run(run)
    if had_begun:
        inquiry.tell_end(work, run)
        _hand_over(work)
        work.save_chat(status=ChatStatus.IDLE, output=output)
        work.tell_chat()
    if work.queued():
        work.tx.wake(work.chat.id)
    if run.invocation_id:
        children.settle(work, run)
        if had_begun:
            _begin_next_child(work, run.invocation_id)
    return run


def stop(work: Work, *, said: Sequence[Mapping[str, Any]] = ()) -> bool:
    """Stops the active run, what waits behind it and what works for it; False when there is nothing to stop.

    `said`: the messages that models are writing, here and below, as far as watchers have seen them; they stay so.
    """
    waiting, run = work.queued(), work.open_run
    for each in waiting:
        end(work, each, RunEvent.STOP)
    if run:
        for message in said:
            keep_said(work, run, message)
        end(work, run, RunEvent.STOP, said=said)
        work.tx.clear_wake(work.chat.id)
        work.tx.cut(work.chat.id)
    return bool(waiting or run)


def keep_said(work: Work, run: RunRecord, said: Mapping[str, Any] | None) -> None:
    """Keeps what watchers have seen of an answer that will not be whole; a half-written call is none."""
    message = work.message(run.message_id)
    if said and said["id"] == message.id and message.status is ChatMessageStatus.PENDING:
        work.save(message, content=[part for part in said["content"] if part["type"] != ChatMessageContentType.TOOL])


# -- parts ---------------------------------------------------------------------------------------------------------


def _chat_for(tx: Writing, request: Start) -> Work:
    if request.chat_id is not None:
        return Work.owned(tx, request.chat_id, owner=request.owner)
    if request.agent is None:
        raise Fault("invalid_request", "a new chat needs an agent: send `agent` (a reference) or `agent_config`")
    return Work(
        tx,
        tx.insert(
            ChatRecord(
                id=new_id(),
                owner=request.owner,
                agent=request.agent,
                given=request.given,
                agent_ref=request.agent_ref,
                agent_id=request.agent_id,
                agent_version_id=request.agent_version_id,
                name=request.name,
                context=request.context,
                **_parent(request.asking),
            )
        ),
    )


def _new_run(work: Work, request: Start) -> tuple[RunRecord, MessageRecord, MessageRecord]:
    """The rows of the message, its answer and its run; they wait in the queue until `begin`."""
    run_id = new_id()

    def add(role: ChatMessageRole, status: ChatMessageStatus, content: list[dict[str, Any]]) -> MessageRecord:
        record = MessageRecord(
            id=new_id(), chat_id=work.chat.id, run_id=run_id, order=-1, role=role, status=status, content=content,
            attachments=request.attachments if role is ChatMessageRole.USER else [],
        )  # fmt: skip
        return work.tx.insert(record)

    user = add(ChatMessageRole.USER, ChatMessageStatus.QUEUED, _user_content(request))
    answer = add(ChatMessageRole.ASSISTANT, ChatMessageStatus.PENDING, [])
    run = work.tx.insert(
        RunRecord(
            id=run_id,
            chat_id=work.chat.id,
            state=AgentRunState.SUBMITTED,
            user_message_id=user.id,
            assistant_message_id=answer.id,
            message_id=answer.id,
            agent=_new_agent(request),
            **_answering(request.asking),
        )
    )
    return run, user, answer


def _parent(asking: Asking | None) -> dict[str, Any]:
    if asking is None:
        return {}
    return {"parent_id": asking.chat_id, "parent_invocation_id": asking.invocation_id, "depth": asking.depth}


def _answering(asking: Asking | None) -> dict[str, Any]:
    if asking is None:
        return {}
    return {
        "invocation_id": asking.invocation_id,
        "budget_id": asking.budget_id,
        "result_chars": asking.result_chars,
        "timeout_seconds": asking.timeout_seconds,
    }


def _new_definition(work: Work, run: RunRecord) -> RunAgent | None:
    """SDKs send the agent with every message: the newest definition counts, but the same one undoes no hand-off."""
    agent = run.agent
    given = (agent.given or agent.agent) if agent else None
    return None if given is not None and given == work.chat.handed_over_from else agent


def _taken_over(agent: RunAgent | None) -> dict[str, Any]:
    return {} if agent is None else {**dict(agent), "handed_over_from": None}


def _hand_over(work: Work) -> bool:
    """The chat's agent becomes the one it was handed over to. The one that people send is remembered."""
    if work.chat.handed_to is None:
        return False
    sent = work.chat.handed_over_from or work.chat.given or work.chat.agent
    work.save_chat(**dict(work.chat.handed_to), handed_over_from=sent, handed_to=None)
    return True


def _new_agent(request: Start) -> RunAgent | None:
    if request.agent is None:
        return None
    return RunAgent(
        agent=request.agent,
        given=request.given,
        agent_ref=request.agent_ref,
        agent_id=request.agent_id,
        agent_version_id=request.agent_version_id,
    )


def _user_content(request: Start) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if request.text:
        parts.append({"type": ChatMessageContentType.TEXT.value, "text": request.text})
    for each in request.attachments:
        kind = "image" if str(each.get("content_type", "")).startswith("image/") else "file"
        parts.append({"type": kind, kind: each["uri"]})
    return parts


def _close_open_calls(work: Work, run: RunRecord, said: Sequence[Mapping[str, Any]]) -> None:
    touched: list[str] = []
    closing = work.open_invocations(run)
    for invocation in closing:
        stopped = after(INVOCATION, invocation.status, InvocationEvent.STOP)
        ended = journal.end(invocation, journal.AttemptEnd.CANCELLED, at=work.tx.now)
        work.save(invocation, status=stopped, callback_token=None, **ended)
        touched.append(invocation.message_id)
    for invocation in closing:  # all are closed by now: none of them has to be answered, or begun, any more
        _let_go(work, invocation, said)
    for interrupt in work.pending_interrupts():
        if interrupt.run_id == run.id:
            status = after(INTERRUPT, interrupt.status, InterruptEvent.CANCEL)
            saved = work.save(interrupt, status=status, resolved_at=work.tx.now)
            work.tx.tell(saved.id, saved.version)
    for message_id in dict.fromkeys(touched):
        if message_id != run.message_id:
            work.tell_message(message_id)


def _let_go(work: Work, invocation: InvocationRecord, said: Sequence[Mapping[str, Any]]) -> None:
    """Whoever carries the call out is told to stop."""
    if invocation.type is not ToolType.CLIENT:
        key = invocations.wake_key(invocation.id)
        work.tx.clear_wake(key)
        work.tx.cut(key)
    if invocation.type is ToolType.APP and invocation.execution_id:
        moves.give_up(work.tx, invocation.execution_id)
    if invocation.type is ToolType.AGENT and children.works_for(work.tx, invocation):
        child = Work.of(work.tx, invocation.execution_id or "")
        if child is not None:
            stop(child, said=said)


def _close_hooks(work: Work, run: RunRecord) -> None:
    """Hooks are asked no more, and agents that were to answer stop."""
    for chat_id in inquiry.close(work, run):
        child = Work.of(work.tx, chat_id)
        if child is not None:
            stop(child)


def _begin_next_child(work: Work, invocation_id: str) -> None:
    """A place is free: the next sub-agent of those who asked for this one begins."""
    call = work.tx.get(InvocationRecord, invocation_id)
    chat = children.waiting(work.tx, call) if call else None
    if chat is not None and (queued := Work(work.tx, chat).queued()):
        begin(Work(work.tx, chat), queued[0])
        work.tx.wake(chat.id)


def _close_message(work: Work, run: RunRecord, *, state: AgentRunState, error: str | None) -> None:
    message = work.message(run.message_id)
    if message.status is ChatMessageStatus.PENDING:
        content = message.content
        if error is not None:
            content = [*content, {"type": ChatMessageContentType.TEXT.value, "text": "", "error": error}]
        work.save(message, status=_MESSAGE_AFTER[state], content=content)
    user = work.message(run.user_message_id)
    if user.status is ChatMessageStatus.QUEUED:
        work.save(user, status=ChatMessageStatus.CANCELLED)
    work.tell_message(run.message_id)
