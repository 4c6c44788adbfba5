"""App sessions: a worker that stays yours over several calls (protocol.md 3)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar, Unpack, overload

import anyio

from agentkit.client.task_requests import RunOptions, check_options
from agentkit.client.task_streams import AsyncTaskStream, TaskStream
from agentkit.client.tasks import AsyncTasks, Tasks
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.errors import (
    AgentKitError,
    NotFoundError,
    RemoteProtocolError,
    SessionEndedError,
    SessionError,
    SessionExpiredError,
    SessionNotFoundError,
    UsageError,
)
from agentkit.protocol import api
from agentkit.protocol.endpoint import Call
from agentkit.protocol.refs import Reference
from agentkit.wire import AppSession, Task

__all__ = ["AsyncSession", "AsyncSessions", "Opening", "Session", "SessionOptions", "Sessions"]

T = TypeVar("T")

Records: TypeAlias = "list[AppSession]"  # inside the classes `list` is their own method

GONE = (SessionNotFoundError, SessionEndedError, SessionExpiredError, NotFoundError)
END_SECONDS = 10.0


class SessionOptions(RunOptions, total=False):
    """How to begin a session: its idle `session_timeout` in seconds, and what each of its calls carries."""

    session_timeout: int | None
    setup: Any
    infra: str | None
    variant: str | None
    workers: list[str] | None


BODY = ("setup", "infra", "variant", "workers")  # of every call; a worker with another setup would be another worker


@dataclass(frozen=True, slots=True)
class Opening:
    """A session that is to be begun. `app` may name the function of the first call."""

    app: str
    input: Any
    function: str | None
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_options("session()", self.options, "session_timeout", *BODY)
        named = Reference.parse(self.app).function
        if named and self.function and named != self.function:
            raise UsageError(f"session({self.app!r}, function={self.function!r}): two functions; name one")

    def first(self) -> dict[str, Any]:
        """The params of the first call, which begins the session."""
        begun = {"session": "new", "session_timeout": self.options.get("session_timeout")}
        function = self.function or Reference.parse(self.app).function
        return self.params(function, self.input, **begun)

    def params(self, function: str | None, input: Any, **more: Any) -> dict[str, Any]:
        """The params of a call."""
        reference = str(_without_function(Reference.parse(self.app)))
        told = {name: self.options.get(name) for name in BODY} | {"function": function} | more
        given = {name: value for name, value in told.items() if value is not None}
        return {"app": reference, "input": {} if input is None else input, **given}

    @property
    def manner(self) -> Any:
        """How to listen to the first call."""
        return {name: value for name, value in self.options.items() if name not in (*BODY, "session_timeout")}


class Sessions:
    """`client.sessions`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Records:
        """The active sessions."""
        return _records(self._transport.send(api.LIST_SESSIONS.call().raw))

    def get(self, session_id: str) -> AppSession:
        """One session. Raises SessionNotFoundError."""
        return self._send(api.GET_SESSION.call(session_id=session_id), session_id)

    def keepalive(self, session_id: str) -> AppSession:
        """Begins the idle time anew. Raises SessionExpiredError and its kin."""
        return self._send(api.KEEP_SESSION.call(session_id=session_id), session_id)

    def end(self, session_id: str) -> None:
        """Ends the session and frees its worker."""
        self._send(api.END_SESSION.call(session_id=session_id), session_id)

    def _send(self, call: Call[T], session_id: str) -> T:
        try:
            return self._transport.send(call)
        except SessionError as error:
            error.session_id = error.session_id or session_id
            raise


class AsyncSessions:
    """The async twin of `Sessions`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> Records:
        """See `Sessions.list`."""
        return _records(await self._transport.send(api.LIST_SESSIONS.call().raw))

    async def get(self, session_id: str) -> AppSession:
        """See `Sessions.get`."""
        return await self._send(api.GET_SESSION.call(session_id=session_id), session_id)

    async def keepalive(self, session_id: str) -> AppSession:
        """See `Sessions.keepalive`."""
        return await self._send(api.KEEP_SESSION.call(session_id=session_id), session_id)

    async def end(self, session_id: str) -> None:
        """See `Sessions.end`."""
        await self._send(api.END_SESSION.call(session_id=session_id), session_id)

    async def _send(self, call: Call[T], session_id: str) -> T:
        try:
            return await self._transport.send(call)
        except SessionError as error:
            error.session_id = error.session_id or session_id
            raise


class _Session:
    """What both twins know."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._id: str | None = None
        self._result: Task | None = None
        self._is_over = False

    def __repr__(self) -> str:
        told = "not begun" if self._id is None else repr(self._id)
        return f"<{type(self).__name__} {told} of {self._opening.app!r}{', ended' if self._is_over else ''}>"

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self._known()

    @property
    def result(self) -> Task | None:
        """What the first call came to."""
        return self._result

    def _known(self) -> str:
        if self._id is None:
            raise UsageError("this session has not begun; enter it first: async with client.session(...) as session")
        return self._id

    def _learn(self, task: Task | None) -> None:
        if task is not None and task.session_id and task.session_id != "new":
            self._id = task.session_id

    def _begun(self, task: Task) -> None:
        self._result = task
        self._learn(task)
        if self._id is None:
            raise RemoteProtocolError(
                f"task {task.id!r} was to begin a session, and has no session_id; does this platform have sessions?"
            )

    def _call(self, function: str | None, input: Any) -> dict[str, Any]:
        return self._opening.params(function, input, session=self._known())

    def _ended(self, error: AgentKitError, *, masks: BaseException | None) -> None:
        """What a failed end means: nothing where the session is gone already, and nothing worse than `masks`."""
        if isinstance(error, GONE):
            return
        if masks is None:
            raise error
        masks.add_note(f"and session {self._id!r} could not be ended; it expires by itself: {error}")


class Session(_Session):
    """A session that has begun with its first call; ended when its `with` block is left. Made by `client.session`."""

    def __init__(self, tasks: Tasks, sessions: Sessions, opening: Opening) -> None:
        super().__init__(opening)
        self._tasks = tasks
        self._sessions = sessions
        self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(error)

    @overload
    def call(
        self,
        function: str | None = "run",
        input: Any = None,
        *,
        wait: bool = True,
        stream: Literal[False] = False,
        **options: Unpack[RunOptions],
    ) -> Task: ...

    @overload
    def call(
        self,
        function: str | None = "run",
        input: Any = None,
        *,
        wait: bool = True,
        stream: Literal[True],
        **options: Unpack[RunOptions],
    ) -> TaskStream: ...

    def call(
        self,
        function: str | None = "run",
        input: Any = None,
        *,
        wait: bool = True,
        stream: bool = False,
        **options: Unpack[RunOptions],
    ) -> Task | TaskStream:
        """Runs a function of the app on the session's worker; options and results are those of `client.tasks.run`."""
        params = self._call(function, input)
        if stream:
            return self._tasks.run(params, wait=wait, stream=True, **options)
        return self._tasks.run(params, wait=wait, **options)

    def run(self, input: Any = None, **options: Unpack[RunOptions]) -> Task:
        """Runs the app's default function."""
        return self._tasks.run(self._call(None, input), **options)

    def info(self) -> AppSession:
        """The session's record: status, call_count, expires_at."""
        return self._sessions.get(self._known())

    def keepalive(self) -> AppSession:
        """Begins the idle time anew."""
        return self._sessions.keepalive(self._known())

    def end(self) -> None:
        """Ends the session, once; one that is gone already is no error."""
        self._end(None)

    def _begin(self) -> None:
        stream = self._tasks.run(self._opening.first(), stream=True, **self._opening.manner)
        try:
            with stream:
                self._learn(stream.task)
                for task in stream:
                    self._learn(task)
                self._begun(stream.wait())
        except BaseException as error:
            self._end(error)
            raise

    def _end(self, error: BaseException | None) -> None:
        if self._is_over or self._id is None:
            return
        try:
            self._sessions.end(self._id)
        except AgentKitError as failure:
            self._ended(failure, masks=error)
        self._is_over = True


class AsyncSession(_Session):
    """The async twin of `Session`: `async with client.session(...)`, or `await` it first."""

    def __init__(self, tasks: AsyncTasks, sessions: AsyncSessions, opening: Opening) -> None:
        super().__init__(opening)
        self._tasks = tasks
        self._sessions = sessions

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        if self._id is None:
            await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.move_on_after(END_SECONDS, shield=True):
            await self._end(error)

    @overload
    async def call(
        self,
        function: str | None = "run",
        input: Any = None,
        *,
        wait: bool = True,
        stream: Literal[False] = False,
        **options: Unpack[RunOptions],
    ) -> Task: ...

    @overload
    async def call(
        self,
        function: str | None = "run",
        input: Any = None,
        *,
        wait: bool = True,
        stream: Literal[True],
        **options: Unpack[RunOptions],
    ) -> AsyncTaskStream: ...

    async def call(
        self,
        function: str | None = "run",
        input: Any = None,
        *,
        wait: bool = True,
        stream: bool = False,
        **options: Unpack[RunOptions],
    ) -> Task | AsyncTaskStream:
        """See `Session.call`."""
        params = self._call(function, input)
        if stream:
            return await self._tasks.run(params, wait=wait, stream=True, **options)
        return await self._tasks.run(params, wait=wait, **options)

    async def run(self, input: Any = None, **options: Unpack[RunOptions]) -> Task:
        """See `Session.run`."""
        return await self._tasks.run(self._call(None, input), **options)

    async def info(self) -> AppSession:
        """See `Session.info`."""
        return await self._sessions.get(self._known())

    async def keepalive(self) -> AppSession:
        """See `Session.keepalive`."""
        return await self._sessions.keepalive(self._known())

    async def end(self) -> None:
        """See `Session.end`."""
        await self._end(None)

    async def _begin(self) -> None:
        stream = await self._tasks.run(self._opening.first(), stream=True, **self._opening.manner)
        try:
            async with stream:
                self._learn(stream.task)
                async for task in stream:
                    self._learn(task)
                self._begun(await stream.wait())
        except BaseException as error:
            with anyio.move_on_after(END_SECONDS, shield=True):
                await self._end(error)
            raise

    async def _end(self, error: BaseException | None) -> None:
        if self._is_over or self._id is None:
            return
        try:
            await self._sessions.end(self._id)
        except AgentKitError as failure:
            self._ended(failure, masks=error)
        self._is_over = True


def _without_function(reference: Reference) -> Reference:
    return Reference(type=reference.type, namespace=reference.namespace, name=reference.name, version=reference.version)


def _records(answer: Any) -> Records:
    """The sessions; null counts as none (protocol.md 3.2)."""
    return [] if answer is None else api.LIST_SESSIONS.read(answer)
