"""The platform: chats, agents, apps, tasks and files over the ports, put together and started.

async with Platform(store=..., engine=..., bus=..., models=..., blobs=...) as platform:
    reply = await platform.chats.run("local", request)

The server only dresses its answers.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.to_thread

from agentkit.errors import StoreError
from agentkit.runtime.agents import Agents, predefine
from agentkit.runtime.apps import Apps
from agentkit.runtime.asking import notices
from agentkit.runtime.asking.approvals import Approvals
from agentkit.runtime.asking.inbox import Inbox
from agentkit.runtime.binding import Binder
from agentkit.runtime.budgets import Limits
from agentkit.runtime.chats import Chats
from agentkit.runtime.console.sessions import ConsoleSessions
from agentkit.runtime.credentials.apikeys import CONFIGURED, ApiKeys, find_key
from agentkit.runtime.credentials.keychain import Keychain
from agentkit.runtime.desk import TaskDesk
from agentkit.runtime.executions import Executions
from agentkit.runtime.executors import ToolExecutor
from agentkit.runtime.executors.agent import AgentExecutor
from agentkit.runtime.executors.app import AppExecutor
from agentkit.runtime.executors.hook import HookExecutor
from agentkit.runtime.executors.http import HttpExecutor
from agentkit.runtime.executors.internal._executor import InternalExecutor
from agentkit.runtime.executors.mcp import McpExecutor
from agentkit.runtime.faults import Fault
from agentkit.runtime.files import Files
from agentkit.runtime.fleet.liveness import Liveness
from agentkit.runtime.fleet.local import LocalFleet
from agentkit.runtime.here import Here
from agentkit.runtime.hooks.delivery import Hooks
from agentkit.runtime.hooks.gate import GateHandler
from agentkit.runtime.hooks.task import TaskHandler
from agentkit.runtime.hooks.webhook import WebhookHandler
from agentkit.runtime.hub import Hub
from agentkit.runtime.ids import hashed, new_id
from agentkit.runtime.loop import Loop, Models
from agentkit.runtime.mcp.servers import McpServers
from agentkit.runtime.outbound.egress import Guard
from agentkit.runtime.ports import Bus, Commit, Engine, Fleet, Store, Writing
from agentkit.runtime.predefined import describe_folders, predefine_app
from agentkit.runtime.reach import Reach
from agentkit.runtime.records import KeyRecord, NoticeTargetRecord
from agentkit.runtime.recovery import SWEEP_SECONDS, Recovery
from agentkit.runtime.service import LOCAL
from agentkit.runtime.sessions import Sessions
from agentkit.runtime.skills import SkillSource
from agentkit.runtime.store.blobs import Blobs
from agentkit.runtime.subagents import SubAgents
from agentkit.runtime.taskfiles import TaskFiles
from agentkit.runtime.tasks import Tasks
from agentkit.runtime.taskwatch import TaskWatch
from agentkit.runtime.tooldesk import Desk
from agentkit.runtime.webhooks import Webhooks
from agentkit.runtime.workshop import Workshop
from agentkit.wire import AgentConfig

__all__ = ["Platform"]

logger = logging.getLogger("agentkit.platform")


class Platform:
    """Everything of one store. Enter it to open the store, to take over what a crash left, and to start.

    `fleet` runs apps, a pool of processes on this machine unless given; `engines` knows which processes share the
    store; `apps_folder` is where apps are unpacked, a temporary one unless given; `apps` are folders by reference.
    `keychain` has secrets and connections, stored ones alone unless given; `reach` is where tools may go, and who is
    told of questions; `executors` carry out the calls of their kinds of tools in place of our own.
    """

    def __init__(
        self,
        *,
        store: Store,
        engine: Engine,
        bus: Bus,
        models: Models,
        blobs: Blobs,
        fleet: Fleet | None = None,
        engines: Liveness | None = None,
        apps_folder: Path | None = None,
        limits: Limits | None = None,
        reach: Reach | None = None,
        executors: Sequence[ToolExecutor] = (),
        agents: Mapping[str, Any] | None = None,
        apps: Mapping[str, str | Path] | None = None,
        compat: bool = False,
        keychain: Keychain | None = None,
        keys: Sequence[str] = (),
    ) -> None:
        self._store = store
        self._engine = engine
        self._bus = bus
        self._models = models
        self._blobs = blobs
        self._fleet = fleet or LocalFleet()
        self._engines = engines or Liveness(":memory:")
        self._agents = dict(agents or {})
        self._apps = dict(apps or {})
        self._compat = compat
        self._keys = tuple(keys)
        self._here = here = Here()
        self.keychain = keychain = keychain or Keychain(store)
        self.vault, self.integrations = keychain.vault, keychain.integrations
        self.api_keys = ApiKeys(store)
        self.console_sessions = ConsoleSessions(store)
        self._workshop = Workshop(store, blobs=blobs, variables=keychain.variables, folder=apps_folder)
        self.files = Files(store, blobs=blobs)
        self.agents = Agents(store)
        self.apps = Apps(store, files=self.files, workshop=self._workshop)
        limits = limits or Limits()
        reach = reach or Reach()
        guard = Guard(reach.allow_hosts)
        skills = SkillSource(guard)
        own: tuple[ToolExecutor, ...] = (
            AppExecutor(store, here=here, fleet=self._fleet, holdings=keychain.holdings, limits=limits),
            HttpExecutor(keychain, guard=guard),
            HookExecutor(keychain, guard=guard, public_url=reach.public_url),
            McpExecutor(McpServers(reach.mcp, secret=partial(keychain.secret, LOCAL))),
            AgentExecutor(store, bind=self._bind, limits=limits),
            InternalExecutor(store, skills=skills, limits=limits),
        )
        given = {kind for each in executors for kind in each.kinds}
        executors = (*executors, *(each for each in own if given.isdisjoint(each.kinds)))
        self._hooks = Hooks(
            store,
            handlers=(
                WebhookHandler(keychain, guard=guard),
                TaskHandler(store, bus, bind=self._bind, limits=limits),
                GateHandler(),
            ),
            here=here,
            is_alive=self._engines.is_alive,
        )
        self._binder = binder = Binder(executors, skills=skills, hooks=self._hooks)
        self._loop = Loop(
            store,
            bus,
            models=models,
            images=_Images(self.files),
            limits=limits,
            here=here,
            is_alive=self._engines.is_alive,
            wake=engine.wake,
            binder=binder,
        )
        self._executions = Executions(
            store,
            Desk(store, bus, files=self.files, models=models, limits=limits),
            binder=binder,
            executors=executors,
            here=here,
            is_alive=self._engines.is_alive,
            limits=limits,
        )
        hub = Hub(store, bus, draft=self._loop.draft)
        self.chats = Chats(store, hub=hub, models=models, agents=self.agents, files=self.files, binder=binder)
        self.approvals = Approvals(store)
        self.inbox = Inbox(store, bus)
        self._desk = TaskDesk(
            store, bus, here=here, workshop=self._workshop, files=TaskFiles(self.files), submit=self._fleet.submit
        )
        watch = TaskWatch(store, bus, here=here, draft=self._desk.draft)
        self.tasks = Tasks(
            store, bus, here=here, fleet=self._fleet, watch=watch, files=self.files, holdings=keychain.holdings
        )
        self.sessions = Sessions(store, fleet=self._fleet)
        webhooks = reach.approval_webhooks
        self._told_of_questions = None if webhooks is None else dict.fromkeys(webhooks, reach.approval_webhook_secret)
        self._webhooks = Webhooks(store, secret=partial(keychain.secret, LOCAL), public_url=reach.public_url)
        self._recovery = Recovery(store, here=here, fleet=self._fleet, engine=engine, is_alive=self._engines.is_alive)
        self._advances: Mapping[str, Callable[[str], Awaitable[None]]] = {
            "task": self.tasks.advance,
            "session": self.sessions.advance,
            "webhook": self._webhooks.advance,
            "tool": self._executions.advance,
            "hook": self._hooks.advance,
            "child": SubAgents(store, files=TaskFiles(self.files)).advance,
        }
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._store.open()
            stack.push_async_callback(self._store.close)
            await self._blobs.open()
            stack.callback(self._blobs.close)
            stack.callback(self._workshop.close)
            stack.push_async_callback(self._models.aclose)
            stack.push_async_callback(self._webhooks.aclose)
            stack.push_async_callback(self._hooks.aclose)
            stack.push_async_callback(self.keychain.aclose)
            self._here.engine_id = await anyio.to_thread.run_sync(self._engines.claim)
            stack.callback(self._engines.release)
            self._here.is_closing = False
            self._store.on_commit(self._told)
            await self.vault.start()
            await self._prepare()
            await self._look_for_signature()
            await stack.enter_async_context(self._executions.run())
            await stack.enter_async_context(self._engine.run(self.advance))
            await stack.enter_async_context(self._working())
            for wake in await self._store.read(lambda tx: tx.wakes()):
                self._engine.wake(wake)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def advance(self, key: str) -> None:
        """What a wake-up is for: a task, a session, a webhook, or else a chat."""
        kind, colon, id = key.partition(":")
        if colon and (advance := self._advances.get(kind)):
            await advance(id)
        else:
            await self._loop.advance(key)

    def fleet(self) -> dict[str, Any]:
        """GET /fleet: the workers, the queue, and what they have done."""
        return asdict(self._fleet.state())

    async def _bind(self, config: AgentConfig, *, owner: str) -> AgentConfig:
        """A sub-agent made ready by the executors of which one asks it."""
        return await self._binder.bind(config, owner=owner)

    @asynccontextmanager
    async def _working(self) -> AsyncGenerator[None]:
        """While entered, tasks run. Afterwards every worker has ended, and what it was at is put right."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._desk.run)
            try:
                async with self._fleet.run(self._desk):
                    await self._recovery.boot()
                    group.start_soon(self._sweep)
                    try:
                        yield
                    finally:
                        self._here.is_closing = True
            finally:
                group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            try:
                await self._desk.flush()
                await self._recovery.close()
            except StoreError as error:  # the next process that opens the store does it
                logger.warning("tasks are left as they are: %s", error)

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(SWEEP_SECONDS)
            try:
                await self._recovery.sweep()
            except Exception as error:  # whatever it is, the next one may do better
                logger.warning("the sweep is put off: %s", error, exc_info=not isinstance(error, StoreError))

    def _told(self, commit: Commit) -> None:
        for chat_id in commit.cuts:
            self._engine.cancel(chat_id)
        for id, seq in commit.events.items():
            self._bus.grew(id, seq)
        for wake in commit.wakes:
            self._engine.wake(wake)

    async def _prepare(self) -> None:
        """Stores the keys, and the agents and apps given in code."""
        described = await describe_folders(self._apps, store=self._store, workshop=self._workshop, compat=self._compat)

        def write(tx: Writing) -> None:
            if self._keys:  # a program beside a server has none, and must not take the server's away
                configure_keys(tx, [hashed(key) for key in self._keys])
            if self._told_of_questions is not None:
                notices.configure(tx, self._told_of_questions)
            for ref, definition in self._agents.items():
                predefine(tx, ref, definition)
            for ref, app in described.items():
                predefine_app(tx, ref, app)

        await self._store.write(write)

    async def _look_for_signature(self) -> None:
        """Says at once what would come up only when nobody is told of a question."""
        names = await self._store.read(lambda tx: {each.secret for each in tx.find(NoticeTargetRecord)})
        for name in sorted(names - {""}):
            try:
                is_there = await self.keychain.secret(LOCAL, name) is not None
            except Fault as fault:
                logger.warning("approval webhooks: the secret %r cannot be used: %s", name, fault)
                continue
            if not is_there:
                way = f"give it in `secrets=`, or run `agentkit secret set {name}`"
                logger.warning("approval webhooks: the secret %r is not set; nobody is told until it is: %s", name, way)

    # -- who asks --------------------------------------------------------------------------------------------------

    @property
    def needs_key(self) -> bool:
        """Whether requests must carry a key."""
        return bool(self._keys)

    async def key_of(self, key: str) -> KeyRecord | None:
        """The record of an API key; None for one that nobody issued, or that counts no more."""
        return await self._store.read(lambda tx: find_key(tx, key))


def configure_keys(tx: Writing, digests: Sequence[str]) -> None:
    """Makes these the configured keys: one that is configured no longer is revoked, one that is again counts again."""
    known = {each.sha256: each for each in tx.find(KeyRecord) if each.name == CONFIGURED}
    for digest, record in known.items():
        if record.revoked is (digest in digests):
            tx.update(record.but(revoked=digest not in digests))
    for digest in dict.fromkeys(digests):
        if digest not in known:
            tx.insert(KeyRecord(id=new_id(), sha256=digest, owner=LOCAL, name=CONFIGURED))


class _Images:
    """The platform's files, for the loop."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def read(self, uri: str) -> tuple[bytes, str] | None:
        found = await self._files.read_uri(uri)
        return (found[0], found[1].content_type) if found else None
