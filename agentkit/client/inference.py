"""The clients: one pooled connection to a platform each, and everything that hangs on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import httpx

from agentkit.client.agent import Agent, AsyncAgent
from agentkit.client.config import ClientConfig, configure
from agentkit.client.resources import Agents, AsyncAgents, AsyncFiles, Files
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.client.uploads import UploadFileOptions
from agentkit.wire import FileRecord

__all__ = ["AsyncInference", "Inference", "async_inference", "inference"]

T = TypeVar("T")


class Inference:
    """A client of the hosted platform, of `agentkit serve`, or of a runtime in this process.

    Works in any thread, inside a running event loop, and after a fork. Close it, or use it with `with`.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        stream: bool = True,
        poll_interval_ms: float | None = None,
        timeout_seconds: float | None = None,
        config: ClientConfig | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.config = config or configure(
            api_key, base_url, stream=stream, poll_interval_ms=poll_interval_ms, timeout_seconds=timeout_seconds
        )
        self._transport = Transport(self.config, transport=transport)
        self.agents = Agents(self._transport)
        self.files = Files(self._transport)

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
    ) -> Agent[Any]: ...

    def agent(
        self,
        agent: Any,
        context: Mapping[str, str] | None = None,
        *,
        tools: Sequence[Any] = (),
        output_type: Any = None,
        tool_timeout_seconds: float | None = None,
    ) -> Agent[Any]:
        """A conversation with an agent; the same as `client.agents.create`."""
        return self.agents.create(
            agent, context=context, tools=tools, output_type=output_type, tool_timeout_seconds=tool_timeout_seconds
        )

    def upload_file(self, data: Any, options: UploadFileOptions | None = None) -> FileRecord:
        """The same as `client.files.upload`."""
        return self.files.upload(data, options)

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()


class AsyncInference:
    """The async twin of `Inference`, for asyncio and trio: the same names, awaited."""

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        stream: bool = True,
        poll_interval_ms: float | None = None,
        timeout_seconds: float | None = None,
        config: ClientConfig | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.config = config or configure(
            api_key, base_url, stream=stream, poll_interval_ms=poll_interval_ms, timeout_seconds=timeout_seconds
        )
        self._transport = AsyncTransport(self.config, transport=transport)
        self.agents = AsyncAgents(self._transport)
        self.files = AsyncFiles(self._transport)

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
    ) -> AsyncAgent[Any]: ...

    def agent(
        self,
        agent: Any,
        context: Mapping[str, str] | None = None,
        *,
        tools: Sequence[Any] = (),
        output_type: Any = None,
        tool_timeout_seconds: float | None = None,
    ) -> AsyncAgent[Any]:
        """A conversation with an agent; the same as `client.agents.create`. Not awaited."""
        return self.agents.create(
            agent, context=context, tools=tools, output_type=output_type, tool_timeout_seconds=tool_timeout_seconds
        )

    async def upload_file(self, data: Any, options: UploadFileOptions | None = None) -> FileRecord:
        """The same as `client.files.upload`."""
        return await self.files.upload(data, options)

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()


def inference(
    api_key: str | None = None,
    base_url: str | None = None,
    *,
    stream: bool = True,
    poll_interval_ms: float | None = None,
    timeout_seconds: float | None = None,
) -> Inference:
    """A client. What is not given comes from `INFERENCE_API_KEY` and `AGENTKIT_BASE_URL`."""
    return Inference(
        api_key, base_url, stream=stream, poll_interval_ms=poll_interval_ms, timeout_seconds=timeout_seconds
    )


def async_inference(
    api_key: str | None = None,
    base_url: str | None = None,
    *,
    stream: bool = True,
    poll_interval_ms: float | None = None,
    timeout_seconds: float | None = None,
) -> AsyncInference:
    """The async twin of `inference`. Not awaited."""
    return AsyncInference(
        api_key, base_url, stream=stream, poll_interval_ms=poll_interval_ms, timeout_seconds=timeout_seconds
    )
