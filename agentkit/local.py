"""The platform in this process: no port, no key, nothing to install beside it.

    with Runtime() as runtime:
        agent = runtime.client().agent({"core_app": {"ref": "offline/extract"}})

    async with Runtime("work.db") as runtime:
        agent = runtime.async_client().agent(...)

`with` runs it in a thread with an event loop of its own, so it works anywhere, inside a running loop too; `async with`
runs it in the loop that enters it, asyncio or trio.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from agentkit.client.config import ClientConfig
from agentkit.client.inference import AsyncInference, Inference
from agentkit.client.journal import Kept
from agentkit.errors import UsageError
from agentkit.inprocess import BASE_URL, FORKED, AsyncInProcess, InProcess
from agentkit.runtime.budgets import Limits
from agentkit.runtime.mcp.config import McpServerSpec
from agentkit.runtime.open import FleetConfig, open_platform
from agentkit.runtime.platform import Platform
from agentkit.runtime.ports import ModelProvider
from agentkit.runtime.server import create_app

__all__ = ["Runtime"]


class Runtime:
    """A platform and its clients in one process.

    `db`: a file that keeps everything, or nothing for a database in memory. `model`: who answers for agents that name
    nobody (default: what the environment offers, else `offline/extract`). `aliases`: reference to reference, as in
    `{"infsh/claude-sonnet-4@abc123": "openai/gpt-5-mini"}`; `"*"` catches all. `models`: more providers by name.
    `agents`: stored agents given in code, by reference. `apps`: folders of apps, by reference, as in
    `{"me/echo": "path/to/folder"}`; `apps_folder`: where what is made for them is kept, their environments above all
    (default: beside the database; several runtimes may share one); `compat`: `import inferencesh` means agentkit in all
    of them, also where no line of theirs shows it. `workers`: how many processes run them at most (default: one per
    processor), or a `FleetConfig`; `secrets`: what tools and apps that name them
    find. `integrations`: providers that can be connected, beside the known ones, or more about those. `mcp`: MCP
    servers by name, as in `{"time": "mcp-server-time"}` or `{"docs": "https://docs.example/mcp"}`. `allow_hosts`: what
    HTTP tools and webhooks may reach although it is not public, as in `["10.0.0.0/8", "localhost:8080"]`;
    `public_url`: where others reach this runtime, for webhooks that call back. `approval_webhooks`: URLs that are told
    of every question to a person, signed with the secret that `approval_webhook_secret` names; None: those of the
    database.
    """

    def __init__(
        self,
        db: str | Path = ":memory:",
        *,
        model: str = "",
        aliases: Mapping[str, str] | None = None,
        models: Mapping[str, ModelProvider] | None = None,
        agents: Mapping[str, Any] | None = None,
        apps: Mapping[str, str | Path] | None = None,
        apps_folder: str | Path | None = None,
        compat: bool = False,
        workers: int | FleetConfig | None = None,
        secrets: Mapping[str, str] | None = None,
        integrations: Mapping[str, Any] | None = None,
        mcp: Mapping[str, McpServerSpec] | None = None,
        allow_hosts: Sequence[str] = (),
        public_url: str | None = None,
        approval_webhooks: Sequence[str] | None = None,
        approval_webhook_secret: str = "",
        limits: Limits | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._db = db
        self._options: dict[str, Any] = {
            "model": model,
            "aliases": aliases,
            "providers": models,
            "agents": agents,
            "apps": apps,
            "apps_folder": apps_folder,
            "compat": compat,
            "fleet": workers if isinstance(workers, FleetConfig | None) else FleetConfig(size=workers),
            "secrets": secrets,
            "integrations": integrations,
            "mcp": mcp,
            "allow_hosts": allow_hosts,
            "public_url": public_url,
            "approval_webhooks": approval_webhooks,
            "approval_webhook_secret": approval_webhook_secret,
            "limits": limits,
            "environ": environ,
        }
        self._sync = ExitStack()
        self._async = AsyncExitStack()
        self._portal: BlockingPortal | None = None
        self._tasks: Any = None
        self._app: Any = None
        self._pid = 0

    def __repr__(self) -> str:
        return f"Runtime({str(self._db)!r})"

    # -- in a thread of its own ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._check_idle()
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal(name="agentkit-runtime"))
            platform = portal.call(self._open)
            stack.enter_context(portal.wrap_async_context_manager(platform))
            self._app, self._portal, self._pid = create_app(platform), portal, os.getpid()
            stack.callback(self._forget)
            self._sync = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops what runs, keeps what is stored. Chats that work or wait go on when the file is opened again.

        So do tasks that no worker had begun with; one that was running fails, unless its app is idempotent.

        In a forked child it does nothing: what runs is the parent's.
        """
        if self._pid == os.getpid():
            self._sync.close()

    def client(
        self, *, stream: bool = True, journal: Kept | None = None, config: ClientConfig | None = None
    ) -> Inference:
        """A client of this runtime, usable from any thread while the runtime is open. `journal`: as of `inference`."""
        if self._portal is None:
            raise UsageError("open the runtime first: with Runtime() as runtime: runtime.client()")
        if self._pid != os.getpid():
            raise UsageError(FORKED)
        transport = InProcess(self._app, self._portal)
        return Inference(config=config or _config(stream), journal=journal, transport=transport)

    # -- in the caller's event loop --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._check_idle()
        async with AsyncExitStack() as stack:
            platform = await stack.enter_async_context(await self._open())
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(self._tasks.cancel_scope.cancel)
            self._app = create_app(platform)
            stack.callback(self._forget)
            self._async = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._async.aclose()

    def async_client(
        self, *, stream: bool = True, journal: Kept | None = None, config: ClientConfig | None = None
    ) -> AsyncInference:
        """A client of this runtime, for the event loop that entered it. `journal`: as of `inference`."""
        if self._tasks is None:
            raise UsageError("open the runtime first: async with Runtime() as runtime: runtime.async_client()")
        transport = AsyncInProcess(self._app, self._tasks)
        return AsyncInference(config=config or _config(stream), journal=journal, transport=transport)

    # -- parts -----------------------------------------------------------------------------------------------------

    async def _open(self) -> Platform:
        return open_platform(db=self._db, **self._options)

    def _check_idle(self) -> None:
        if self._app is not None:
            raise UsageError("this runtime is open already")

    def _forget(self) -> None:
        self._app = self._portal = self._tasks = None


def _config(stream: bool) -> ClientConfig:
    return ClientConfig(base_url=BASE_URL, stream=stream, honours_keys=True)
