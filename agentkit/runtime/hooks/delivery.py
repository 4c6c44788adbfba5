"""Asking hooks: claimed, waited for, and answered once; told again until somebody listens.

One wake-up per hook and moment (`hook:<id>`), so hooks about different calls are asked side by side.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import anyio

from agentkit.errors import StoreError
from agentkit.runtime import held, runs
from agentkit.runtime.cancelling import is_cancelled
from agentkit.runtime.here import Here
from agentkit.runtime.hooks import HookCall, HookFailure, HookHandler
from agentkit.runtime.hooks.definition import TIMEOUT_SECONDS, default_of
from agentkit.runtime.hooks.inquiry import record, wake_key
from agentkit.runtime.moments import later
from agentkit.runtime.ports import Stale, Store, Writing
from agentkit.runtime.records import HookCallRecord
from agentkit.runtime.webhooks import pause_after
from agentkit.runtime.work import Work
from agentkit.wire import AgentConfig, HookDecision, HookEvent, HookHandlerType, HookResponse

__all__ = ["Hooks"]

logger = logging.getLogger("agentkit.hooks")

MOST_TELLINGS: Final = 6  # of a hook that nobody waits for: about two minutes and a half
INTERNAL_ERROR: Final = "internal error; the server's log says more"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of an attempt: an answer, or why there is none."""

    response: HookResponse
    failure: str | None = None


class Hooks:
    """Asks hooks. `is_alive` tells whether another process that claimed one is there still."""

    def __init__(
        self, store: Store, *, handlers: Iterable[HookHandler], here: Here, is_alive: Callable[[str], bool]
    ) -> None:
        self._store = store
        self._handlers = {handler.type: handler for handler in handlers}
        self._here = here
        self._is_alive = is_alive
        self._held: dict[str, _Outcome] = {}  # answered, and not saved yet

    async def require(self, config: AgentConfig, *, owner: str) -> None:
        """Raises Fault where a hook of the agent needs what is not there."""
        for hook in config.hooks or ():
            handler = self._handlers.get(HookHandlerType(hook.type))
            if handler is not None:
                await handler.require(hook, owner=owner)

    async def aclose(self) -> None:
        """Closes what the handlers opened."""
        for handler in self._handlers.values():
            await handler.aclose()

    async def advance(self, call_id: str) -> None:
        """What a wake-up is for. May come twice: a hook is asked by who claims it."""
        if (kept := self._held.get(call_id)) is not None:
            await self._save(call_id, kept)
            return
        call = await self._store.write(lambda tx: self._claim(tx, call_id))
        if call is not None:
            await self._save(call_id, await self._ask(call))

    # -- parts -----------------------------------------------------------------------------------------------------

    def _claim(self, tx: Writing, call_id: str) -> HookCall | None:
        row = tx.get(HookCallRecord, call_id)
        work = Work.of(tx, row.chat_id) if row else None
        if row is None or work is None or row.decision is not None or row.interrupt_id is not None:
            tx.clear_wake(wake_key(call_id))
            return None
        if row.engine_id not in (None, self._here.engine_id) and self._is_alive(str(row.engine_id)):
            return None  # the sweep looks again, should it die
        work.save(row, engine_id=self._here.engine_id, attempts=row.attempts + 1)
        return HookCall(
            id=row.id,
            owner=work.chat.owner,
            chat_id=row.chat_id,
            run_id=row.run_id,
            hook=row.hook,
            payload=row.payload,
            is_told=row.is_told,
            execution_id=row.execution_id,
        )

    async def _ask(self, call: HookCall) -> _Outcome:
        """The hook's answer; where there is none, what counts instead."""
        hook = call.hook
        seconds = hook.timeout or TIMEOUT_SECONDS
        with anyio.move_on_after(seconds):
            try:
                response = await self._handlers[HookHandlerType(hook.type)].ask(call)
                return _Outcome(_understood(response))
            except HookFailure as failure:
                return _without_answer(call, failure.text)
            except anyio.get_cancelled_exc_class():
                if is_cancelled():
                    raise
                logger.exception("hook %s on %s: cancelled from inside", call.id, hook.event)
                return _without_answer(call, INTERNAL_ERROR)
            except (StoreError, Stale):
                raise
            except Exception:
                logger.exception("hook %s on %s broke", call.id, hook.event)
                return _without_answer(call, INTERNAL_ERROR)
        return _without_answer(call, f"no answer within {seconds:g} s")

    async def _save(self, call_id: str, outcome: _Outcome) -> None:
        """Saves the answer; held should the database not take it, so that nobody is asked again."""
        try:
            await held.save(self._store, lambda tx: _end(tx, call_id, outcome), what=f"the answer of hook {call_id}")
        except StoreError:
            self._held[call_id] = outcome
            raise
        self._held.pop(call_id, None)


def _end(tx: Writing, call_id: str, outcome: _Outcome) -> None:
    row = tx.get(HookCallRecord, call_id)
    work = Work.of(tx, row.chat_id) if row else None
    if row is None or work is None or row.decision is not None or row.interrupt_id is not None:
        return
    if row.is_told and outcome.failure is not None and row.attempts < MOST_TELLINGS:
        tx.clear_wake(wake_key(row.id))
        tx.wake(wake_key(row.id), at=later(tx.now, pause_after(row.attempts)))
        return
    child = Work.of(tx, row.execution_id) if row.execution_id and not row.is_told else None
    if outcome.failure is not None and child is not None:
        runs.stop(child)  # an agent that is out of time
    record(work, row, outcome.response)


def _understood(response: HookResponse) -> HookResponse:
    if response.decision not in tuple(HookDecision):
        known = ", ".join(HookDecision)
        raise HookFailure(f"it answered with the decision {str(response.decision)[:50]!r}, which is none of {known}")
    return response


def _without_answer(call: HookCall, why: str) -> _Outcome:
    """What counts without an answer. An answer of the model's that nobody judged ends the run where that is denied."""
    hook, decision = call.hook, default_of(call.hook)
    logger.warning("hook %s on %s (%s): %s", call.id, hook.event, "told" if call.is_told else decision, why)
    if decision is HookDecision.DENY and hook.event == HookEvent.AGENT_TURN_COMPLETE:
        decision = HookDecision.STOP
    return _Outcome(HookResponse(decision=decision, reason=f"the hook gave no answer ({why})"), why)
