"""A task in the caller's hands: an iterator of its updates that is also the way to its result."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import Any, Self

import anyio

from agentkit.client.drive_task_async import AsyncTaskDrive
from agentkit.client.drive_task_sync import Input, TaskDrive
from agentkit.client.task_errors import error_of
from agentkit.client.task_requests import Manner, task_from
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.errors import TaskLostError, TaskTimeoutError
from agentkit.protocol.effects import Emit, Settle
from agentkit.protocol.watch import WatchMachine
from agentkit.wire import Task, is_terminal_status, parse_status

__all__ = ["AsyncTaskStream", "TaskStream"]

CLOSE_SECONDS = 5.0


class _Deadline:
    """Whether the time is up. Apart from the stream, which a driver that knew it would keep from being dropped."""

    is_over = False

    def leave(self, machine: WatchMachine) -> list[Any]:
        """The time is up."""
        self.is_over = True
        return machine.leave()


class _TaskStream:
    """What both twins know of their task."""

    def __init__(
        self, machine: WatchMachine, begin: Input, *, manner: Manner, since: float | None, first: Task | None
    ) -> None:
        self._machine = machine
        self._begin = begin
        self._manner = manner
        started = time.monotonic() if since is None else since
        self._until = None if manner.timeout is None else started + manner.timeout
        self._deadline = _Deadline()
        self._task = first
        self._end: Settle | None = None

    def __repr__(self) -> str:
        status = None if self._task is None else parse_status(self._task.status)
        told = "" if status is None else f", {status.name.lower()}"
        return f"{type(self).__name__}({self.task_id!r}{told})"

    @property
    def task_id(self) -> str | None:
        """The task's id."""
        return self._task.id if self._task is not None else self._machine.task_id

    @property
    def task(self) -> Task | None:
        """The task as merged from everything heard so far."""
        return self._task

    @property
    def result(self) -> Task | None:
        """The task once it is over, however it ended; None before."""
        return self._task if self._task is not None and is_terminal_status(self._task.status) else None

    @property
    def error(self) -> Exception | None:
        """Why there is no good result: TaskFailedError and its kin; None while it goes on, and where all is well."""
        if self._deadline.is_over:
            why = (
                f"task {self.task_id!r} was not over within {self._manner.timeout:g} s, and goes on; "
                "client.tasks.wait_for_completion(id) waits for it, client.tasks.cancel(id) ends it"
            )
            return TaskTimeoutError(why, outcome="timeout", task_id=self.task_id, task=self._task)
        return None if self._end is None else error_of(self._end, task_id=self.task_id, task=self._task)

    def _take(self, told: Emit, end: Settle | None) -> Task:
        self._task = task_from(told.data, of=f"task {self.task_id!r} as it was told")
        self._settle(end)
        return self._task

    def _settle(self, end: Settle | None) -> None:
        self._end = end
        if self._task is None and end is not None and end.run:
            self._task = task_from(end.run, of=f"task {self.task_id!r} as it was told")

    def _unheard(self) -> Exception | None:
        """What iterating raises at its end: what no update could tell."""
        error = self.error
        is_told = self._end is not None and self._end.outcome in ("completed", "failed", "cancelled", "left")
        return error if self._deadline.is_over or not is_told else None

    def _outcome(self) -> Task:
        if (error := self.error) is not None:
            raise error
        if self._end is None or self._end.outcome != "completed" or self._task is None:
            raise TaskLostError(
                f"nobody listens to task {self.task_id!r} any more, and it was not over; "
                "client.tasks.wait_for_completion(id) looks again",
                outcome="left",
                task_id=self.task_id,
                task=self._task,
            )
        return self._task


class TaskStream(_TaskStream):
    """A task's updates, each the whole task as merged so far; the last one is the end.

    A failed task ends the loop like a completed one: look at its status, or ask `wait()`, which consumes what is left
    and returns the completed task, or raises. Leaving the loop, or the `with` block, stops listening and not the task;
    `cancel()`, from any thread, cancels the task.
    """

    def __init__(
        self,
        transport: Transport,
        machine: WatchMachine,
        begin: Input,
        *,
        manner: Manner,
        since: float | None = None,
        first: Task | None = None,
    ) -> None:
        super().__init__(machine, begin, manner=manner, since=since, first=first)
        self._drive = TaskDrive(transport, machine)
        self._told: Generator[Emit] | None = None
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        if self._is_closed:
            raise StopIteration
        try:
            if (update := next(self._begun(), None)) is not None:
                task = self._take(update, self._drive.end)
                self._manner.tell(task, update.fields)
                return task
        except BaseException:
            self.close()
            raise
        self._is_closed = True
        self._settle(self._drive.end)
        if (error := self._unheard()) is not None:
            raise error
        raise StopIteration

    def wait(self) -> Task:
        """The completed task. Raises TaskFailedError and its kin."""
        for _ in self:
            pass
        return self._outcome()

    def cancel(self) -> None:
        """Cancels the task, from any thread; the loop then ends by itself."""
        self._drive.put(lambda machine: machine.stop())

    def close(self) -> None:
        """Stops listening, as dropping it does. The task goes on."""
        self._is_closed = True
        if self._told is not None:
            self._told.close()

    def _begun(self) -> Generator[Emit]:
        """What the driver tells. Nothing in there knows this stream, so a loop that is left drops and closes it."""
        if self._told is None:
            if self._until is not None:
                self._drive.start_timer("deadline", max(0.0, self._until - time.monotonic()), self._deadline.leave)
            self._told = self._drive.told(self._begin)
        return self._told


class AsyncTaskStream(_TaskStream):
    """The async twin of `TaskStream`. Where you may leave the loop early, enter it: `async with ... as stream`."""

    def __init__(
        self,
        transport: AsyncTransport,
        machine: WatchMachine,
        begin: Input,
        *,
        manner: Manner,
        since: float | None = None,
        first: Task | None = None,
    ) -> None:
        super().__init__(machine, begin, manner=manner, since=since, first=first)
        self._drive = AsyncTaskDrive(transport, machine, begin)
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Task]:
        return self

    async def __anext__(self) -> Task:
        if self._is_closed:
            raise StopAsyncIteration
        try:
            if (update := await self._next()) is not None:
                return await self._tell(update)
        except BaseException:
            await self.close()
            raise
        self._is_closed = True
        self._settle(self._drive.end)
        if (error := self._unheard()) is not None:
            raise error
        raise StopAsyncIteration

    async def wait(self) -> Task:
        """The completed task. Raises TaskFailedError and its kin."""
        try:
            async for _ in self:
                pass
        finally:
            await self.close()
        return self._outcome()

    async def cancel(self) -> None:
        """Cancels the task, from any task of this event loop; the loop then ends by itself."""
        await self._drive.cancel()

    async def close(self) -> None:
        """Stops listening. The task goes on."""
        if self._is_closed:
            return
        self._is_closed = True
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._drive.leave()
        self._settle(self._drive.end)

    async def _tell(self, update: Emit) -> Task:
        task = self._take(update, self._drive.end)
        for given in self._manner.tell(task, update.fields):
            if hasattr(given, "__await__"):
                await given
        return task

    async def _next(self) -> Emit | None:
        if self._until is None:
            return await self._drive.next()
        with anyio.move_on_after(max(0.0, self._until - time.monotonic())) as scope:
            return await self._drive.next()
        self._deadline.is_over = scope.cancelled_caught
        await self.close()
        return None
