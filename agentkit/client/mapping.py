"""One app over many inputs: so many tasks at a time, results as they are wanted.

Leaving early, be it by an error, `break` out of the `with` block or Ctrl-C, cancels the tasks under way: they are
nobody's but ours.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeAlias, TypeVar

import anyio
import anyio.abc

from agentkit.client.crew import Crew
from agentkit.client.task_requests import RunOptions, check_options
from agentkit.client.task_streams import AsyncTaskStream, TaskStream
from agentkit.errors import AgentKitError, TaskTimeoutError, UsageError
from agentkit.wire import RunTaskRequest, Task

__all__ = ["AsyncRunner", "AsyncTaskMap", "MapOptions", "Runner", "TaskMap", "bodies"]

R = TypeVar("R")

Result: TypeAlias = Task | BaseException

CANCEL_SECONDS = 10.0


class Runner(NamedTuple):
    """How to begin a run of these params and options, and how to cancel a task."""

    begin: Callable[[dict[str, Any], dict[str, Any]], TaskStream]
    cancel: Callable[[str], object]


class AsyncRunner(NamedTuple):
    """The async twin of `Runner`."""

    begin: Callable[[dict[str, Any], dict[str, Any]], Awaitable[AsyncTaskStream]]
    cancel: Callable[[str], Awaitable[object]]


class MapOptions(RunOptions, total=False):
    """How to run many. What else is here goes to every run; the sync client's runs call back from their own threads.

    `ordered` False yields results as they come. `on_progress(done, started)` is called after every run. A task that is
    not over within `timeout` is cancelled.
    """

    ordered: bool
    on_progress: Callable[[int, int], Any] | None


def bodies(inputs: Iterable[Any], app: str | Mapping[str, Any] | RunTaskRequest) -> Iterator[dict[str, Any]]:
    """The params of each run."""
    if isinstance(inputs, str | bytes | Mapping):
        raise UsageError("map() takes many inputs, and got a single one; wrap it in a list")
    if isinstance(app, RunTaskRequest):
        app = app.to_wire()
    if not isinstance(app, str | Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]: not every caller is typed
        raise UsageError(
            f"map(inputs, app) takes an app such as 'acme/resize', or the params of all runs, not {app!r:.60}"
        )
    shared = {"app": app} if isinstance(app, str) else dict(app)
    if shared.get("idempotency_key") is not None:
        raise UsageError("one idempotency_key for many runs would make them one")
    return ({**shared, "input": each} for each in inputs)


class _Plan:
    """What both twins know: which inputs are to be begun, and which results may be handed out."""

    def __init__(self, work: Iterator[dict[str, Any]], concurrency: int, options: dict[str, Any]) -> None:
        if type(concurrency) is not int or concurrency < 1:
            raise UsageError(f"concurrency is {concurrency!r}; give a whole number, 1 or more")
        check_options("map()", options, "ordered", "return_exceptions", "on_progress")
        if options.get("idempotency_key") is not None:
            raise UsageError("one idempotency_key for many runs would make them one")
        self._ordered: bool = options.pop("ordered", True)
        self._returns: bool = options.pop("return_exceptions", False)
        self._on_progress: Callable[[int, int], Any] | None = options.pop("on_progress", None)
        self._options = options
        self._work = work
        self._concurrency = concurrency
        self._begun = self._done = self._given = 0
        self._ready: dict[int, Result] = {}

    def _take(self, place: int, result: Result) -> Any:
        self._done += 1
        if isinstance(result, BaseException) and not (self._returns and isinstance(result, Exception)):
            result.add_note(f"in map(): input number {place}, counted from 0")
            raise result
        self._ready[place if self._ordered else len(self._ready) + self._given] = result
        return None if self._on_progress is None else self._on_progress(self._done, self._begun)

    def _may_begin(self, under_way: int) -> bool:
        """So many at a time, and not far ahead of a slow one whose turn it is: what waits behind it is kept."""
        return under_way < self._concurrency and self._begun - self._given < 2 * self._concurrency

    def _next_result(self) -> Any:
        """The next to hand out, where it is there; None before."""
        if (result := self._ready.pop(self._given, None)) is not None:
            self._given += 1
        return result


class TaskMap(Generic[R]):
    """The completed tasks, in the order of their inputs unless told otherwise. Made by `client.tasks.map`.

    Leaving its loop drops it, which closes it, unless it is entered or has a name of its own.
    """

    def __init__(
        self, runner: Runner, work: Iterator[dict[str, Any]], concurrency: int, options: dict[str, Any]
    ) -> None:
        self._results = _Runs(runner, work, concurrency, options).results()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[R]:
        return self

    def __next__(self) -> R:
        ready: R = next(self._results)
        return ready

    def all(self) -> list[R]:
        """All results."""
        with self:
            return list(self)

    def close(self) -> None:
        """Begins nothing more, and cancels the tasks under way."""
        self._results.close()


class _Runs(_Plan):
    """The work of a `TaskMap`, which it does not know: a map that nobody holds is closed at once."""

    def __init__(
        self, runner: Runner, work: Iterator[dict[str, Any]], concurrency: int, options: dict[str, Any]
    ) -> None:
        super().__init__(work, concurrency, options)
        self._runner = runner

    def results(self) -> Generator[Any, None, None]:
        """The results; closing it cancels what is under way."""
        crew, done, jobs = Crew("map"), queue.SimpleQueue[tuple[int, Result]](), dict[int, _Job]()
        try:
            while True:
                while self._may_begin(len(jobs)) and (body := next(self._work, None)) is not None:
                    job = jobs[self._begun] = _Job(self._runner, body, dict(self._options))
                    place, self._begun = self._begun, self._begun + 1
                    crew.do(_reporting(job, place, done))
                if not jobs:
                    return
                with suppress(queue.Empty):  # a bare get cannot be interrupted on Windows
                    place, result = done.get(timeout=3600.0)
                    del jobs[place]
                    self._take(place, result)
                while (ready := self._next_result()) is not None:
                    yield ready
        finally:
            for job in jobs.values():
                job.cancel()
            crew.dismiss(timeout_seconds=CANCEL_SECONDS if jobs else 0.2)


class _Job:
    """One run on a thread, which another thread may cancel at any moment."""

    def __init__(self, runner: Runner, body: dict[str, Any], options: dict[str, Any]) -> None:
        self._runner = runner
        self._body = body
        self._options = options
        self._lock = threading.Lock()
        self._stream: TaskStream | None = None
        self._cancelled = threading.Event()

    def run(self) -> Result:
        """The completed task, or why there is none."""
        try:
            with self._lock:
                if self._cancelled.is_set():
                    raise UsageError("cancelled before it began")
            stream = self._runner.begin(self._body, self._options)
            with self._lock:
                self._stream = stream
                if self._cancelled.is_set():  # while it was sent
                    stream.cancel()
            return stream.wait()
        except TaskTimeoutError as error:
            return self._given_up(error)
        except BaseException as error:  # a callback's SystemExit too: raised where the caller is
            return error

    def _given_up(self, error: TaskTimeoutError) -> TaskTimeoutError:
        """Cancels a task that takes too long: it would keep its worker from the others."""
        try:
            self._runner.cancel(error.task_id or "")
        except AgentKitError:
            return error
        return _too_late(error, self._options)

    def cancel(self) -> None:
        """Cancels the task, as soon as there is one."""
        with self._lock:
            self._cancelled.set()
            if self._stream is not None:
                self._stream.cancel()


def _reporting(job: _Job, place: int, done: queue.SimpleQueue[tuple[int, Result]]) -> Callable[[], None]:
    return lambda: done.put((place, job.run()))


def _too_late(error: TaskTimeoutError, options: Mapping[str, Any]) -> TaskTimeoutError:
    why = f"task {error.task_id!r} was not over within {options.get('timeout'):g} s, and was cancelled"
    return TaskTimeoutError(why, outcome=error.outcome, task_id=error.task_id, task=error.task)


class AsyncTaskMap(_Plan, Generic[R]):
    """The async twin of `TaskMap`: enter it with `async with` and iterate it, or just await `all()`."""

    def __init__(
        self,
        runner: AsyncRunner,
        work: Iterator[dict[str, Any]],
        concurrency: int,
        options: dict[str, Any],
    ) -> None:
        super().__init__(work, concurrency, options)
        self._runner = runner
        self._stack = AsyncExitStack()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._finished: deque[tuple[int, Result]] = deque()
        self._news = anyio.Event()
        self._under_way = 0

    async def __aenter__(self) -> Self:
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[R]:
        return self

    async def __anext__(self) -> R:
        if self._tasks is None:
            raise UsageError("enter the map first: async with client.tasks.map(...) as results")
        ready: R
        while (ready := self._next_result()) is None:
            while self._may_begin(self._under_way) and (body := next(self._work, None)) is not None:
                self._tasks.start_soon(self._run, self._begun, body)
                self._begun += 1
                self._under_way += 1
            if not self._under_way:
                raise StopAsyncIteration
            while not self._finished:
                self._news = anyio.Event()
                await self._news.wait()
            self._under_way -= 1
            place, result = self._finished.popleft()
            given = self._take(place, result)
            if hasattr(given, "__await__"):
                await given
        return ready

    async def all(self) -> list[R]:
        """All results."""
        async with self:
            return [each async for each in self]

    async def close(self) -> None:
        """Begins nothing more, and cancels the tasks under way."""
        if self._tasks is not None:
            self._work = iter(())
            self._tasks.cancel_scope.cancel()
            await self._stack.aclose()

    async def _run(self, place: int, body: dict[str, Any]) -> None:
        result: Result
        try:
            result = await self._watch(await self._runner.begin(body, dict(self._options)))
        except TaskTimeoutError as error:
            result = await self._given_up(error)
        except Exception as error:
            result = error
        self._finished.append((place, result))
        self._news.set()

    async def _given_up(self, error: TaskTimeoutError) -> TaskTimeoutError:
        with anyio.move_on_after(CANCEL_SECONDS, shield=True), suppress(AgentKitError):
            await self._runner.cancel(error.task_id or "")
            return _too_late(error, self._options)
        return error

    async def _watch(self, stream: AsyncTaskStream) -> Task:
        try:
            return await stream.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(CANCEL_SECONDS, shield=True), suppress(AgentKitError):
                if stream.task_id is not None and stream.result is None:
                    await self._runner.cancel(stream.task_id)
            raise
