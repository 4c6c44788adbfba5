"""The fleet of one machine: worker processes, started when a task needs them and kept while they are of use."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Final

import anyio
from anyio.abc import TaskGroup

from agentkit.errors import UsageError
from agentkit.runtime.fleet.attempt import Attempt
from agentkit.runtime.fleet.call import Limits
from agentkit.runtime.fleet.patience import insist
from agentkit.runtime.fleet.pool import Assignment, Held, Place, Pool
from agentkit.runtime.fleet.process import WorkerProcess, rss_bytes
from agentkit.runtime.ports import Desk, End, FleetState, Source, Ticket, WorkerInfo

__all__ = ["LocalFleet"]

logger = logging.getLogger("agentkit.fleet")

COUNTERS: Final = (
    "started", "lost", "released", "killed", "completed", "failed", "cancelled", "timeout", "warm", "cold",
)  # fmt: skip
PATIENCE_SECONDS: Final = 0.5  # about what starting an app costs: so long a task waits for a warm worker that is busy
REPORT_SECONDS: Final = 3.0  # for the platform to take in what was cut off by leaving


class LocalFleet:
    """Runs app functions in processes on this machine (port Fleet).

    size                     how many tasks run at a time; without one, as many as there are CPUs
    idle_seconds             a process without a task is ended after this long, except a session's
    memory_bytes             what an app's process may use at most, where the app's own limit is not lower (Linux)
    default_timeout_seconds  how long a function may run, where its task does not say
    cancel_seconds           how long a cancelled app may take on its own, where the cancel does not say
    kill_seconds             how long a process that was told to end may take before it is killed
    start_seconds            how long an app may take to be imported
    name                     the workers are called name-1, name-2, ...
    """

    def __init__(
        self,
        size: int | None = None,
        *,
        idle_seconds: float = 60.0,
        memory_bytes: int | None = None,
        default_timeout_seconds: float = 3600.0,
        cancel_seconds: float = 10.0,
        kill_seconds: float = 5.0,
        start_seconds: float = 120.0,
        name: str = "worker",
    ) -> None:
        size = size if size is not None else os.cpu_count() or 1
        if size < 1:
            raise UsageError(f"size={size!r}: a fleet has at least one worker")
        self._pool = Pool([f"{name}-{number}" for number in range(1, size + 1)])
        self._limits = Limits(default_timeout_seconds, cancel_seconds, kill_seconds, start_seconds)
        self._idle_seconds = idle_seconds
        self._memory_bytes = memory_bytes
        self._counters: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
        self._processes: dict[str, WorkerProcess] = {}  # by place
        self._idle_since: dict[str, float] = {}  # by place
        self._since: dict[str, float] = {}  # by task that was passed over, because a warm worker may be free soon
        self._attempts: dict[str, Attempt] = {}  # by task
        self._stopping: set[str] = set()  # places
        self._again: dict[str, Ticket] = {}  # submitted while an attempt at them was under way
        self._news: anyio.Event | None = None  # set when the dispatcher should look again
        self._is_entered = False

    def run(self, desk: Desk) -> AbstractAsyncContextManager[None]:
        """While entered, workers take tickets; leaving ends every worker and whatever it started.

        A task that is cut off by that is told to be `lost`. Nothing is started before a ticket needs it.
        """
        return _Running(partial(self._dispatch, desk), enter=self._enter, leave=self._shut_down)

    def submit(self, ticket: Ticket) -> None:
        """Queues the task; once more, where an attempt at it is just ending."""
        if ticket.task_id in self._attempts:
            self._again[ticket.task_id] = ticket
        else:
            self._pool.queue.add(ticket)
        self._look_again()

    def cancel(self, task_id: str, *, timeout_seconds: float | None = None, force: bool = False) -> bool:
        """Cancels the task: out of the queue, or its app is asked, then told, then killed. False: it is not here."""
        was_queued = self._pool.queue.remove(task_id) is not None
        self._since.pop(task_id, None)
        was_again = self._again.pop(task_id, None) is not None
        attempt = self._attempts.get(task_id)
        if attempt is not None:
            attempt.cancel(timeout_seconds=timeout_seconds, force=force)
        return was_queued or was_again or attempt is not None

    def lease(self, session_id: str, *, workers: Sequence[str] = ()) -> bool:
        """Keeps a place for a session's worker, whose process nobody else had or will have."""
        return self._pool.lease(session_id, workers)

    def release(self, session_id: str) -> None:
        """Ends the session's worker, after what it is doing."""
        self._pool.release(session_id)
        self._look_again()

    def state(self) -> FleetState:
        """How the pool is doing: the workers that have a process, or a task."""
        running = {attempt.place_id: attempt.task_id for attempt in self._attempts.values()}
        infos = [self._info(place, running.get(place.id)) for place in self._pool.places.values()]
        return FleetState(
            size=len(self._pool.places),
            queued=len(self._pool.queue),
            workers=[info for info in infos if info is not None],
            counters=dict(self._counters),
        )

    def _info(self, place: Place, task_id: str | None) -> WorkerInfo | None:
        process = self._processes.get(place.id)
        if process is None and task_id is None and place.session_id is None:
            return None
        attempt = self._attempts.get(task_id or "")
        is_starting = attempt is not None and not attempt.is_running
        state = (
            "stopping" if place.id in self._stopping else "starting" if is_starting else "busy" if task_id else "idle"
        )
        version_id = place.held.version_id if place.held else attempt.version_id if attempt else ""
        pid = process.pid if process else None
        calls = process.calls if process else 0
        return WorkerInfo(
            place.id, pid, version_id, place.session_id, state, task_id, calls, rss_bytes(pid) if pid else None
        )

    # -- one task at a time ----------------------------------------------------------------------------------------

    async def _dispatch(self, desk: Desk, group: TaskGroup) -> None:
        """Gives tickets to workers, and ends workers that nobody needs; the only task that does."""
        while True:
            self._news = anyio.Event()
            for ticket, why in self._pool.stranded():
                self._since.pop(ticket.task_id, None)
                group.start_soon(self._refuse, desk, ticket, why)
            while (assignment := self._pool.assign(self._has_waited)) is not None:
                attempt = self._attempt(assignment, desk, group)
                group.start_soon(self._serve, attempt, desk, name=f"task {attempt.task_id}")
            seconds = min(self._end_idle(group), self._next_patience())
            with anyio.move_on_after(seconds):
                await self._news.wait()

    def _has_waited(self, ticket: Ticket) -> bool:
        """Whether it was passed over for long enough; counted from the first time."""
        now = time.monotonic()
        return now >= self._since.setdefault(ticket.task_id, now) + PATIENCE_SECONDS

    def _next_patience(self) -> float:
        """In how many seconds the next ticket that waits may have another app's process ended for it."""
        now = time.monotonic()
        ends = (since + PATIENCE_SECONDS - now for since in self._since.values())
        return min((seconds for seconds in ends if seconds > 0), default=math.inf)

    def _attempt(self, assignment: Assignment, desk: Desk, group: TaskGroup) -> Attempt:
        """Registered before it starts: it can be cancelled, and is not started twice."""
        place = self._pool.places[assignment.place_id]
        self._idle_since.pop(place.id, None)
        self._since.pop(assignment.ticket.task_id, None)
        attempt = Attempt(
            assignment,
            self._processes.get(place.id),
            held=place.held,
            desk=desk,
            start=partial(self._start, place.id, desk, group),
            limits=self._limits,
            counters=self._counters,
        )
        self._attempts[attempt.task_id] = attempt
        return attempt

    async def _serve(self, attempt: Attempt, desk: Desk) -> None:
        try:
            with attempt.cut:
                await attempt.run()
        finally:
            attempt.gone.set()
        if attempt.cut.cancelled_caught:
            return  # the fleet is left, which sees to it
        del self._attempts[attempt.task_id]
        self._settle(attempt)
        if attempt.session_id is not None and attempt.lost_reason is not None:
            await self._lose(attempt.session_id, attempt.lost_reason, desk)
        again = self._again.pop(attempt.task_id, None)
        if again is not None:
            self._pool.queue.add(again)
        self._look_again()

    def _settle(self, attempt: Attempt) -> None:
        """The place is free again, with the process that is left in it, or without."""
        process = attempt.process
        if process is not None and not process.is_alive:
            attempt.lost_reason = process.reason if attempt.session_id else None
            process = None
        if process is None:
            self._processes.pop(attempt.place_id, None)
        self._free(attempt.place_id, attempt.held if process is not None else None)

    def _free(self, place_id: str, held: Held | None) -> None:
        self._pool.free(place_id, held)
        self._idle_since[place_id] = anyio.current_time()

    async def _refuse(self, desk: Desk, ticket: Ticket, why: str) -> None:
        await insist(
            f"task {ticket.task_id}: refusing it", lambda: desk.ended(ticket.task_id, End("failed", error=why))
        )

    async def _lose(self, session_id: str, reason: str, desk: Desk) -> None:
        self._pool.release(session_id)
        why = f"the app's process {reason}"
        await insist(f"session {session_id}: telling its end", lambda: desk.worker_lost(session_id, why))
        self._look_again()

    # -- processes -------------------------------------------------------------------------------------------------

    async def _start(
        self, place_id: str, desk: Desk, group: TaskGroup, source: Source, log: Callable[[str], None]
    ) -> WorkerProcess:
        limits = [limit for limit in (source.memory_bytes, self._memory_bytes) if limit is not None]
        source = replace(source, memory_bytes=min(limits, default=None))
        process = await WorkerProcess.start(source, group=group, log=log)
        self._processes[place_id] = process
        self._counters["started"] += 1
        group.start_soon(self._watch, place_id, process, desk, name=f"watch {place_id}")
        return process

    async def _watch(self, place_id: str, process: WorkerProcess, desk: Desk) -> None:
        """Notices a process that dies of itself while it has nothing to do; otherwise somebody else does."""
        await process.over.wait()
        place = self._pool.places[place_id]
        if process.was_ended or self._processes.get(place_id) is not process or place.is_busy:
            return
        del self._processes[place_id]
        self._counters["lost"] += 1
        self._free(place_id, None)
        logger.warning("%s: the app's process %s while it was idle", place_id, process.reason)
        if place.session_id is not None and place.held is not None and place.held.session_id == place.session_id:
            await self._lose(place.session_id, process.reason, desk)

    def _end_idle(self, group: TaskGroup) -> float:
        """Ends the processes that nobody will need; how long to wait for the next one, in seconds."""
        now = anyio.current_time()
        next_seconds = math.inf
        for place_id in self._processes:
            place = self._pool.places[place_id]
            if place.is_busy or place.held is None:
                continue
            seconds = self._idle_since[place_id] + self._idle_seconds - now
            is_released = place.held.session_id is not None and place.held.session_id != place.session_id
            if is_released or (place.session_id is None and seconds <= 0):
                self._pool.occupy(place_id)
                group.start_soon(self._retire, place_id, name=f"retire {place_id}")
            elif place.session_id is None:
                next_seconds = min(next_seconds, seconds)
        return next_seconds

    async def _retire(self, place_id: str) -> None:
        self._stopping.add(place_id)
        process = self._processes[place_id]
        await process.stop(grace_seconds=self._limits.kill_seconds)
        self._stopping.discard(place_id)
        self._processes.pop(place_id, None)
        self._counters["released"] += 1
        self._free(place_id, None)
        self._look_again()

    def _look_again(self) -> None:
        if self._news is not None:
            self._news.set()

    # -- entering and leaving --------------------------------------------------------------------------------------

    def _enter(self) -> None:
        if self._is_entered:
            raise UsageError("this fleet runs already; a second desk needs a fleet of its own")
        self._is_entered = True

    async def _shut_down(self) -> None:
        """Ends every process, whatever else goes wrong; then tells of the tasks that were cut off."""
        with anyio.CancelScope(shield=True):
            try:
                await self._end_all()
            finally:
                async with anyio.create_task_group() as group:  # those that could not be ended well
                    for process in self._processes.values():
                        group.start_soon(process.kill)
                self._forget()

    async def _end_all(self) -> None:
        for attempt in list(self._attempts.values()):
            attempt.cut.cancel()
        for attempt in list(self._attempts.values()):
            await attempt.gone.wait()
        for place_id in self._pool.places:
            self._pool.occupy(place_id)
        busy = {attempt.place_id for attempt in self._attempts.values()}
        async with anyio.create_task_group() as group:
            for place_id, process in self._processes.items():
                group.start_soon(self._end, process, place_id in busy)
        cut = [attempt for attempt in self._attempts.values() if attempt.is_claimed]
        with anyio.move_on_after(REPORT_SECONDS):
            async with anyio.create_task_group() as group:
                for attempt in cut:
                    group.start_soon(attempt.tell_end)

    async def _end(self, process: WorkerProcess, is_busy: bool) -> None:
        if is_busy:  # it cannot unload now
            process.terminate()
            with anyio.move_on_after(self._limits.kill_seconds):
                await process.over.wait()
            await process.kill()
        else:
            await process.stop(grace_seconds=self._limits.kill_seconds)

    def _forget(self) -> None:
        self._pool.clear()
        for kept in (self._processes, self._idle_since, self._attempts, self._stopping, self._again, self._since):
            kept.clear()
        self._news = None
        self._is_entered = False


class _Running:
    """A task group whose leaving ends the fleet's processes, and which raises the body's exception bare."""

    def __init__(
        self,
        dispatch: Callable[[TaskGroup], Awaitable[None]],
        *,
        enter: Callable[[], None],
        leave: Callable[[], Awaitable[None]],
    ) -> None:
        self._dispatch = dispatch
        self._enter = enter
        self._leave = leave
        self._group = anyio.create_task_group()
        self._dispatching = anyio.CancelScope()
        self._is_over = anyio.Event()  # nothing new is begun

    async def __aenter__(self) -> None:
        self._enter()
        await self._group.__aenter__()
        self._group.start_soon(self._run, name="fleet")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dispatching.cancel()
        try:
            with anyio.CancelScope(shield=True):
                await self._is_over.wait()
        finally:  # a cancel of asyncio's own passes the shield
            try:
                await self._leave()
            finally:
                self._group.cancel_scope.cancel()
                await self._group.__aexit__(None, None, None)

    async def _run(self) -> None:
        try:
            with self._dispatching:
                await self._dispatch(self._group)
        finally:
            self._is_over.set()
