"""The clients: one pooled connection to a platform each, and everything that hangs on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, overload

import httpx

from agentkit.client.agent import Agent, AsyncAgent
from agentkit.client.apps import Apps, AsyncApps
from agentkit.client.config import ClientConfig, configure
from agentkit.client.credentials import AsyncIntegrations, AsyncSecrets, Integrations, Secrets
from agentkit.client.files import AsyncFiles, Files
from agentkit.client.interrupts import AsyncInterrupts, Interrupts
from agentkit.client.journal import Kept, journal_of
from agentkit.client.resources import Agents, AsyncAgents
from agentkit.client.sessions import AsyncSession, AsyncSessions, Opening, Session, SessionOptions, Sessions
from agentkit.client.task_requests import ListenOptions, RunOptions, WatchOptions
from agentkit.client.task_streams import AsyncTaskStream, TaskStream
from agentkit.client.tasks import AsyncTasks, Params, Tasks
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.client.uploads import UploadFileOptions
from agentkit.protocol import api
from agentkit.wire import FileRecord, Task

__all__ = ["AsyncInference", "Inference", "async_inference", "inference"]

T = TypeVar("T")


class Inference:
    """A client of the hosted platform, of `agentkit serve`, or of a runtime in this process.

    Works in any thread, inside a running event loop, and after a fork. Close it, or use it with `with`.
    """

    agents: Agents
    apps: Apps
    files: Files
    integrations: Integrations
    interrupts: Interrupts
    secrets: Secrets
    sessions: Sessions
    tasks: Tasks

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        stream: bool = True,
        poll_interval_ms: float | None = None,
        timeout_seconds: float | None = None,
        journal: Kept | None = None,
        config: ClientConfig | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.config = config or configure(
            api_key, base_url, stream=stream, poll_interval_ms=poll_interval_ms, timeout_seconds=timeout_seconds
        )
        self._transport = Transport(self.config, transport=transport)
        self._journal = journal_of(journal)
        self._owns_journal = self._journal is not journal
        self.agents = Agents(self._transport, self._journal)
        self.apps = Apps(self._transport)
        self.files = Files(self._transport)
        self.integrations = Integrations(self._transport)
        self.interrupts = Interrupts(self._transport)
        self.secrets = Secrets(self._transport)
        self.sessions = Sessions(self._transport)
        self.tasks = Tasks(self._transport)

    def __repr__(self) -> str:
        return f"Inference(base_url={self.config.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @overload
    def agent(
        self,
        agent: Any,
        context: Mapping[str, str] | None = None,
        *,
        tools: Sequence[Any] = (),
        output_type: type[T],
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> Agent[T]: ...

    @overload
    def agent(
        self,
        agent: Any,
        context: Mapping[str, str] | None = None,
        *,
        tools: Sequence[Any] = (),
        output_type: None = None,
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> Agent[Any]: ...

    def agent(
        self,
        agent: Any,
        context: Mapping[str, str] | None = None,
        *,
        tools: Sequence[Any] = (),
        output_type: Any = None,
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> Agent[Any]:
        """A conversation with an agent; the same as `client.agents.create`."""
        return self.agents.create(
            agent,
            context=context,
            tools=tools,
            output_type=output_type,
            tool_timeout_seconds=tool_timeout_seconds,
            journal=journal,
        )

    def session(
        self, app: str, input: Any = None, function: str | None = None, **options: Unpack[SessionOptions]
    ) -> Session:
        """Begins a session with a first call, and ends it when its `with` block is left; see `Session`.

        `session_timeout`, `setup`, `infra`: see `SessionOptions`. The other options are those of `client.tasks.run`.
        """
        return Session(self.tasks, self.sessions, Opening(app, input, function, options))

    def fleet(self) -> dict[str, Any]:
        """The server's workers, its queue, and what became of the tasks that ran (GET /fleet; agentkit's own)."""
        return self._transport.send(api.FLEET.call())

    # -- the SDK's older names ---------------------------------------------------------------------------------------

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
        """The same as `client.tasks.run`."""
        if stream:
            return self.tasks.run(params, wait=wait, stream=True, **options)
        return self.tasks.run(params, wait=wait, **options)

    def get_task(self, task_id: str) -> Task:
        """The same as `client.tasks.get`."""
        return self.tasks.get(task_id)

    def cancel(self, task_id: str, *, force: bool = False, timeout: float | None = None) -> Task:
        """The same as `client.tasks.cancel`."""
        return self.tasks.cancel(task_id, force=force, timeout=timeout)

    def wait_for_completion(self, task_id: str, timeout: float | None = None, **options: Unpack[ListenOptions]) -> Task:
        """The same as `client.tasks.wait_for_completion`."""
        return self.tasks.wait_for_completion(task_id, timeout, **options)

    def stream_task(self, task_id: str, **options: Unpack[WatchOptions]) -> TaskStream:
        """The same as `client.tasks.stream`."""
        return self.tasks.stream(task_id, **options)

    def upload_file(self, data: Any, options: UploadFileOptions | None = None) -> FileRecord:
        """The same as `client.files.upload`."""
        return self.files.upload(data, options)

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()
        if self._owns_journal:
            self._journal.close()


class AsyncInference:
    """The async twin of `Inference`, for asyncio and trio: the same names, awaited."""

    agents: AsyncAgents
    apps: AsyncApps
    files: AsyncFiles
    integrations: AsyncIntegrations
    interrupts: AsyncInterrupts
    secrets: AsyncSecrets
    sessions: AsyncSessions
    tasks: AsyncTasks

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        stream: bool = True,
        poll_interval_ms: float | None = None,
        timeout_seconds: float | None = None,
        journal: Kept | None = None,
        config: ClientConfig | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.config = config or configure(
            api_key, base_url, stream=stream, poll_interval_ms=poll_interval_ms, timeout_seconds=timeout_seconds
        )
        self._transport = AsyncTransport(self.config, transport=transport)
        self._journal = journal_of(journal)
        self._owns_journal = self._journal is not journal
        self.agents = AsyncAgents(self._transport, self._journal)
        self.apps = AsyncApps(self._transport)
        self.files = AsyncFiles(self._transport)
        self.integrations = AsyncIntegrations(self._transport)
        self.interrupts = AsyncInterrupts(self._transport)
        self.secrets = AsyncSecrets(self._transport)
        self.sessions = AsyncSessions(self._transport)
        self.tasks = AsyncTasks(self._transport)

    def __repr__(self) -> str:
        return f"AsyncInference(base_url={self.config.base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @overload
    def agent(
        self,
        agent: Any,
        context: Mapping[str, str] | None = None,
        *,
        tools: Sequence[Any] = (),
        output_type: type[T],
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> AsyncAgent[T]: ...

    @overload
    def agent(
        self,
        agent: Any,
        context: Mapping[str, str] | None = None,
        *,
        tools: Sequence[Any] = (),
        output_type: None = None,
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> AsyncAgent[Any]: ...

    def agent(
        self,
        agent: Any,
        context: Mapping[str, str] | None = None,
        *,
        tools: Sequence[Any] = (),
        output_type: Any = None,
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> AsyncAgent[Any]:
        """A conversation with an agent; the same as `client.agents.create`. Not awaited."""
        return self.agents.create(
            agent,
            context=context,
            tools=tools,
            output_type=output_type,
            tool_timeout_seconds=tool_timeout_seconds,
            journal=journal,
        )

    def session(
        self, app: str, input: Any = None, function: str | None = None, **options: Unpack[SessionOptions]
    ) -> AsyncSession:
        """See `Inference.session`: `async with client.session(...)`, or `await` it first."""
        return AsyncSession(self.tasks, self.sessions, Opening(app, input, function, options))

    async def fleet(self) -> dict[str, Any]:
        """See `Inference.fleet`."""
        return await self._transport.send(api.FLEET.call())

    # -- the SDK's older names ---------------------------------------------------------------------------------------

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
        """The same as `client.tasks.run`."""
        if stream:
            return await self.tasks.run(params, wait=wait, stream=True, **options)
        return await self.tasks.run(params, wait=wait, **options)

    async def get_task(self, task_id: str) -> Task:
        """The same as `client.tasks.get`."""
        return await self.tasks.get(task_id)

    async def cancel(self, task_id: str, *, force: bool = False, timeout: float | None = None) -> Task:
        """The same as `client.tasks.cancel`."""
        return await self.tasks.cancel(task_id, force=force, timeout=timeout)

    async def wait_for_completion(
        self, task_id: str, timeout: float | None = None, **options: Unpack[ListenOptions]
    ) -> Task:
        """The same as `client.tasks.wait_for_completion`."""
        return await self.tasks.wait_for_completion(task_id, timeout, **options)

    def stream_task(self, task_id: str, **options: Unpack[WatchOptions]) -> AsyncTaskStream:
        """The same as `client.tasks.stream`. Not awaited."""
        return self.tasks.stream(task_id, **options)

    async def upload_file(self, data: Any, options: UploadFileOptions | None = None) -> FileRecord:
        """The same as `client.files.upload`."""
        return await self.files.upload(data, options)

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()
        if self._owns_journal:
            self._journal.close()


def inference(
    api_key: str | None = None,
    base_url: str | None = None,
    *,
    stream: bool = True,
    poll_interval_ms: float | None = None,
    timeout_seconds: float | None = None,
    journal: Kept | None = None,
) -> Inference:
    """A client. What is not given comes from `INFERENCE_API_KEY` and `AGENTKIT_BASE_URL`.

    `journal`: the file in which calls of client tools are noted, so that none is made twice although this program dies;
    without, they are noted in memory. See `Journal`.
    """
    return Inference(
        api_key,
        base_url,
        stream=stream,
        poll_interval_ms=poll_interval_ms,
        timeout_seconds=timeout_seconds,
        journal=journal,
    )


def async_inference(
    api_key: str | None = None,
    base_url: str | None = None,
    *,
    stream: bool = True,
    poll_interval_ms: float | None = None,
    timeout_seconds: float | None = None,
    journal: Kept | None = None,
) -> AsyncInference:
    """The async twin of `inference`. Not awaited."""
    return AsyncInference(
        api_key,
        base_url,
        stream=stream,
        poll_interval_ms=poll_interval_ms,
        timeout_seconds=timeout_seconds,
        journal=journal,
    )
