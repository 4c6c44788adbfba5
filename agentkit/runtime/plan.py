"""What a chat does next: everything that needs nobody, in one transaction, up to the next model call or wait.

`plan` may be called at any time and as often as one likes: it reads the rows, and does nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentkit.runtime import answers, budgets, children, dto, invocations, lineage
from agentkit.runtime.asking import deadlines, questions
from agentkit.runtime.budgets import Limits
from agentkit.runtime.context import model_request
from agentkit.runtime.executors.internal import finish
from agentkit.runtime.hooks import inquiry, moments
from agentkit.runtime.moments import later
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

__all__ = ["AskModel", "AskedElsewhere", "Rebind", "plan"]

LOOK_AGAIN_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class AskModel:
    """The one effect of a plan: ask this, and bring the answer back to this message while it waits for one."""

    chat_id: str
    run_id: str
    message: Mapping[str, Any]  # the ChatMessageDTO that the answer will fill
    ref: str
    request: ModelRequest
    askers: tuple[lineage.Asker, ...] = ()  # the chats above, which hear of every delta too


@dataclass(frozen=True, slots=True)
class AskedElsewhere:
    """Another process asks the model. It may die of it: look again at this time."""

    look_at: str


@dataclass(frozen=True, slots=True)
class Rebind:
    """The agent's tools are not what they were: bind them anew, then plan again."""

    chat_id: str
    owner: str
    given: AgentConfig


def plan(
    tx: Writing,
    chat_id: str,
    *,
    limits: Limits,
    here: str,
    is_alive: Callable[[str], bool],
    is_stale: Callable[[AgentConfig], bool],
) -> AskModel | AskedElsewhere | Rebind | None:
    """Moves the chat on as far as it goes by itself. None: it waits, for somebody or for good.

    `here` is the process that will ask the model, unless another that `is_alive` asks it already; `is_stale`: whether
    the tools of an agent should be bound anew before that.
    """
    work = Work.of(tx, chat_id)
    if work is None:
        tx.clear_wake(chat_id)
        return None
    deadlines.meet(work)
    while (run := _active(work)) is not None:
        if (why := inquiry.stopped(work, run)) is not None:
            end(work, run, RunEvent.STOP, error=why)
            continue
        message = work.message(run.message_id)
        if message.status is ChatMessageStatus.PENDING:
            if run.asked_by not in (None, here) and is_alive(run.asked_by):
                return AskedElsewhere(later(tx.now, LOOK_AGAIN_SECONDS))
            if is_stale(work.chat.agent):
                return Rebind(chat_id, work.chat.owner, work.chat.given or work.chat.agent)
            if (reached := budgets.spent(tx, run, limits)) is not None:
                end(work, run, RunEvent.FAIL, error=reached)
            elif moments.before_answer(work, run, message):
                budgets.add(tx, run, turns=1)
                return _ask(work, work.save(run, asked_by=here), message)
            else:
                _wait_for_hook(work, run if run.asked_by is None else work.save(run, asked_by=None))
                break
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
        message=dto.message(work.tx, message),
        ref=ref,
        request=model_request(work, model=ref, before_order=message.order),
        askers=lineage.above(work.tx, work.chat.id),
    )


def _settle(work: Work, run: RunRecord, *, limits: Limits) -> bool:
    """Moves on a run whose last message is written. False: one of its calls waits, or a hook is asked."""
    made = _opened(work, run)
    still_open = [call for call in made if is_open(INVOCATION, call.status)]
    reasons = [_waits_for(work, call) for call in still_open if not _is_finish(call)]
    reasons += moments.results(work, run, made)
    if reasons:
        if reasons[0] is not None and None not in reasons:
            answers.park(work, run, reasons[0])
        return False
    moments.take_results(work, run, made)
    if still_open and answers.misfits(work, still_open[0]):
        answers.try_finish(work, run, still_open[0], limits=limits)
        return True
    verdict = moments.of_turn(work, run, made)
    if verdict is None:
        _wait_for_hook(work, run)
        return False
    if still_open:
        _finish(work, run, still_open[0], verdict, limits=limits)
    elif verdict.is_denied:
        answers.ask_again(work, run, verdict.reason)
    elif made:
        answers.next_answer(work, run)
    else:
        answers.take_text(work, run)
    return True


def _opened(work: Work, run: RunRecord) -> list[InvocationRecord]:
    """The calls of the run's message; those that a hook was asked about are opened where it has answered."""
    made = work.invocations(run.message_id)
    opened = [
        invocations.open_call(work, each) if each.status is ToolInvocationStatus.PENDING else each for each in made
    ]
    if opened != made:
        work.tell_message(run.message_id)
        if work.pending_interrupts():
            work.tell_chat()
    return work.invocations(run.message_id)


def _finish(work: Work, run: RunRecord, call: InvocationRecord, verdict: inquiry.Verdict, *, limits: Limits) -> None:
    if not verdict.is_denied:
        answers.try_finish(work, run, call, limits=limits)
        return
    why = verdict.reason or "a hook did not accept it"
    answers.refuse_finish(work, run, call, f"the result was not accepted: {why}", why=why, limits=limits)


def _wait_for_hook(work: Work, run: RunRecord) -> None:
    """A hook is asked, or a person in its stead: only the latter parks the run."""
    if moments.is_gated(work, run):
        answers.park(work, run, InterruptReason.HOOK_GATE)


def _waits_for(work: Work, call: InvocationRecord) -> InterruptReason | None:
    """What the call, or the sub-agent that answers it, needs a person for; None: it goes on, or is a client's."""
    asked = questions.pending(work, call)
    return asked[0].reason if asked else children.parked(work.tx, call)


def _is_finish(call: InvocationRecord) -> bool:
    return call.name == finish.NAME and call.status is ToolInvocationStatus.IN_PROGRESS


def _rest(work: Work) -> None:
    """Nothing to do now: be woken when something is due with a question."""
    work.tx.clear_wake(work.chat.id)
    if (moment := deadlines.earliest(work)) is not None:
        work.tx.wake(work.chat.id, at=moment)
