"""Carrying out the calls of server-side tools: claimed, tried, and ended exactly once.

One wake-up per call (`tool:<invocation id>`), so calls of a run go on side by side, and one that fails, hangs or is
stopped touches no other. What an executor may do and give back: `agentkit.runtime.executors`.

Each attempt is in the call's journal before it begins. One that was begun by a process that is gone is made again only
where that does no harm: the tool is idempotent, or its executor finds that it was not done. Else a person is asked. A
process that died before it called the executor cannot be told from one that died after, so it is asked about, too.
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
from agentkit.runtime import held, invocations, journal, lineage
from agentkit.runtime.asking import outcomes, questions
from agentkit.runtime.binding import Binder
from agentkit.runtime.budgets import Limits
from agentkit.runtime.cancelling import is_cancelled
from agentkit.runtime.executors import (
    Elsewhere,
    Execution,
    Gone,
    NotDone,
    Produced,
    Reconciler,
    ToolExecutor,
    ToolFailure,
    Unsure,
)
from agentkit.runtime.faults import Fault
from agentkit.runtime.here import Here
from agentkit.runtime.journal import AttemptEnd
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
MOST_ATTEMPTS: Final = 5  # that a process did not survive: a call must not take one after the other with it
RECONCILE_SECONDS: Final = 30.0  # to find out what came of a call, or the tool's own timeout
STOPPED: Final = "the server stopped while this call was running, so it may have had its effect or not"
STOPPED_OFTEN: Final = "the server stopped {} times while this call was running; perhaps the call is the cause"
NOT_DONE: Final = "; the tool was asked, and did not do it"
CHANGED: Final = "the call was changed in the store since it was made, so it was not carried out"
NO_CALLBACK: Final = "the webhook did not call back in time"
INTERNAL_ERROR: Final = "internal error in the tool; the server's log says more"
NOT_KEPT: Final = "the tool is done, but its result cannot be kept; the server's log says more"


_ELSEWHERE: Final = (ToolType.APP, ToolType.AGENT)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A call that is ours to carry out. `is_lost`: what came of its last attempt is to be found out before."""

    call: Execution
    executor: ToolExecutor
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class _Ended:
    """A call that was carried out, until that is saved. `is_sized`: its text was cut, and the whole is a file."""

    call: Execution
    outcome: Produced | ToolFailure | Elsewhere | Unsure
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
            ended = await self._carry_out(claimed)
            if ended is not None:
                await self._save(ended)

    # -- claiming --------------------------------------------------------------------------------------------------

    def _claim(self, tx: Writing, invocation_id: str) -> _Claimed | None:
        """Takes the call for this process; asks about one whose outcome nobody knows."""
        invocation, key = tx.get(InvocationRecord, invocation_id), invocations.wake_key(invocation_id)
        work = Work.of(tx, invocation.chat_id) if invocation else None
        if invocation is None or work is None or not is_open(INVOCATION, invocation.status):
            tx.clear_wake(key)
            return None
        if invocation.status is ToolInvocationStatus.AWAITING_INPUT and invocation.type is ToolType.HOOK:
            if invocation.callback_until and tx.now < invocation.callback_until:
                return None  # woken early; the wake-up at its deadline is recorded
            if invocation.engine_id is None:  # the webhook said that it will
                invocations.conclude(work, invocation, NO_CALLBACK, failed=True)
                return None
        elif invocation.status is not ToolInvocationStatus.IN_PROGRESS or invocation.execution_id is not None:
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
        if not invocations.is_whole(invocation):
            logger.error("tool %s: call %s was changed in the store", invocation.name, invocation.id)
            invocations.conclude(work, invocation, CHANGED, failed=True)
            return None
        call = _execution(work, invocation, tool)
        stops = journal.unknown(invocation) + 1  # of which this is one, where the call was begun
        if invocation.engine_id is None or (_may_repeat(executor, call) and stops < MOST_ATTEMPTS):
            begun = journal.begin(invocation, at=work.tx.now, engine_id=self._here.engine_id)
            claimed = _Claimed(replace(call, attempt=begun["attempt"]), executor)
        elif _reconciles(executor, call) and stops < MOST_ATTEMPTS:
            begun, claimed = {"engine_id": self._here.engine_id}, _Claimed(call, executor, is_lost=True)
        else:
            outcomes.ask(work, invocation, STOPPED_OFTEN.format(stops) if stops >= MOST_ATTEMPTS else STOPPED)
            return None
        if questions.withdraw(work, invocation):  # whoever asked is gone; this attempt asks for itself
            questions.carry_on(work)
            work.tell_chat()
        work.save(invocation, **begun)
        return claimed

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

    async def _carry_out(self, claimed: _Claimed) -> _Ended | None:
        """What came of it, after as many attempts as do no harm; None: nobody wants it any more."""
        call, executor = claimed.call, claimed.executor
        if claimed.is_lost:
            found = await self._reconciled(call, executor)
            if not isinstance(found, NotDone):
                return _Ended(call, found)
            again = await self._begin_again(call, last=AttemptEnd.NOT_DONE)
            if again is None:
                return None
            call = again
        left = RETRIES if call.tool.retries is None else call.tool.retries
        pause = FIRST_PAUSE_SECONDS
        while True:
            made = await self._attempt(call, executor)
            if made is None:
                return None
            outcome: Produced | ToolFailure | Elsewhere | Unsure = made
            if isinstance(made, ToolFailure) and not (left and _may_retry(executor, call, made)):
                outcome = await self._looked_into(call, executor, made)
            if not isinstance(outcome, ToolFailure) or not left or not _may_retry(executor, call, outcome):
                return _Ended(call, outcome)
            pause = max(pause, outcome.retry_after_seconds or 0.0)
            if pause > LONGEST_PAUSE_SECONDS:
                return _Ended(call, outcome)
            logger.info("tool %s: tried again in %g s: %s", call.tool.name, pause, outcome.text)
            await self._desk.progress(call, f"trying again in {pause:g} s")
            await anyio.sleep(pause)
            try:
                again = await self._begin_again(call)
            except (StoreError, Stale):  # what cannot be recorded is not begun
                return _Ended(call, outcome)
            if again is None:
                return None
            call, left, pause = again, left - 1, pause * 2

    async def _begin_again(self, call: Execution, *, last: AttemptEnd = AttemptEnd.FAILED) -> Execution | None:
        """The next attempt, recorded before it begins; None where the call is over, or somebody else's, by now."""

        def change(tx: Writing) -> Execution | None:
            invocation = tx.get(InvocationRecord, call.invocation_id)
            if invocation is None or not self._has(invocation, call):
                return None
            here = self._here.engine_id
            begun = journal.begin(invocation, at=tx.now, engine_id=here, last=last)
            tx.update(invocation.but(**begun))
            return replace(call, attempt=begun["attempt"])

        return await self._store.write(change)

    def _has(self, invocation: InvocationRecord, call: Execution) -> bool:
        """Whether this process has the call still, at this very attempt."""
        if not is_open(INVOCATION, invocation.status) or invocation.attempt != call.attempt:
            return False
        return invocation.engine_id == self._here.engine_id

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

    # -- finding out -----------------------------------------------------------------------------------------------

    async def _looked_into(
        self, call: Execution, executor: ToolExecutor, failure: ToolFailure
    ) -> Produced | ToolFailure | Unsure:
        """What came of an attempt whose answer was lost; the failure itself, where nothing was lost or nobody knows."""
        if not failure.is_transient or failure.had_effect is False or not _reconciles(executor, call):
            return failure
        found = await self._reconciled(call, executor)
        match found:
            case NotDone():
                text = failure.text + NOT_DONE
                return ToolFailure(text, data=failure.data, is_transient=True, had_effect=False)
            case Unsure():
                return Unsure(f"{failure.text}; {found.why}")
            case Produced():
                return found

    async def _reconciled(self, call: Execution, executor: ToolExecutor) -> Produced | NotDone | Unsure:
        """What the executor finds out about the attempts so far."""
        assert isinstance(executor, Reconciler)
        seconds = call.tool.timeout or RECONCILE_SECONDS
        with anyio.move_on_after(seconds):
            try:
                return await executor.reconcile(call, self._desk)
            except ToolFailure as failure:
                return Unsure(failure.text)
            except Fault as fault:
                return Unsure(fault.detail)
            except StoreError:
                raise
            except Exception:
                logger.exception("tool %s: finding out what came of a call broke", call.tool.name)
                return Unsure(INTERNAL_ERROR)
        return Unsure(f"what became of it could not be found out within {seconds:g} s")

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
        if ended.is_sized or isinstance(ended.outcome, Unsure):
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


def _execution(work: Work, invocation: InvocationRecord, tool: AgentTool) -> Execution:
    """The call as its executor gets it, at the attempt that was recorded last."""
    return Execution(
        invocation_id=invocation.id,
        chat_id=work.chat.id,
        run_id=invocation.run_id,
        owner=work.chat.owner,
        tool=tool,
        arguments=invocation.arguments,
        context=work.chat.context,
        idempotency_key=f"{invocation.id}-{invocation.arguments_hash[:16]}",
        attempt=invocation.attempt,
        askers=lineage.above(work.tx, work.chat.id),
    )


def _reconciles(executor: ToolExecutor, call: Execution) -> bool:
    return isinstance(executor, Reconciler) and executor.reconciles(call)


def _may_repeat(executor: ToolExecutor, call: Execution) -> bool:
    """Whether a call that was begun may be begun anew.

    What an app or agent does begins in the transaction that lets go of the call, so nothing came of an attempt that
    did not get there, whatever the tool says of itself.
    """
    return call.tool.type in _ELSEWHERE or _is_idempotent(executor, call)


def _is_idempotent(executor: ToolExecutor, call: Execution) -> bool:
    return executor.is_idempotent(call) if call.tool.idempotent is None else call.tool.idempotent


def _may_retry(executor: ToolExecutor, call: Execution, failure: ToolFailure) -> bool:
    return failure.is_transient and (failure.had_effect is False or _is_idempotent(executor, call))


def _end(tx: Writing, call: Execution, outcome: Produced | ToolFailure | Elsewhere | Unsure) -> None:
    """What came of the call, unless it is over, or another attempt is under way, by now.

    Where a person is asked what came of it, because this process was believed gone, that is known after all.
    """
    invocation, work = tx.get(InvocationRecord, call.invocation_id), Work.of(tx, call.chat_id)
    if invocation is None or work is None or not is_open(INVOCATION, invocation.status):
        return
    if invocation.attempt != call.attempt:
        return
    is_asked_about = invocation.status is ToolInvocationStatus.AWAITING_APPROVAL
    match outcome:
        case Unsure():
            if not is_asked_about:
                outcomes.ask(work, invocation, outcome.why)
        case Elsewhere():
            if not is_asked_about:
                _let_go(work, invocation, outcome)
        case ToolFailure():
            known = invocations.known_after_all(work, invocation, failed=True)
            invocations.conclude(work, invocation, outcome.text, failed=True, data=outcome.data, **known)
        case Produced():
            files = [asdict(each) for each in outcome.files]
            known = invocations.known_after_all(work, invocation, failed=False)
            invocations.conclude(work, invocation, outcome.text, data=outcome.data, files=files, **known)


def _let_go(work: Work, invocation: InvocationRecord, outcome: Elsewhere) -> None:
    """The call goes on elsewhere, where it is not over at once."""
    work.tx.clear_wake(invocations.wake_key(invocation.id))
    started = outcome.start(work, invocation)
    if is_open(INVOCATION, started.status):
        work.save(started, engine_id=None, **journal.end(started, AttemptEnd.HANDED_OVER, at=work.tx.now))
        work.tell_message(invocation.message_id)
        work.tx.wake(work.chat.id)
