"""A run from its message to its end: start, begin, stop, end. Transaction functions: no I/O, no waiting.

The order in which the events are told is the protocol's (protocol.md 7.2 rules 1 and 4): busy first, then the user's
message and the pending answer; at the end the message, the run, and last the chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentkit.runtime import dto, invocations
from agentkit.runtime.faults import Fault
from agentkit.runtime.ids import new_id
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

__all__ = ["KEEP_EVENTS", "Start", "begin", "end", "keep_said", "new_answer", "start", "stop"]

KEEP_EVENTS = 2_000  # of a chat's log, older than the run that begins; a cursor below gets a snapshot

_MESSAGE_AFTER = {
    AgentRunState.COMPLETED: ChatMessageStatus.READY,
    AgentRunState.FAILED: ChatMessageStatus.FAILED,
    AgentRunState.CANCELED: ChatMessageStatus.CANCELLED,
}


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


def start(tx: Writing, request: Start) -> dict[str, Any]:
    """Takes the message: the reply of POST /agents/run. A busy chat queues it, refuses it, or drops what it does."""
    work = _chat_for(tx, request)
    if work.open_run and request.on_busy == "reject":
        raise Fault("chat_busy", f"chat {work.chat.id!r} is busy; wait for it, stop it, or send with on_busy='queue'")
    if work.open_run and request.on_busy == "interrupt":
        stop(work)
    run, user, answer = _new_run(work, request)
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
    run = work.save(run, state=after(RUN, run.state, RunEvent.BEGIN), agent=None)
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
    """A further assistant message, for what the model says next."""
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
    run = work.save(run, message_id=message.id)
    work.tell_message(message.id)
    return run


def end(work: Work, run: RunRecord, event: RunEvent, *, error: str | None = None, output: Any = None) -> RunRecord:
    """The run is over: nothing of it stays open, and the next one in the queue is woken."""
    state = after(RUN, run.state, event)
    _close_open_calls(work, run)
    _close_message(work, run, state=state, error=error)
    run = work.save(run, state=state, error=error, output=output, finished_at=work.tx.now, interrupt_reason=None)
    work.tell_run(run)
    if work.chat.run_id == run.id:
        work.save_chat(status=ChatStatus.IDLE, output=output)
        work.tell_chat()
    if work.queued():
        work.tx.wake(work.chat.id)
    return run


def stop(work: Work, *, said: Mapping[str, Any] | None = None) -> bool:
    """Stops the active run and what waits behind it; False when there is nothing to stop.

    `said`: the message that the model is writing, as far as watchers have seen it; it stays so.
    """
    waiting, run = work.queued(), work.open_run
    for each in waiting:
        end(work, each, RunEvent.STOP)
    if run:
        keep_said(work, run, said)
        end(work, run, RunEvent.STOP)
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
        )
    )
    return run, user, answer


def _new_definition(work: Work, run: RunRecord) -> RunAgent | None:
    """SDKs send the agent with every message: the newest definition counts, but the same one undoes no hand-off."""
    agent = run.agent
    given = (agent.given or agent.agent) if agent else None
    return None if given is not None and given == work.chat.handed_over_from else agent


def _taken_over(agent: RunAgent | None) -> dict[str, Any]:
    return {} if agent is None else {**dict(agent), "handed_over_from": None}


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


def _close_open_calls(work: Work, run: RunRecord) -> None:
    touched: list[str] = []
    for invocation in work.open_invocations(run):
        work.save(invocation, status=after(INVOCATION, invocation.status, InvocationEvent.STOP), callback_token=None)
        _let_go(work, invocation)
        touched.append(invocation.message_id)
    for interrupt in work.pending_interrupts():
        if interrupt.run_id == run.id:
            status = after(INTERRUPT, interrupt.status, InterruptEvent.CANCEL)
            saved = work.save(interrupt, status=status, resolved_at=work.tx.now)
            work.tx.tell(saved.id, saved.version)
    for message_id in dict.fromkeys(touched):
        if message_id != run.message_id:
            work.tell_message(message_id)


def _let_go(work: Work, invocation: InvocationRecord) -> None:
    """Whoever carries the call out is told to stop."""
    if invocation.type is not ToolType.CLIENT:
        key = invocations.wake_key(invocation.id)
        work.tx.clear_wake(key)
        work.tx.cut(key)


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
