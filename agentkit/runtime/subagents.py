"""What becomes of a sub-agent's run where a transaction alone cannot do it: an answer too large, a run out of time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from agentkit.runtime import children, invocations, runs
from agentkit.runtime.executors import Produced, ToolFailure, ToolFile
from agentkit.runtime.files import OURS
from agentkit.runtime.moments import later
from agentkit.runtime.ports import Store, Writing
from agentkit.runtime.records import RunRecord
from agentkit.runtime.results import OVERFLOW_SUFFIX, cut
from agentkit.runtime.service import Service
from agentkit.runtime.states import RUN, is_open
from agentkit.runtime.store.blobs import TooLarge
from agentkit.runtime.taskfiles import TaskFiles
from agentkit.runtime.work import Work
from agentkit.wire import AgentRunState

__all__ = ["SubAgents"]

OUT_OF_TIME = "the sub-agent had no answer within {seconds:g} s; it was stopped"


@dataclass(frozen=True, slots=True)
class _Large:
    """An answer whose whole is to be a file."""

    run_id: str
    invocation_id: str
    owner: str
    text: str
    limit: int  # characters that its model gets at once


class SubAgents(Service):
    """Answers to the wake-ups `child:<run id>`."""

    def __init__(self, store: Store, *, files: TaskFiles) -> None:
        super().__init__(store)
        self._files = files

    async def advance(self, run_id: str) -> None:
        """Ends the call where the run is out of time, or hands in its large answer. May come twice."""
        large = await self._write(lambda tx: _look(tx, run_id))
        if large is None:
            return
        name = f"{large.invocation_id}{OVERFLOW_SUFFIX}"
        try:
            stored = await self._files.keep_text(large.owner, large.text, filename=name)
        except TooLarge as error:
            failure = ToolFailure(f"the answer of the sub-agent is too large: {error}")
            await self._write(lambda tx: _hand_in(tx, run_id, failure))
            return
        file = ToolFile(f"{OURS}{stored.id}", stored.content_type, stored.filename, stored.size)
        produced = Produced(cut(large.text, large.limit, invocation_id=large.invocation_id), files=[file])
        await self._write(lambda tx: _hand_in(tx, run_id, produced))


# -- parts ---------------------------------------------------------------------------------------------------------


def _look(tx: Writing, run_id: str) -> _Large | None:
    """The answer to be made a file; None: the clock was looked at, or there is nothing to do any more."""
    run = tx.get(RunRecord, run_id)
    work = Work.of(tx, run.chat_id) if run else None
    found = children.open_call(work, run) if work and run else None
    if run is None or work is None or found is None:
        tx.clear_wake(children.wake_key(run_id))
        return None
    if is_open(RUN, run.state):
        _look_at_clock(work, run)
        return None
    match children.answer(work, run):
        case Produced(text=text):
            return _Large(run.id, found[1].id, work.chat.owner, text, run.result_chars)
        case failure:
            _hand_in(tx, run.id, failure)
            return None


def _look_at_clock(work: Work, run: RunRecord) -> None:
    """Stops a run that is out of time; one that waits for a person gets its time anew."""
    key, seconds = children.wake_key(run.id), run.timeout_seconds
    work.tx.clear_wake(key)
    if run.deadline is None or seconds is None:
        return
    if run.state is not AgentRunState.WORKING:
        run = work.save(run, deadline=later(work.tx.now, seconds))
    if run.deadline is not None and work.tx.now < run.deadline:
        work.tx.wake(key, at=run.deadline)
        return
    found = children.open_call(work, run)
    if found is not None:
        above, call = found
        invocations.conclude(above, call, OUT_OF_TIME.format(seconds=seconds), failed=True)
        runs.stop(work)
        above.tell_chat()  # what was asked down there needs no answer any more


def _hand_in(tx: Writing, run_id: str, outcome: Produced | ToolFailure) -> None:
    """The result of the call, unless it is over by now."""
    run = tx.get(RunRecord, run_id)
    work = Work.of(tx, run.chat_id) if run else None
    found = children.open_call(work, run) if work and run else None
    tx.clear_wake(children.wake_key(run_id))
    if found is None:
        return
    above, call = found
    if isinstance(outcome, ToolFailure):
        invocations.conclude(above, call, outcome.text, failed=True)
    else:
        files: list[dict[str, Any]] = [asdict(each) for each in outcome.files]
        invocations.conclude(above, call, outcome.text, data=outcome.data, files=files)
