"""What a chat does next: everything that needs nobody, in one transaction, up to the next model call or wait.

`plan` may be called at any time and as often as one likes: it reads the rows, and does nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentkit.runtime import answers, budgets, dto, interrupts, questions
from agentkit.runtime.budgets import Limits
from agentkit.runtime.context import model_request
from agentkit.runtime.executors.internal import finish
from agentkit.runtime.ports import ModelRequest, Writing
from agentkit.runtime.records import InvocationRecord, MessageRecord, RunRecord
from agentkit.runtime.runs import begin, end
from agentkit.runtime.states import INVOCATION, RunEvent, is_open
from agentkit.runtime.work import Work
from agentkit.wire import (
    AgentConfig,
    AgentRunState,
    ChatMessageStatus,
    InterruptReason,
    ToolInvocationStatus,
)

__all__ = ["AskModel", "Rebind", "plan"]


@dataclass(frozen=True, slots=True)
class AskModel:
    """The one effect of a plan: ask this, and bring the answer back to this run while it is at this version."""

    chat_id: str
    run_id: str
    run_version: int
    message: Mapping[str, Any]  # the ChatMessageDTO that the answer will fill
    ref: str
    request: ModelRequest


@dataclass(frozen=True, slots=True)
class Rebind:
    """The agent's tools are not what they were: bind them anew, then plan again."""

    chat_id: str
    owner: str
    given: AgentConfig


def plan(
    tx: Writing, chat_id: str, *, limits: Limits, is_stale: Callable[[AgentConfig], bool] = lambda agent: False
) -> AskModel | Rebind | None:
    """Moves the chat on as far as it goes by itself. None: it waits, for somebody or for good.

    `is_stale`: whether the tools of an agent should be bound anew before a model is asked.
    """
    work = Work.of(tx, chat_id)
    if work is None:
        tx.clear_wake(chat_id)
        return None
    interrupts.expire_due(work)
    while (run := _active(work)) is not None:
        message = work.message(run.message_id)
        if message.status is ChatMessageStatus.PENDING:
            if is_stale(work.chat.agent):
                return Rebind(chat_id, work.chat.owner, work.chat.given or work.chat.agent)
            if (reached := budgets.spent(tx, run, limits)) is None:
                return _ask(work, run, message)
            end(work, run, RunEvent.FAIL, error=reached)
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
    reasons = [_waits_for(work, call) for call in others]
    if reasons[0] is not None and None not in reasons:
        answers.park(work, run, reasons[0])
    return False


def _waits_for(work: Work, call: InvocationRecord) -> InterruptReason | None:
    """What the call needs a person for; None: it goes on without one, or is a client's."""
    asked = questions.pending(work, call)
    return asked[0].reason if asked else None


def _is_finish(call: InvocationRecord) -> bool:
    return call.name == finish.NAME and call.status is ToolInvocationStatus.IN_PROGRESS


def _rest(work: Work) -> None:
    """Nothing to do now: be woken when the next approval expires."""
    work.tx.clear_wake(work.chat.id)
    expiries = [each.expires_at for each in work.pending_interrupts() if each.expires_at is not None]
    if expiries:
        work.tx.wake(work.chat.id, at=min(expiries))
