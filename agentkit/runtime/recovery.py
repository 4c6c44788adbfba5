"""What becomes of tasks and sessions whose process is gone: at boot, when another one died, and when this one closes.

A task that nobody called yet waits again; one that was half-way fails, unless its app says that running it twice does
no harm. A task that was accepted is never lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Final

from agentkit.runtime import moves, orders, sessions
from agentkit.runtime.desk import may_run_again
from agentkit.runtime.here import Here
from agentkit.runtime.moments import later
from agentkit.runtime.ports import Engine, Fleet, Reading, Store, Wake, Writing
from agentkit.runtime.records import SessionRecord, TaskRecord
from agentkit.runtime.service import Service
from agentkit.runtime.states import TaskEvent
from agentkit.wire import AppSessionStatus, TaskStatus

__all__ = ["SWEEP_SECONDS", "Recovery"]

logger = logging.getLogger("agentkit.recovery")

SWEEP_SECONDS: Final = 30.0
STOPPED: Final = "the server stopped"
CLOSED: Final = "the runtime was closed"
_OURS: Final = ("task:", "session:", "webhook:", "tool:", "child:", "hook:")
_HALF_WAY: Final = (TaskStatus.RUNNING, TaskStatus.UPLOADING)


class Recovery(Service):
    """Puts right what a process left behind. `is_alive` tells whether an engine's process is there still."""

    def __init__(
        self, store: Store, *, here: Here, fleet: Fleet, engine: Engine, is_alive: Callable[[str], bool]
    ) -> None:
        super().__init__(store)
        self._here = here
        self._fleet = fleet
        self._engine = engine
        self._is_alive = is_alive

    async def boot(self) -> None:
        """Before the first request: takes over from processes that are gone."""
        await self._take_over()
        await self._submit_queued()

    async def sweep(self) -> None:
        """Every 30 s: takes over from processes that died since, and moves what should be moving and is not."""
        await self._take_over()
        await self._submit_queued()
        await self._end_cancelled()
        await self._release_ended()
        now, wakes = await self._store.read(lambda tx: (tx.now, tx.wakes()))
        for wake in wakes:
            if _is_missed(wake, now=now):
                self._engine.wake(Wake(wake.chat_id))

    async def close(self) -> None:
        """When this process ends in good order, after its workers did: nothing is left half-way."""
        await self._write(lambda tx: self._recover(tx, {self._here.engine_id}, why=CLOSED, engine_id=None))

    # -- parts -----------------------------------------------------------------------------------------------------

    async def _take_over(self) -> None:
        """Everything of processes that are gone is ours, or over."""
        named = await self._store.read(_engines)
        here = self._here.engine_id
        dead = {each for each in named if each and each != here and not self._is_alive(each)}
        if not dead and "" not in named:
            return
        taken = await self._write(lambda tx: self._recover(tx, dead, why=STOPPED, engine_id=here))
        logger.info("took over %d tasks of processes that are gone", taken)

    def _recover(self, tx: Writing, dead: Collection[str], *, why: str, engine_id: str | None) -> int:
        """Ends what cannot go on, queues the rest again; `engine_id` is who has it now, None: nobody."""
        for session in tx.find(SessionRecord, status=AppSessionStatus.ACTIVE, engine_id=tuple(dead)):
            sessions.lose(tx, session, reason=why)
        taken = tx.find(TaskRecord, status=moves.OPEN, engine_id=tuple(dead))
        if engine_id is not None:
            taken += tx.find(TaskRecord, status=TaskStatus.QUEUED, engine_id=None)
        for task in taken:
            _settle(tx, task, why=why, engine_id=engine_id)
        return len(taken)

    async def _submit_queued(self) -> None:
        """Puts what waits here into the fleet's queue, in order; what is there already is not put there twice."""
        here = self._here.engine_id
        waiting = await self._store.read(lambda tx: tx.find(TaskRecord, status=TaskStatus.QUEUED, engine_id=here))
        for task in waiting:
            self._fleet.submit(orders.ticket(task))

    async def _end_cancelled(self) -> None:
        """Tells the fleet of cancellations that came in elsewhere; what it does not know has stopped."""
        here = self._here.engine_id
        found = await self._store.read(lambda tx: tx.find(TaskRecord, status=TaskStatus.CANCELLING, engine_id=here))
        stopped = [task.id for task in found if not self._fleet.cancel(task.id)]

        def change(tx: Writing) -> None:
            for task_id in stopped:
                task = tx.get(TaskRecord, task_id)
                if task is not None and task.status is TaskStatus.CANCELLING:
                    moves.end(tx, task, TaskEvent.CANCELLED, kind="cancelled")

        if stopped:
            await self._write(change)

    async def _release_ended(self) -> None:
        """Gives up the workers of sessions that another process ended, or saw expire."""
        held = [worker.session_id for worker in self._fleet.state().workers if worker.session_id]

        def look(tx: Reading) -> list[str]:
            found = {each: tx.get(SessionRecord, each) for each in held}
            return [id for id, each in found.items() if each is None or each.status is not AppSessionStatus.ACTIVE]

        for session_id in await self._store.read(look) if held else ():
            self._fleet.release(session_id)


def _is_missed(wake: Wake, *, now: str) -> bool:
    """Whether this should be moving. Of chats, what was due a while ago: who was to deny a question in time is gone."""
    if wake.at is None or wake.chat_id.startswith(_OURS):
        return wake.at is None or wake.at <= now
    return later(wake.at, SWEEP_SECONDS) <= now


def _engines(tx: Reading) -> set[str]:
    """Every process that has an open task or session; "" where a task waits that nobody has."""
    tasks = tx.find(TaskRecord, status=moves.OPEN)
    active = tx.find(SessionRecord, status=AppSessionStatus.ACTIVE)
    waiting = {each.engine_id or "" for each in tasks if each.status is not TaskStatus.RECEIVED}
    return waiting | {each.engine_id for each in active if each.engine_id}


def _settle(tx: Writing, task: TaskRecord, *, why: str, engine_id: str | None) -> None:
    """One task whose worker is gone with its process."""
    match task.status:
        case TaskStatus.QUEUED if task.session_id:
            moves.end(tx, task, TaskEvent.FAIL, kind="lost", error=f"the session's worker is gone: {why}")
        case TaskStatus.QUEUED:
            moves.save(tx, task, engine_id=engine_id)
        case TaskStatus.CANCELLING:
            moves.end(tx, task, TaskEvent.CANCELLED, kind="cancelled")
        case _ if task.session_id:
            error = f"{why} while the task was running, and its session is lost with it; begin a new session"
            moves.end(tx, task, TaskEvent.FAIL, kind="lost", error=error)
        case status if status in _HALF_WAY and not may_run_again(task):
            moves.end(tx, task, TaskEvent.FAIL, kind="lost", error=f"{why} while the task was running; {_hint(task)}")
        case _:
            moves.again(tx, task, engine_id=engine_id)


def _hint(task: TaskRecord) -> str:
    if task.is_idempotent:
        return f"it was tried {task.attempts} times"
    return "run it again, or set `metadata.idempotent: true` in inf.yml where running it twice does no harm"
