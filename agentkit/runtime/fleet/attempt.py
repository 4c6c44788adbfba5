"""One task on one worker: claimed, its app made ready, its function called, its end told."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import anyio

from agentkit.apps.messages import Failed, Ready, Settled, SetUp
from agentkit.errors import AppError
from agentkit.runtime.fleet.call import LOG_SECONDS, Call, Cutting, Limits, known, remove
from agentkit.runtime.fleet.exits import with_log
from agentkit.runtime.fleet.patience import DESK_ATTEMPTS, insist
from agentkit.runtime.fleet.pool import Assignment, Held
from agentkit.runtime.fleet.process import WorkerGone, WorkerProcess
from agentkit.runtime.ports import Desk, End, Job, LocalFile, Source, TaskPart
from agentkit.wire import TaskLogType, TaskStatus

__all__ = ["Attempt", "Start"]

logger = logging.getLogger("agentkit.fleet")

_OF_TASK: Final = dict.fromkeys(("task_id", "idempotency_key"))  # what an app's setup is not told
STOPPED: Final = "the server stopped while the task was running; run it again"

Start: TypeAlias = Callable[[Source, Callable[[str], None]], Awaitable[WorkerProcess]]
"""Starts a process in the attempt's place; its log goes where the second says."""


class _Over(Exception):
    """The attempt is over before the function was called."""

    def __init__(self, end: End) -> None:
        self.end = end


class Attempt:
    """One ticket on one worker. `process` is what the place has in it, before and after; None where there is none.

    `lost_reason` is set where the process that had the state of the session is gone.
    """

    def __init__(
        self,
        assignment: Assignment,
        process: WorkerProcess | None,
        *,
        held: Held | None,
        desk: Desk,
        start: Start,
        limits: Limits,
        counters: Counter[str],
    ) -> None:
        self.task_id = assignment.ticket.task_id
        self.version_id = assignment.ticket.version_id
        self.session_id = assignment.ticket.session_id
        self.place_id = assignment.place_id
        self.process = process
        self.held = held if process is not None else None
        self.lost_reason: str | None = None
        self.is_claimed = False
        self.cut = anyio.CancelScope()  # for the fleet, when it is left
        self.gone = anyio.Event()
        self._assignment = assignment
        self._desk = desk
        self._start = start
        self._limits = limits
        self._counters = counters
        self._cutting = Cutting(limits.cancel_seconds)
        self._before = anyio.CancelScope()  # everything before the function is called
        self._call: Call | None = None
        self._end: End | None = None

    # -- from outside ----------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether the function was called."""
        return self._call is not None

    async def run(self) -> None:
        """Claims the task, does it, and tells its end. Nothing is raised but the cancellation of the caller."""
        job = await insist(
            f"task {self.task_id}: claiming it",
            lambda: self._desk.claim(self.task_id, worker_id=self.place_id),
        )
        if job is None:
            return
        self.is_claimed = True
        try:
            self._end = await self._do(job)
        except Exception as error:
            logger.exception("task %s: the fleet failed", self.task_id)
            await self._drop()
            self._end = End("failed", error=f"the fleet failed: {type(error).__name__}: {error}")
        if self.process is not None:
            self.process.log.sink = None
        self._counters[self._end.kind] += 1
        await self.tell_end()

    async def tell_end(self) -> None:
        """Tells how the task ended, also where the attempt was cut off."""
        verdict = self._call.verdict if self._call is not None else None
        end = self._end or verdict or End("lost", error=STOPPED)
        await insist(f"task {self.task_id}: telling its end", lambda: self._desk.ended(self.task_id, end))
        self.is_claimed = False

    def cancel(self, *, timeout_seconds: float | None, force: bool) -> None:
        """Cancels what is under way: at once before the function is called, then as the port says."""
        self._cutting.ask(seconds=timeout_seconds, force=force)
        if self._call is None:
            self._before.cancel()

    # -- the whole of it -------------------------------------------------------------------------------------------

    async def _do(self, job: Job) -> End:
        ready: tuple[WorkerProcess, Mapping[str, LocalFile]] | None = None
        try:
            with self._before:
                ready = await self._prepare(job)
        except _Over as over:
            return over.end
        except AppError as error:
            await self._drop_unfinished()
            return End("failed", error=str(error))
        if ready is None or self._before.cancel_called:
            await self._drop_unfinished()
            return End("cancelled")
        self._call = self._call_on(ready[0], job)
        return await self._run(self._call, *ready, job)

    def _call_on(self, process: WorkerProcess, job: Job) -> Call:
        cutting, limits, counters = self._cutting, self._limits, self._counters
        return Call(process, job, desk=self._desk, cutting=cutting, limits=limits, counters=counters)

    async def _run(self, call: Call, process: WorkerProcess, files: Mapping[str, LocalFile], job: Job) -> End:
        process.log.sink = self._log(TaskLogType.RUN)
        process.calls += 1
        try:
            return await call.run(files, self._metadata(job))
        finally:
            if call.is_broken or not process.is_alive:
                await self._drop()
            await remove(self._folder_in(process))

    async def _drop(self) -> None:
        """Ends the process: what it is up to is of no use."""
        process, self.process = self.process, None
        held, self.held = self.held, None
        if process is not None:
            await process.kill()
            if held is not None and held.session_id is not None:
                self.lost_reason = process.reason

    async def _drop_unfinished(self) -> None:
        if self.held is None:
            await self._drop()

    # -- before the function is called -----------------------------------------------------------------------------

    async def _prepare(self, job: Job) -> tuple[WorkerProcess, Mapping[str, LocalFile]]:
        """Makes a worker ready, fetches the files, and says that it runs. Raises _Over, AppError."""
        process = await self._warm_process()
        self._counters["cold" if process is None else "warm"] += 1
        if process is None:
            process = await self._load(job)
        wanted = Held.by(self._assignment.ticket)
        if self.held != wanted:
            self.held = None
            await self._set_up(process, job)
            self.held = wanted
        files = await self._fetch(self._folder_in(process), "input")
        await self._moved(TaskStatus.RUNNING)
        return process, files

    async def _warm_process(self) -> WorkerProcess | None:
        """The process that has the app loaded. It may have died idle, which is not the fault of this task."""
        process = self.process
        if process is None or self._assignment.warmth == "cold":
            return None
        if await process.is_there():
            return process
        if self.session_id is not None:
            raise await self._failed(f"the session's worker is gone: the app's process {process.reason}")
        return None

    async def _load(self, job: Job) -> WorkerProcess:
        """Starts a process, in the place of the one that is there."""
        await self._retire()
        source = await insist(
            f"task {self.task_id}: making the app ready",
            lambda: self._desk.source(self.task_id, job.version_id),
            attempts=DESK_ATTEMPTS,
        )
        await self._moved(TaskStatus.SERVING)
        seconds = self._limits.start_seconds
        with anyio.move_on_after(seconds):
            try:
                process = self.process = await self._start(source, self._log(TaskLogType.SERVE))
            except OSError as error:
                raise _Over(End("failed", error=f"cannot start {str(source.python)!r}: {error}")) from None
            await self._expect(process, Ready, "while it was starting", after=process.load(source))
            return process
        raise await self._failed(f"the app did not start within {seconds:g} s")

    async def _retire(self) -> None:
        """Lets the process that has the place go."""
        process, self.process, self.held = self.process, None, None
        if process is not None:
            self._counters["released"] += 1
            await process.stop(grace_seconds=self._limits.kill_seconds)

    async def _set_up(self, process: WorkerProcess, job: Job) -> None:
        await self._moved(TaskStatus.SETTING_UP)
        process.log.sink = self._log(TaskLogType.SETUP)
        files = known(await self._fetch(process.scratch / "setup", "setup"))  # the app has them while it lives
        seconds = self._limits.default_timeout_seconds
        with anyio.move_on_after(seconds):
            set_up = SetUp(job.setup, {**self._metadata(job), **_OF_TASK}, files)
            await self._expect(process, Settled, "while it was being set up", after=process.send(set_up))
            return
        raise await self._failed(f"the app was not set up within {seconds:g} s")

    async def _expect(
        self, process: WorkerProcess, kind: type[Ready | Settled], when: str, *, after: Coroutine[Any, Any, None]
    ) -> None:
        try:
            await after
            message = await process.receive()
        except WorkerGone as gone:
            raise await self._failed(with_log(f"the app's process {gone} {when}", process.log.tail)) from None
        if not isinstance(message, kind | Failed):
            raise await self._failed(f"the app's process sent {type(message).__name__} {when}")
        await process.log.reached(message.mark, timeout_seconds=LOG_SECONDS)
        if isinstance(message, Failed):
            raise await self._failed(message.error)

    async def _failed(self, error: str) -> _Over:
        """The process is of no use, and the task failed."""
        await self._drop()
        return _Over(End("failed", error=error))

    async def _fetch(self, folder: Path, part: TaskPart) -> Mapping[str, LocalFile]:
        await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
        return await insist(
            f"task {self.task_id}: fetching the files of its {part}",
            lambda: self._desk.fetch(self.task_id, folder, part=part),
            attempts=DESK_ATTEMPTS,
        )

    async def _moved(self, status: TaskStatus) -> None:
        what = f"task {self.task_id}: saying that it is {status.name.lower()}"
        if not await insist(what, lambda: self._desk.moved(self.task_id, status)):
            await self._drop_unfinished()
            raise _Over(End("cancelled"))

    # -- what it needs ---------------------------------------------------------------------------------------------

    def _log(self, kind: TaskLogType) -> Callable[[str], None]:
        return partial(self._desk.logged, self.task_id, kind)

    def _metadata(self, job: Job) -> dict[str, Any]:
        return {
            "app_id": job.app_id,
            "app_version_id": job.version_id,
            "worker_id": self.place_id,
            "task_id": job.task_id,
            "user_id": job.owner,
            "session_id": self.session_id,
            "idempotency_key": job.idempotency_key,
        }

    def _folder_in(self, process: WorkerProcess) -> Path:
        return process.scratch / "files" / self.task_id
