"""The platform: chats, agents and files over the ports, put together and started. The server only dresses its answers.

async with Platform(store=..., engine=..., bus=..., models=..., blobs=...) as platform:
    reply = await platform.chats.run("local", request)
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

from agentkit.runtime.agents import Agents, predefine
from agentkit.runtime.answers import Limits
from agentkit.runtime.chats import Chats
from agentkit.runtime.files import Files
from agentkit.runtime.hub import Hub
from agentkit.runtime.ids import hashed, new_id
from agentkit.runtime.loop import Loop, Models
from agentkit.runtime.ports import Bus, Commit, Engine, Store, Writing
from agentkit.runtime.records import KeyRecord
from agentkit.runtime.service import LOCAL
from agentkit.runtime.store.blobs import Blobs

__all__ = ["Platform"]

CONFIGURED = "configured"  # the name of keys that came with the settings


class Platform:
    """Chats, agents, tools, approvals and files of one store. Enter it to open the store and start the loop."""

    def __init__(
        self,
        *,
        store: Store,
        engine: Engine,
        bus: Bus,
        models: Models,
        blobs: Blobs,
        limits: Limits | None = None,
        agents: Mapping[str, Any] | None = None,
        keys: Sequence[str] = (),
    ) -> None:
        self._store = store
        self._engine = engine
        self._bus = bus
        self._models = models
        self._blobs = blobs
        self._predefined = dict(agents or {})
        self._keys = tuple(keys)
        self.files = Files(store, blobs=blobs)
        self.agents = Agents(store)
        self._loop = Loop(store, bus, models=models, images=_Images(self.files), limits=limits or Limits())
        hub = Hub(store, bus, draft=self._loop.draft)
        self.chats = Chats(store, hub=hub, models=models, agents=self.agents, files=self.files)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._store.open()
            stack.push_async_callback(self._store.close)
            await self._blobs.open()
            stack.callback(self._blobs.close)
            stack.push_async_callback(self._models.aclose)
            self._store.on_commit(self._told)
            await self._prepare()
            await stack.enter_async_context(self._engine.run(self._loop.advance))
            for wake in await self._store.read(lambda tx: tx.wakes()):
                self._engine.wake(wake)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def _told(self, commit: Commit) -> None:
        for chat_id in commit.cuts:
            self._engine.cancel(chat_id)
        for chat_id, seq in commit.events.items():
            self._bus.grew(chat_id, seq)
        for wake in commit.wakes:
            self._engine.wake(wake)

    async def _prepare(self) -> None:
        """Stores the keys and the agents given in code."""

        def write(tx: Writing) -> None:
            configure_keys(tx, [hashed(key) for key in self._keys])
            for ref, definition in self._predefined.items():
                predefine(tx, ref, definition)

        await self._store.write(write)

    # -- who asks --------------------------------------------------------------------------------------------------

    @property
    def needs_key(self) -> bool:
        """Whether requests must carry a key."""
        return bool(self._keys)

    async def owner_of(self, key: str) -> str | None:
        """The owner behind an API key; None for a key nobody issued."""
        digest = hashed(key)
        found = await self._store.read(lambda tx: tx.find(KeyRecord, sha256=digest, limit=1))
        if not found or found[0].revoked or not hmac.compare_digest(found[0].sha256, digest):
            return None
        return found[0].owner


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
