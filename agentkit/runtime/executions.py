"""Carrying out the calls of server-side tools: claimed, tried, and ended exactly once.

One wake-up per call (`tool:<invocation id>`), so calls of a run go on side by side, and one that fails, hangs or is
stopped touches no other. What an executor may do and give back: `agentkit.runtime.executors`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Final

import anyio

from agentkit.errors import StoreError
from agentkit.runtime import held, invocations, lineage
from agentkit.runtime.asking import questions
from agentkit.runtime.binding import Binder
from agentkit.runtime.budgets import Limits
from agentkit.runtime.cancelling import is_cancelled
from agentkit.runtime.desk import Here
from agentkit.runtime.executors import Elsewhere, Execution, Gone, Produced, ToolExecutor, ToolFailure
from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import Stale, Store, Writing
from agentkit.runtime.records import InvocationRecord
from agentkit.runtime.results import sized
from agentkit.runtime.states import INVOCATION, is_open
from agentkit.runtime.tooldesk import Desk
from agentkit.runtime.work import Work
from agentkit.wire import AgentTool, ToolInvocationStatus, ToolType

__all__ = ["Executions"]

logger = logging.getLogger("agentkit.tools")

RETRIES: Final = 2  # of what may be tried again, where the tool does not say how often
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0  # a server that wants more patience than this fails the call
MOST_ATTEMPTS: Final = 5  # begun, all restarts counted: a call must not take one process after the other with it
UNKNOWN_OUTCOME: Final = (
    "unknown outcome: the runtime stopped while this call was running, so it may have had its effect or not. "
    "Find out before you call it again."
)
NO_CALLBACK: Final = "the webhook did not call back in time"
INTERNAL_ERROR: Final = "internal error in the tool; the server's log says more"
NOT_KEPT: Final = "the tool is done, but its result cannot be kept; the server's log says more"


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A call that is ours to carry out."""

    call: Execution
    executor: ToolExecutor


@dataclass(frozen=True, slots=True)
class _Ended:
    """A call that was carried out, until that is saved. `is_sized`: its text was cut, and the whole is a file."""

    call: Execution
    outcome: Produced | ToolFailure | Elsewhere
    is_sized: bool = False


class Executions:
    """Carries out calls. `is_alive` tells whether another process that claimed a call is there still."""

    def __init__(
        self,
        store: Store,
        desk: Desk,
        *,
        binder: Binder,
        executors: tuple[ToolExecutor, ...],
        here: Here,
        is_alive: Callable[[str], bool],
        limits: Limits,
    ) -> None:
        self._store = store
        self._desk = desk
        self._binder = binder
        self._executors = executors
        self._here = here
        self._is_alive = is_alive
        self._limits = limits
        self._lanes: dict[str, anyio.Semaphore] = {}  # run id -> places for its calls
        self._in_lane: Counter[str] = Counter()
        self._held: dict[str, _Ended] = {}  # what the database did not take yet

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """While entered, calls may be carried out; leaving closes every connection."""
        async with AsyncExitStack() as stack:
            for each in self._executors:
                await stack.enter_async_context(each.run())
            yield

    async def advance(self, invocation_id: str) -> None:
        """What a wake-up is for. May come twice: a call is carried out by who claims it."""
        if (kept := self._held.get(invocation_id)) is not None:
            await self._save(kept)
            return
        run_id = await self._store.read(lambda tx: _run_of(tx.get(InvocationRecord, invocation_id)))
        async with self._place(run_id):
            claimed = await self._store.write(lambda tx: self._claim(tx, invocation_id))
            if claimed is None:
                return
            outcome = await self._carry_out(claimed)
            if outcome is not None:
                await self._save(_Ended(claimed.call, outcome))

    # -- claiming --------------------------------------------------------------------------------------------------

    def _claim(self, tx: Writing, invocation_id: str) -> _Claimed | None:
        """Takes the call for this process; ends one whose outcome nobody knows."""
        invocation, key = tx.get(InvocationRecord, invocation_id), invocations.wake_key(invocation_id)
        work = Work.of(tx, invocation.chat_id) if invocation else None
        if invocation is None or work is None or not is_open(INVOCATION, invocation.status):
            tx.clear_wake(key)
            return None
        if invocation.status is ToolInvocationStatus.AWAITING_INPUT and invocation.type is ToolType.HOOK:
            if invocation.callback_until and tx.now < invocation.callback_until:
                return None  # woken early; the wake-up at its deadline is recorded
            invocations.conclude(work, invocation, NO_CALLBACK, failed=True)
            return None
        if invocation.status is not ToolInvocationStatus.IN_PROGRESS or invocation.execution_id is not None:
            tx.clear_wake(key)
            return None
        if invocation.engine_id not in (None, self._here.engine_id) and self._is_alive(str(invocation.engine_id)):
            return None  # the sweep looks again, should it die
        return self._begin(work, invocation)

    def _begin(self, work: Work, invocation: InvocationRecord) -> _Claimed | None:
        tool = _definition(work, invocation)
        executor = self._binder.executor(invocation.type)
        if executor is None or tool is None:
            invocations.conclude(work, invocation, f"the tool {invocation.name!r} is not there any more", failed=True)
            return None
        call = Execution(
            invocation_id=invocation.id,
            chat_id=work.chat.id,
            run_id=invocation.run_id,
            owner=work.chat.owner,
            tool=tool,
            arguments=invocation.arguments,
            context=work.chat.context,
            idempotency_key=f"{invocation.id}-{invocation.arguments_hash[:16]}",
            attempt=invocation.attempt + 1,
            askers=lineage.above(work.tx, work.chat.id),
        )
        if invocation.engine_id is not None and not (
            _is_idempotent(executor, call) and invocation.attempt < MOST_ATTEMPTS
        ):
            invocations.conclude(work, invocation, UNKNOWN_OUTCOME, failed=True)
            return None
        if questions.withdraw(work, invocation):  # whoever asked is gone; this attempt asks for itself
            questions.carry_on(work)
            work.tell_chat()
        work.save(invocation, engine_id=self._here.engine_id, attempt=call.attempt)
        return _Claimed(call, executor)

    @asynccontextmanager
    async def _place(self, run_id: str | None) -> AsyncGenerator[None]:
        """One of the run's places for calls that are carried out at a time."""
        if run_id is None:
            yield
            return
        lane = self._lanes.setdefault(run_id, anyio.Semaphore(self._limits.parallel_tools))
        self._in_lane[run_id] += 1
        try:
            async with lane:
                yield
        finally:
            self._in_lane[run_id] -= 1
            if not self._in_lane[run_id]:
                del self._in_lane[run_id], self._lanes[run_id]

    # -- carrying out ----------------------------------------------------------------------------------------------

    async def _carry_out(self, claimed: _Claimed) -> Produced | ToolFailure | Elsewhere | None:
        """The outcome, after as many attempts as do no harm; None: nobody wants it any more."""
        call, executor = claimed.call, claimed.executor
        retries = RETRIES if call.tool.retries is None else call.tool.retries
        pause = FIRST_PAUSE_SECONDS
        for left in range(retries, -1, -1):
            outcome = await self._attempt(call, executor)
            if not isinstance(outcome, ToolFailure) or not left or not _may_retry(executor, call, outcome):
                return outcome
            pause = max(pause, outcome.retry_after_seconds or 0.0)
            if pause > LONGEST_PAUSE_SECONDS:
                return outcome
            logger.info("tool %s: tried again in %g s: %s", call.tool.name, pause, outcome.text)
            await self._desk.progress(call, f"trying again in {pause:g} s")
            await anyio.sleep(pause)
            pause *= 2
            call = replace(call, attempt=call.attempt + 1)
        raise AssertionError("unreachable: the last attempt returns")

    async def _attempt(self, call: Execution, executor: ToolExecutor) -> Produced | ToolFailure | Elsewhere | None:
        seconds = call.tool.timeout or self._limits.tool_seconds
        with anyio.move_on_after(seconds) as patience, self._desk.on_time(call, patience):
            try:
                return await executor.execute(call, self._desk)
            except ToolFailure as failure:
                return failure
            except Fault as fault:  # what the call needs is not there any more: a secret, a connection, an app
                return ToolFailure(fault.detail, had_effect=False)
            except Gone:
                return None
            except anyio.get_cancelled_exc_class():
                if is_cancelled():
                    raise
                logger.exception("tool %s: cancelled from inside", call.tool.name)
                return ToolFailure("the tool gave the call up")
            except StoreError:
                raise
            except Exception:
                logger.exception("tool %s (%s) broke", call.tool.name, call.tool.type)
                return ToolFailure(INTERNAL_ERROR)
        return ToolFailure(f"no answer within {seconds:g} s", is_transient=True)

    # -- ending ----------------------------------------------------------------------------------------------------

    async def _save(self, ended: _Ended) -> None:
        """The one end of the call; held should the database not take it, so that it is not carried out again."""
        try:
            try:
                ended = await self._sized(ended)
                await self._commit(ended)
            except (StoreError, Stale):
                raise
            except Exception as error:
                logger.exception("tool %s: what came of it cannot be kept", ended.call.tool.name)
                failure = ToolFailure(error.detail if isinstance(error, Fault) else NOT_KEPT)
                ended = _Ended(ended.call, failure, is_sized=True)
                await self._commit(ended)
        except (StoreError, Stale):
            self._held[ended.call.invocation_id] = ended
            raise
        self._held.pop(ended.call.invocation_id, None)

    async def _sized(self, ended: _Ended) -> _Ended:
        if ended.is_sized:
            return ended
        outcome = await sized(ended.call, ended.outcome, self._desk, limit=self._limits.result_chars)
        return _Ended(ended.call, outcome, is_sized=True)

    async def _commit(self, ended: _Ended) -> None:
        what = f"the result of {ended.call.tool.name}"
        await held.save(self._store, lambda tx: _end(tx, ended.call, ended.outcome), what=what)


# -- parts ---------------------------------------------------------------------------------------------------------


def _run_of(invocation: InvocationRecord | None) -> str | None:
    return invocation.run_id if invocation else None


def _definition(work: Work, invocation: InvocationRecord) -> AgentTool | None:
    if invocation.type is ToolType.INTERNAL:
        return AgentTool(name=invocation.name, type=ToolType.INTERNAL)
    return invocations.definition(work, invocation.name)


def _is_idempotent(executor: ToolExecutor, call: Execution) -> bool:
    return executor.is_idempotent(call) if call.tool.idempotent is None else call.tool.idempotent


def _may_retry(executor: ToolExecutor, call: Execution, failure: ToolFailure) -> bool:
    return failure.is_transient and (failure.had_effect is False or _is_idempotent(executor, call))


def _end(tx: Writing, call: Execution, outcome: Produced | ToolFailure | Elsewhere) -> None:
    """What came of the call, unless it is over, or somebody else's, by now."""
    invocation, work = tx.get(InvocationRecord, call.invocation_id), Work.of(tx, call.chat_id)
    if invocation is None or work is None or not is_open(INVOCATION, invocation.status):
        return
    if invocation.attempt != call.attempt:
        return
    match outcome:
        case Elsewhere():
            tx.clear_wake(invocations.wake_key(invocation.id))
            started = outcome.start(work, invocation)
            if is_open(INVOCATION, started.status):
                work.save(started, engine_id=None)
                work.tell_message(invocation.message_id)
                tx.wake(work.chat.id)
        case ToolFailure():
            invocations.conclude(work, invocation, outcome.text, failed=True, data=outcome.data)
        case Produced():
            files = [asdict(each) for each in outcome.files]
            invocations.conclude(work, invocation, outcome.text, data=outcome.data, files=files)
