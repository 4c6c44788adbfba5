"""What the model said, made into rows: an answer that ends the run, or calls to open. Transaction functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentkit.runtime import budgets, invocations, lineage
from agentkit.runtime.budgets import Limits
from agentkit.runtime.executors.internal import finish
from agentkit.runtime.hooks import inquiry, moments
from agentkit.runtime.ids import new_id
from agentkit.runtime.patterns import misses
from agentkit.runtime.records import InvocationRecord, MessageRecord, RunRecord
from agentkit.runtime.runs import end, new_answer
from agentkit.runtime.states import RUN, RunEvent, after
from agentkit.runtime.work import Work
from agentkit.wire import (
    ChatMessageRole,
    ChatMessageStatus,
    ChatStatus,
    HookEvent,
    InterruptReason,
    ToolInvocationStatus,
)

__all__ = [
    "Answer",
    "ask_again",
    "misfits",
    "next_answer",
    "park",
    "refuse_finish",
    "take_answer",
    "take_text",
    "try_finish",
]

TOO_MANY = "not called: the run may call {} tools, and this one is beyond that"
REMINDER = "Hand in your result by calling `finish`; its arguments are the result."


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's whole answer."""

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[Mapping[str, Any]] = ()
    usage: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def content(self) -> list[dict[str, Any]]:
        """The message's parts: reasoning, text, raw calls (protocol.md 6.3)."""
        parts: list[dict[str, Any]] = []
        if self.reasoning:
            parts.append({"type": "reasoning", "text": self.reasoning})
        if self.text:
            parts.append({"type": "text", "text": self.text})
        if self.tool_calls:
            parts.append({"type": "tool", "tool_calls": [dict(call) for call in self.tool_calls]})
        return parts


def take_answer(work: Work, run: RunRecord, answer: Answer, *, limits: Limits) -> None:
    """Saves the model's answer to the run's message; opens its calls, ends the run, or asks for the finish call."""
    message = work.message(run.message_id)
    run = work.save(run, turns=run.turns + 1, usage=_add(run.usage, answer.usage))
    left = budgets.calls_left(work.tx, run, limits)
    budgets.add(work.tx, run, tool_calls=len(answer.tool_calls))
    message = work.save(message, content=answer.content())
    if answer.tool_calls:
        work.save(message, status=ChatMessageStatus.READY)
        work.save(run, state=after(RUN, run.state, RunEvent.CALLS))
        for position, call in enumerate(_told_apart(answer.tool_calls)):
            created = invocations.create(work, run, message, position=position, call=call)
            if created.status is not ToolInvocationStatus.PENDING:
                continue
            if position < left or created.name == finish.NAME:
                invocations.open_call(work, created)
            else:
                invocations.settle(work, created, TOO_MANY.format(limits.tool_calls), failed=True)
        work.tell_message(message.id)
        if work.pending_interrupts():
            work.tell_chat()
    elif inquiry.has(work, HookEvent.AGENT_TURN_COMPLETE):
        work.save(message, status=ChatMessageStatus.READY)  # what it leads to is decided with the hooks
        work.tell_message(message.id)
    else:
        take_text(work, run)


def take_text(work: Work, run: RunRecord) -> None:
    """The model answered without a call: that is the end, unless it owes a result and was not reminded of it yet."""
    if work.chat.agent.output_schema is not None and _finish_offered(work) and not run.reminded:
        _remind(work, run, work.message(run.message_id))
    else:
        end(work, run, RunEvent.TEXT)


def ask_again(work: Work, run: RunRecord, reason: str) -> None:
    """A hook does not take the model's answer: the model reads why, and answers once more."""
    run = moments.object_to(work, run, reason)
    made = work.invocations(run.message_id)
    run = work.save(run, state=after(RUN, run.state, RunEvent.OBJECTED))
    if made:
        next_answer(work, run)
    else:
        new_answer(work, run)


def try_finish(work: Work, run: RunRecord, call: InvocationRecord, *, limits: Limits) -> bool:
    """Runs the finish call, its siblings being settled. True: the run is over."""
    if not (problems := misfits(work, call)):
        invocations.settle(work, call, "finished")
        end(work, run, RunEvent.FINISH, output=call.arguments)
        return True
    lines = "; ".join(f"{each['path'] or '(result)'}: {each['message']}" for each in problems)
    return refuse_finish(work, run, call, f"the result does not fit its schema: {lines}", why=lines, limits=limits)


def misfits(work: Work, call: InvocationRecord) -> list[dict[str, str]]:
    """What is wrong with the result that a finish call hands in."""
    return misses(finish.parameters(work.chat.agent), call.arguments)


def refuse_finish(work: Work, run: RunRecord, call: InvocationRecord, said: str, *, why: str, limits: Limits) -> bool:
    """The model reads why its result is not taken. True: that was its last attempt, and the run is over."""
    invocations.settle(work, call, said, failed=True)
    work.tell_message(call.message_id)
    run = work.save(run, output_attempts=run.output_attempts + 1)
    if run.output_attempts >= limits.output_attempts:
        end(work, run, RunEvent.FAIL, error=f"no valid result in {run.output_attempts} attempts; the last: {why}")
        return True
    work.save(run, state=after(RUN, run.state, RunEvent.INVALID))
    return False


def next_answer(work: Work, run: RunRecord) -> None:
    """Every call has its result: the results become messages, and the model is asked again."""
    run = work.save(run, state=after(RUN, run.state, RunEvent.SETTLED))
    for call in work.invocations(run.message_id):
        work.tx.insert(
            MessageRecord(
                id=new_id(),
                chat_id=work.chat.id,
                run_id=run.id,
                order=work.take_order(),
                role=ChatMessageRole.TOOL,
                status=ChatMessageStatus.READY,
                content=[{"type": "text", "text": call.result or ""}],
                tool_call_id=call.call_id,
            )
        )
    new_answer(work, run)


def park(work: Work, run: RunRecord, reason: InterruptReason) -> None:
    """Only a person can move the run on (protocol.md 7.2 rule 8); the chat that asked it may have to wait as well."""
    run = work.save(run, state=after(RUN, run.state, RunEvent.PARKED), interrupt_reason=reason)
    work.save_chat(status=ChatStatus.AWAITING_INPUT)
    work.tell_run(run)
    work.tell_chat()
    if (call := lineage.asking(work.tx, work.chat)) is not None:
        work.tx.wake(call.chat_id)


# -- parts ---------------------------------------------------------------------------------------------------------


def _remind(work: Work, run: RunRecord, message: MessageRecord) -> None:
    work.save(message, status=ChatMessageStatus.READY)
    run = work.save(run, state=after(RUN, run.state, RunEvent.REMIND), reminded=True)
    work.tx.insert(
        MessageRecord(
            id=new_id(),
            chat_id=work.chat.id,
            run_id=run.id,
            order=work.take_order(),
            role=ChatMessageRole.SYSTEM,
            status=ChatMessageStatus.READY,
            content=[{"type": "text", "text": REMINDER}],
        )
    )
    work.tell_message(message.id)
    new_answer(work, run)


def _told_apart(calls: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The calls, each with an id of its own: some models give several the same, or none."""
    taken: set[str] = set()
    apart: list[Mapping[str, Any]] = []
    for call in calls:
        id_ = str(call.get("id") or "")
        apart.append(call if id_ and id_ not in taken else {**call, "id": f"call_{new_id()}"})
        taken.add(id_)
    return apart


def _finish_offered(work: Work) -> bool:
    return finish.is_offered(work.chat.agent, is_sub_agent=work.chat.parent_id is not None)


def _add(total: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Token counts add up; what is no number is the latest."""
    summed = dict(total)
    for name, value in more.items():
        match summed.get(name), value:
            case (int() | float() as before, int() | float()):
                summed[name] = before + value
            case _:
                summed[name] = value
    return summed
