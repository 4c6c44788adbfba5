"""What the trust tests are played in: a platform by a virtual clock, and a model that goes by the conversation alone.

The model pays first and says so in the end, so a platform that was restarted needs nothing but its rows to go on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio

from agentkit import AsyncInference
from agentkit.client.config import ClientConfig
from agentkit.inprocess import BASE_URL, AsyncInProcess
from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.bus.local import LocalBus
from agentkit.runtime.credentials.keychain import Keychain
from agentkit.runtime.engine.local import LocalEngine
from agentkit.runtime.fleet.liveness import Liveness
from agentkit.runtime.open import files_beside, open_models
from agentkit.runtime.platform import Platform
from agentkit.runtime.ports import Commit, ModelProvider, ModelRequest, Reading
from agentkit.runtime.reach import Reach
from agentkit.runtime.records import ChatRecord, InterruptRecord, InvocationRecord, RunRecord
from agentkit.runtime.server import create_app
from agentkit.runtime.store.blobs import Blobs
from agentkit.runtime.store.sqlite import SqliteStore
from agentkit.testing import Scripted, call
from agentkit.wire import RunAgentRequest
from tests.trust.clock import Clock

__all__ = ["ANN", "OWNER", "World", "client_of", "opened", "payer"]

OWNER: Final = "local"
ANN: Final = Approver("ann")
PATIENCE_SECONDS: Final = 20.0
MOST_ANSWERS: Final = 100


def payer(*, name: str = "scripted") -> Scripted:
    """A model that calls `pay` once per question, and repeats what came of it."""

    def step(request: ModelRequest) -> Any:
        last = request.messages[-1]
        return f"I read: {last.text}" if last.role == "tool" else call("pay", {"q": last.text or "ten"})

    return Scripted([step] * MOST_ANSWERS, name=name)


class World:
    """A platform that is open, and its store."""

    def __init__(self, platform: Platform, store: SqliteStore, clock: Clock) -> None:
        self.platform = platform
        self.store = store
        self.clock = clock
        self._news = anyio.Event()
        store.on_commit(self._told)

    def _told(self, commit: Commit) -> None:
        self.tell()

    def tell(self) -> None:
        """Something happened: whoever waits in `until` looks again."""
        news, self._news = self._news, anyio.Event()
        news.set()

    async def say(self, config: Mapping[str, Any], text: str = "ten", *, chat_id: str | None = None) -> str:
        """Sends a message; the id of its chat."""
        body = {"chat_id": chat_id, "agent_config": dict(config), "input": {"text": text}}
        reply = await self.platform.chats.run(OWNER, RunAgentRequest.parse(body))
        return str(reply["assistant_message"]["chat_id"])

    async def until(self, wanted: Callable[[Reading], Any]) -> Any:
        """What `wanted` finds in the store, as soon as it finds something; looks after every commit."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while True:
                news = self._news
                if found := await self.store.read(wanted):
                    return found
                await news.wait()

    async def find(self, kind: type[Any], **equals: Any) -> list[Any]:
        """Rows, in the order of their making."""
        return await self.store.read(lambda tx: tx.find(kind, **equals))

    async def chat(self, chat_id: str) -> ChatRecord:
        """The chat's row."""
        [found] = await self.find(ChatRecord, id=chat_id)
        return found

    async def questions(self, chat_id: str) -> list[InterruptRecord]:
        """What people were asked in this chat."""
        return await self.find(InterruptRecord, chat_id=chat_id)

    async def calls(self, chat_id: str) -> list[InvocationRecord]:
        """The chat's tool calls."""
        return await self.find(InvocationRecord, chat_id=chat_id)

    async def runs(self, chat_id: str) -> list[RunRecord]:
        """The chat's runs."""
        return await self.find(RunRecord, chat_id=chat_id)


@asynccontextmanager
async def client_of(world: World) -> AsyncGenerator[AsyncInference]:
    """A client of the platform, in this process."""
    async with anyio.create_task_group() as tasks:
        transport = AsyncInProcess(create_app(world.platform), tasks)
        config = ClientConfig(base_url=BASE_URL, honours_keys=True)
        async with AsyncInference(config=config, transport=transport) as client:
            yield client
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def opened(
    db: Path | str,
    *,
    clock: Clock | None = None,
    models: Sequence[ModelProvider] = (),
    allow_hosts: Sequence[str] = (),
    secrets: Mapping[str, str] | None = None,
    max_concurrent: int | None = None,
    trace: Callable[[str], None] | None = None,
    told: Callable[[Commit], None] | None = None,
    **more: Any,
) -> AsyncGenerator[World]:
    """A platform over this file. `told` hears of commits before anybody else; `more` goes to the platform."""
    clock = clock or Clock()
    store = SqliteStore(db, synchronous="OFF", clock=clock, trace=trace)
    if told:
        store.on_commit(told)
    platform = Platform(
        store=store,
        engine=LocalEngine(clock=clock, sleep=clock.sleep, max_concurrent=max_concurrent),
        bus=LocalBus(),
        models=open_models(providers={each.name: each for each in models or (payer(),)}, environ={}),
        blobs=Blobs(files_beside(db)),
        engines=Liveness(db),
        keychain=Keychain(store, configured=secrets),
        reach=Reach(tuple(allow_hosts)),
        **more,
    )
    async with platform:
        yield World(platform, store, clock)
