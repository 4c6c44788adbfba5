"""`client.tasks`: running apps, and the tasks that come of it."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias, Unpack, overload

import anyio

from agentkit.client.inputs import prepare, prepare_async
from agentkit.client.listing import AsyncPages, list_request, pages
from agentkit.client.mapping import AsyncRunner, AsyncTaskMap, MapOptions, Runner, TaskMap, bodies
from agentkit.client.task_logs import log_text
from agentkit.client.task_requests import (
    ListenOptions,
    Manner,
    RunOptions,
    WatchOptions,
    begin_run,
    begin_watch,
    checked,
    run_call,
    task_from,
    with_session,
)
from agentkit.client.task_streams import AsyncTaskStream, TaskStream
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.errors import SessionError, UsageError
from agentkit.protocol import api
from agentkit.protocol.endpoint import Call
from agentkit.protocol.lines import is_object
from agentkit.wire import (
    DeletedFiles,
    Page,
    ResourceStatus,
    RunTaskRequest,
    SetVisibility,
    Task,
    TaskFile,
    TaskLogs,
    TaskTimings,
)

__all__ = ["AsyncTasks", "Tasks"]

Role: TypeAlias = Literal["input", "output"]
Files: TypeAlias = "list[TaskFile]"  # inside the classes `list` is their own method
Filters: TypeAlias = "Sequence[Mapping[str, Any]] | None"
Params: TypeAlias = Mapping[str, Any] | RunTaskRequest

ANSWER = "the answer of POST /apps/run"
CANCEL_ANSWER = "the answer of POST /tasks/{id}/cancel"


class Tasks:
    """`client.tasks`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @overload
    def run(
        self, params: Params, *, wait: bool = True, stream: Literal[False] = False, **options: Unpack[RunOptions]
    ) -> Task: ...

    @overload
    def run(
        self, params: Params, *, wait: bool = True, stream: Literal[True], **options: Unpack[RunOptions]
    ) -> TaskStream: ...

    def run(
        self, params: Params, *, wait: bool = True, stream: bool = False, **options: Unpack[RunOptions]
    ) -> Task | TaskStream:
        """Runs an app; returns the completed task.

        `params`: `{"app": "namespace/name", "input": {...}}`, and `function`, `setup`, `infra`, `session`, `webhook`
        (protocol.md 2.1). Files in the input are uploaded first. `wait` False returns the task at once, `stream` True
        an iterator of its updates. More options: `RunOptions`, `WatchOptions`. Raises TaskFailedError,
        TaskCanceledError, TaskLostError, TaskTimeoutError, RequirementsNotMetError, and SessionError's kin.
        """
        since, manner, body = time.monotonic(), Manner.of("run()", options), checked(params)
        body["input"] = prepare(self._transport, body, manner.upload)
        call = run_call(body, self._transport.config, key=manner.idempotency_key)
        try:
            answer = self._transport.send(call)
        except SessionError as error:
            raise with_session(error, body.get("session")) from None
        first = task_from(answer, of=ANSWER)
        if not wait and not stream:
            return first
        machine = manner.machine(self._transport.config)
        watched = TaskStream(self._transport, machine, begin_run(answer), manner=manner, since=since, first=first)
        return watched if stream else watched.wait()

    @overload
    def map(
        self,
        inputs: Iterable[Any],
        app: str | Params,
        *,
        concurrency: int = 8,
        return_exceptions: Literal[False] = False,
        **options: Unpack[MapOptions],
    ) -> TaskMap[Task]: ...

    @overload
    def map(
        self,
        inputs: Iterable[Any],
        app: str | Params,
        *,
        concurrency: int = 8,
        return_exceptions: Literal[True],
        **options: Unpack[MapOptions],
    ) -> TaskMap[Task | Exception]: ...

    def map(
        self,
        inputs: Iterable[Any],
        app: str | Params,
        *,
        concurrency: int = 8,
        return_exceptions: bool = False,
        **options: Unpack[MapOptions],
    ) -> TaskMap[Any]:
        """Runs the app once per input, so many at a time; iterate the result for the completed tasks.

        `app`: a reference, or params that every run shares. `return_exceptions` True puts the exception of a failed run
        in the place of its task and goes on; else the first is raised, and the tasks under way are cancelled. See
        `TaskMap` and `MapOptions`.
        """
        told = {**options, "return_exceptions": return_exceptions}
        return TaskMap(Runner(self._begin, self.cancel), bodies(inputs, app), concurrency, told)

    def get(self, task_id: str) -> Task:
        """The task (GET /tasks/{id}). Raises NotFoundError."""
        return self._transport.send(api.GET_TASK.call(task_id=task_id))

    def status(self, task_id: str) -> ResourceStatus:
        """Only how far it is; small."""
        return self._transport.send(api.TASK_STATUS.call(task_id=task_id))

    def stream(self, task_id: str, **options: Unpack[WatchOptions]) -> TaskStream:
        """The updates of a task that there is, from now on; see `TaskStream`."""
        manner = Manner.of("stream()", options)
        machine = manner.machine(self._transport.config, _known(task_id))
        return TaskStream(self._transport, machine, begin_watch, manner=manner)

    def wait_for_completion(self, task_id: str, timeout: float | None = None, **options: Unpack[ListenOptions]) -> Task:
        """The task once it is completed; raises as `run` does. `timeout` in seconds."""
        return self.stream(task_id, timeout=timeout, **options).wait()

    def cancel(self, task_id: str, *, force: bool = False, timeout: float | None = None) -> Task:
        """Cancels the task: its app is asked, then told, then killed; the task as it is now. One that is over stays so.

        `force` kills at once; `timeout` is the seconds that the app has after it was asked. Raises NotFoundError.
        """
        answer = self._transport.send(_cancel_call(task_id, force=force, timeout=timeout))
        return _cancelled(answer, task_id)

    def delete(self, task_id: str, *, files: bool = False) -> None:
        """Cancels and deletes the task, with `files` also what it made."""
        self._transport.send(api.DELETE_TASK.call(task_id=task_id, query=_flag(files)))

    def list(
        self,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        filters: Filters = None,
        search: str | None = None,
    ) -> Page[Task]:
        """A page of the tasks, newest first."""
        return self._transport.send(api.LIST_TASKS.call(list_request(cursor, limit, filters=filters, search=search)))

    def iterate(
        self, *, limit: int | None = None, filters: Filters = None, search: str | None = None
    ) -> Iterator[Task]:
        """All tasks, newest first; `limit` is the size of a page."""
        return pages(lambda cursor: self.list(cursor=cursor, limit=limit, filters=filters, search=search))

    def logs(self, task_id: str) -> TaskLogs:
        """What the task printed, by phase, as it came; `log_text` for reading."""
        return self._transport.send(api.TASK_LOGS.call(task_id=task_id))

    def log_text(self, task_id: str) -> str:
        """What the task printed, decoded."""
        return log_text(self.logs(task_id).logs)

    def timings(self, task_id: str) -> TaskTimings:
        """Where the task's time went."""
        return self._transport.send(api.TASK_TIMINGS.call(task_id=task_id))

    def files(self, task_id: str, *, role: Role | None = None) -> Files:
        """The files that the task was given or made."""
        return self._transport.send(api.TASK_FILES.call(task_id=task_id, query={"role": role}))

    def delete_files(self, task_id: str, *, role: Role | None = None) -> DeletedFiles:
        """Deletes the task's files."""
        return self._transport.send(api.DELETE_TASK_FILES.call(task_id=task_id, query={"role": role}))

    def set_visibility(self, task_id: str, visibility: str) -> Task:
        """Who may see the task: private, public, unlisted."""
        return self._transport.send(api.SET_TASK_VISIBILITY.call(SetVisibility(visibility=visibility), task_id=task_id))

    def _begin(self, body: dict[str, Any], options: dict[str, Any]) -> TaskStream:
        return self.run(body, stream=True, **options)


class AsyncTasks:
    """The async twin of `Tasks`; `map`, `stream` and `iterate` wait for nothing and are not awaited."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    @overload
    async def run(
        self, params: Params, *, wait: bool = True, stream: Literal[False] = False, **options: Unpack[RunOptions]
    ) -> Task: ...

    @overload
    async def run(
        self, params: Params, *, wait: bool = True, stream: Literal[True], **options: Unpack[RunOptions]
    ) -> AsyncTaskStream: ...

    async def run(
        self, params: Params, *, wait: bool = True, stream: bool = False, **options: Unpack[RunOptions]
    ) -> Task | AsyncTaskStream:
        """See `Tasks.run`."""
        since, manner, body = time.monotonic(), Manner.of("run()", options), checked(params)
        body["input"] = await prepare_async(self._transport, body, manner.upload)
        answer = await self._post(body, manner)
        if not wait and not stream:
            return task_from(answer, of=ANSWER)
        watched = self._watch(answer, manner, since)
        return watched if stream else await watched.wait()

    @overload
    def map(
        self,
        inputs: Iterable[Any],
        app: str | Params,
        *,
        concurrency: int = 8,
        return_exceptions: Literal[False] = False,
        **options: Unpack[MapOptions],
    ) -> AsyncTaskMap[Task]: ...

    @overload
    def map(
        self,
        inputs: Iterable[Any],
        app: str | Params,
        *,
        concurrency: int = 8,
        return_exceptions: Literal[True],
        **options: Unpack[MapOptions],
    ) -> AsyncTaskMap[Task | Exception]: ...

    def map(
        self,
        inputs: Iterable[Any],
        app: str | Params,
        *,
        concurrency: int = 8,
        return_exceptions: bool = False,
        **options: Unpack[MapOptions],
    ) -> AsyncTaskMap[Any]:
        """See `Tasks.map`. Not awaited; enter it: `async with client.tasks.map(...) as results`."""
        told = {**options, "return_exceptions": return_exceptions}
        return AsyncTaskMap(AsyncRunner(self._begin, self.cancel), bodies(inputs, app), concurrency, told)

    async def get(self, task_id: str) -> Task:
        """See `Tasks.get`."""
        return await self._transport.send(api.GET_TASK.call(task_id=task_id))

    async def status(self, task_id: str) -> ResourceStatus:
        """See `Tasks.status`."""
        return await self._transport.send(api.TASK_STATUS.call(task_id=task_id))

    def stream(self, task_id: str, **options: Unpack[WatchOptions]) -> AsyncTaskStream:
        """See `Tasks.stream`. Not awaited."""
        manner = Manner.of("stream()", options)
        machine = manner.machine(self._transport.config, _known(task_id))
        return AsyncTaskStream(self._transport, machine, begin_watch, manner=manner)

    async def wait_for_completion(
        self, task_id: str, timeout: float | None = None, **options: Unpack[ListenOptions]
    ) -> Task:
        """See `Tasks.wait_for_completion`."""
        return await self.stream(task_id, timeout=timeout, **options).wait()

    async def cancel(self, task_id: str, *, force: bool = False, timeout: float | None = None) -> Task:
        """See `Tasks.cancel`."""
        answer = await self._transport.send(_cancel_call(task_id, force=force, timeout=timeout))
        return _cancelled(answer, task_id)

    async def delete(self, task_id: str, *, files: bool = False) -> None:
        """See `Tasks.delete`."""
        await self._transport.send(api.DELETE_TASK.call(task_id=task_id, query=_flag(files)))

    async def list(
        self,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        filters: Filters = None,
        search: str | None = None,
    ) -> Page[Task]:
        """See `Tasks.list`."""
        request = list_request(cursor, limit, filters=filters, search=search)
        return await self._transport.send(api.LIST_TASKS.call(request))

    def iterate(
        self, *, limit: int | None = None, filters: Filters = None, search: str | None = None
    ) -> AsyncIterator[Task]:
        """See `Tasks.iterate`. Not awaited."""
        return AsyncPages(lambda cursor: self.list(cursor=cursor, limit=limit, filters=filters, search=search))

    async def logs(self, task_id: str) -> TaskLogs:
        """See `Tasks.logs`."""
        return await self._transport.send(api.TASK_LOGS.call(task_id=task_id))

    async def log_text(self, task_id: str) -> str:
        """See `Tasks.log_text`."""
        return log_text((await self.logs(task_id)).logs)

    async def timings(self, task_id: str) -> TaskTimings:
        """See `Tasks.timings`."""
        return await self._transport.send(api.TASK_TIMINGS.call(task_id=task_id))

    async def files(self, task_id: str, *, role: Role | None = None) -> Files:
        """See `Tasks.files`."""
        return await self._transport.send(api.TASK_FILES.call(task_id=task_id, query={"role": role}))

    async def delete_files(self, task_id: str, *, role: Role | None = None) -> DeletedFiles:
        """See `Tasks.delete_files`."""
        return await self._transport.send(api.DELETE_TASK_FILES.call(task_id=task_id, query={"role": role}))

    async def set_visibility(self, task_id: str, visibility: str) -> Task:
        """See `Tasks.set_visibility`."""
        return await self._transport.send(
            api.SET_TASK_VISIBILITY.call(SetVisibility(visibility=visibility), task_id=task_id)
        )

    async def _begin(self, body: dict[str, Any], options: dict[str, Any]) -> AsyncTaskStream:
        """A run that is not given up between its request and the answer that names it: it has to be cancelled then."""
        since, manner, body = time.monotonic(), Manner.of("run()", options), checked(body)
        body["input"] = await prepare_async(self._transport, body, manner.upload)
        answer: Any = None
        with anyio.CancelScope(shield=True):
            answer = await self._post(body, manner)
        return self._watch(answer, manner, since)

    async def _post(self, body: dict[str, Any], manner: Manner) -> Any:
        call = run_call(body, self._transport.config, key=manner.idempotency_key)
        try:
            return await self._transport.send(call)
        except SessionError as error:
            raise with_session(error, body.get("session")) from None

    def _watch(self, answer: Any, manner: Manner, since: float) -> AsyncTaskStream:
        first, machine = task_from(answer, of=ANSWER), manner.machine(self._transport.config)
        return AsyncTaskStream(self._transport, machine, begin_run(answer), manner=manner, since=since, first=first)


def _known(task_id: str) -> str:
    api.GET_TASK.call(task_id=task_id)  # raises UsageError for an empty one, now and not at the first update
    return task_id


def _cancel_call(task_id: str, *, force: bool, timeout: float | None) -> Call[Any]:
    """POST /tasks/{id}/cancel; without a body where nothing is set, as the SDKs send it (protocol.md 2.5)."""
    if timeout is not None and (isinstance(timeout, bool) or not 0 <= timeout < math.inf):
        raise UsageError(f"timeout is {timeout!r}; give seconds, 0 or more")
    body: dict[str, Any] = {"force": True} if force else {}
    if timeout is not None:
        body["timeout"] = int(timeout) if timeout == int(timeout) else timeout  # an int there
    return replace(api.CANCEL_TASK.call(task_id=task_id).raw, body=body or None)


def _cancelled(answer: Any, task_id: str) -> Task:
    """The task of an answer that may say little of it, or nothing."""
    return task_from({"id": task_id, **(answer if is_object(answer) else {})}, of=CANCEL_ANSWER)


def _flag(files: bool) -> dict[str, Any]:
    return {"files": "true"} if files else {}
