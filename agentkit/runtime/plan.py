"""What a chat does next: everything that needs nobody, in one transaction, up to the next model call or wait.

`plan` may be called at any time and as often as one likes: it reads the rows, and does nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentkit.runtime import answers, dto, interrupts
from agentkit.runtime.answers import Limits
from agentkit.runtime.context import model_request
from agentkit.runtime.executors.internal import finish
from agentkit.runtime.ports import ModelRequest, Writing
from agentkit.runtime.records import InvocationRecord, MessageRecord, RunRecord
from agentkit.runtime.runs import begin, end
from agentkit.runtime.states import INVOCATION, RunEvent, is_open
from agentkit.runtime.work import Work
from agentkit.wire import AgentRunState, ChatMessageStatus, ToolInvocationStatus

__all__ = ["AskModel", "plan"]


@dataclass(frozen=True, slots=True)
class AskModel:
    """The one effect of a plan: ask this, and bring the answer back to this run while it is at this version."""

    chat_id: str
    run_id: str
    run_version: int
    message: Mapping[str, Any]  # the ChatMessageDTO that the answer will fill
    ref: str
    request: ModelRequest


def plan(tx: Writing, chat_id: str, *, limits: Limits) -> AskModel | None:
    """Moves the chat on as far as it goes by itself. None: it waits, for somebody or for good."""
    work = Work.of(tx, chat_id)
    if work is None:
        tx.clear_wake(chat_id)
        return None
    interrupts.expire_due(work)
    while (run := _active(work)) is not None:
        message = work.message(run.message_id)
        if message.status is ChatMessageStatus.PENDING:
            if run.turns < limits.turns:
                return _ask(work, run, message)
            end(work, run, RunEvent.FAIL, error=f"the run asked the model {run.turns} times, which is its limit")
        elif not _settle(work, run, limits=limits):
            break
    _rest(work)
    return None


def _active(work: Work) -> RunRecord | None:
    """The run to move: the open one if it works, else the first in the queue."""
    run = work.open_run
    if run is None:
        waiting = work.queued()
        return begin(work, waiting[0]) if waiting else None
    if run.state is AgentRunState.SUBMITTED:
        return begin(work, run)
    return run if run.state is AgentRunState.WORKING else None


def _ask(work: Work, run: RunRecord, message: MessageRecord) -> AskModel:
    core = work.chat.agent.core_app
    ref = (core.ref if core else None) or ""
    return AskModel(
        chat_id=work.chat.id,
        run_id=run.id,
        run_version=run.version,
        message=dto.message(work.tx, message),
        ref=ref,
        request=model_request(work, model=ref, before_order=message.order),
    )


def _settle(work: Work, run: RunRecord, *, limits: Limits) -> bool:
    """Moves on a run whose last message made calls. False: one of them waits."""
    still_open = [call for call in work.invocations(run.message_id) if is_open(INVOCATION, call.status)]
    others = [call for call in still_open if not _is_finish(call)]
    if not still_open:
        answers.next_answer(work, run)
        return True
    if not others:
        answers.try_finish(work, run, still_open[0], limits=limits)
        return True
    if all(call.status is ToolInvocationStatus.AWAITING_APPROVAL for call in others):
        answers.park(work, run)
    return False


def _is_finish(call: InvocationRecord) -> bool:
    return call.name == finish.NAME and call.status is ToolInvocationStatus.IN_PROGRESS


def _rest(work: Work) -> None:
    """Nothing to do now: be woken when the next approval expires."""
    work.tx.clear_wake(work.chat.id)
    expiries = [each.expires_at for each in work.pending_interrupts() if each.expires_at is not None]
    if expiries:
        work.tx.wake(work.chat.id, at=min(expiries))
