"""A sub-agent's chat as the answer to a call of the chat above it: its end settles the call. Transaction functions.

What begins such a chat: `agentkit.runtime.executors.agent`; who hears of what happens: `agentkit.runtime.lineage`.
"""

from __future__ import annotations

from pydantic_core import to_json

from agentkit.runtime import invocations
from agentkit.runtime.executors import Produced, ToolFailure
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import ChatRecord, InvocationRecord, RunRecord
from agentkit.runtime.states import INVOCATION, RUN, is_open
from agentkit.runtime.work import Work
from agentkit.wire import AgentRunState, ChatMessageContentType, InterruptReason, ToolType

__all__ = ["STOPPED", "abandon", "answer", "open_call", "parked", "settle", "waiting", "wake_key", "works_for"]

STOPPED = "the sub-agent was stopped before it had an answer"
DELETED = "the sub-agent's chat was deleted before it had an answer"


def wake_key(run_id: str) -> str:
    """What the engine calls a sub-agent's run that is out of time, or whose answer is to be made a file."""
    return f"child:{run_id}"


def open_call(work: Work, run: RunRecord) -> tuple[Work, InvocationRecord] | None:
    """The call that the run answers and the chat that made it, while it is open and this chat's to answer."""
    call = work.tx.get(InvocationRecord, run.invocation_id) if run.invocation_id else None
    above = Work.of(work.tx, call.chat_id) if call else None
    if call is None or above is None or not is_open(INVOCATION, call.status):
        return None
    return (above, call) if call.execution_id == work.chat.id else None


def settle(work: Work, run: RunRecord) -> None:
    """A run is over: the call it answers gets its result. One too large for a transaction is left to the wake-up."""
    work.tx.clear_wake(wake_key(run.id))
    if (found := open_call(work, run)) is None:
        return
    outcome = answer(work, run)
    if isinstance(outcome, Produced) and 0 < run.result_chars < len(outcome.text):
        work.tx.wake(wake_key(run.id))
        return
    above, call = found
    if isinstance(outcome, ToolFailure):
        invocations.conclude(above, call, outcome.text, failed=True)
    else:
        invocations.conclude(above, call, outcome.text, data=outcome.data)


def answer(work: Work, run: RunRecord) -> Produced | ToolFailure:
    """What a run that is over has to say: its output, or else its last text."""
    if run.state is AgentRunState.CANCELED:
        return ToolFailure(STOPPED)
    if run.state is AgentRunState.FAILED:
        said = f"the sub-agent failed: {run.error}"
        return ToolFailure(f"{said[: run.result_chars]} ..." if 0 < run.result_chars < len(said) else said)
    if run.output is None:
        return Produced(_last_text(work, run) or "(the sub-agent said nothing)")
    match run.output:
        case {"result": str(text), **rest} if not rest and work.chat.agent.output_schema is None:
            return Produced(text, run.output)
        case output:
            return Produced(to_json(output).decode(), output)


def abandon(work: Work) -> None:
    """The chat goes: a call that it has yet to answer fails."""
    for run in work.tx.find(RunRecord, chat_id=work.chat.id):
        work.tx.clear_wake(wake_key(run.id))
        if (found := open_call(work, run)) is not None:
            invocations.conclude(*found, DELETED, failed=True)


def parked(tx: Reading, call: InvocationRecord) -> InterruptReason | None:
    """What the chat that answers this call waits for a person for; None where it does not, or there is none."""
    chat = tx.get(ChatRecord, call.execution_id) if call.type is ToolType.AGENT and call.execution_id else None
    run = tx.get(RunRecord, chat.run_id) if chat and chat.run_id else None
    if run is None or run.state not in (AgentRunState.INPUT_REQUIRED, AgentRunState.AUTH_REQUIRED):
        return None
    return run.interrupt_reason or InterruptReason.TOOL_APPROVAL


def works_for(tx: Reading, call: InvocationRecord) -> bool:
    """Whether there is a run at work on this call, or in line for it."""
    runs = tx.find(RunRecord, chat_id=call.execution_id) if call.execution_id else []
    return any(run.invocation_id == call.id and is_open(RUN, run.state) for run in runs)


def waiting(tx: Reading, call: InvocationRecord) -> ChatRecord | None:
    """The next sub-agent in line, of those that the run of this call has asked; None where all have begun."""
    for each in tx.find(InvocationRecord, run_id=call.run_id):
        if each.type is not ToolType.AGENT or not each.execution_id or not is_open(INVOCATION, each.status):
            continue
        chat = tx.get(ChatRecord, each.execution_id)
        if chat is not None and chat.run_id is None:
            return chat
    return None


# -- parts ---------------------------------------------------------------------------------------------------------


def _last_text(work: Work, run: RunRecord) -> str:
    parts = work.message(run.message_id).content
    return "".join(str(part.get("text") or "") for part in parts if part.get("type") == ChatMessageContentType.TEXT)
