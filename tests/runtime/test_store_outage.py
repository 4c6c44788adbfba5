"""A database that fails for a moment costs time, not the answer of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from agentkit.errors import StoreError
from agentkit.runtime.bus.local import LocalBus
from agentkit.runtime.engine.local import LocalEngine
from agentkit.runtime.models.registry import Models
from agentkit.runtime.platform import Platform
from agentkit.runtime.ports import Writing
from agentkit.runtime.store.blobs import Blobs
from agentkit.runtime.store.sqlite import SqliteStore
from agentkit.testing import Scripted, gate
from tests.runtime.playing import Play, texts

T = TypeVar("T")


class FailingStore(SqliteStore):
    """A store whose next writes fail, as on a full disk."""

    failures = 0

    async def write(self, change: Callable[[Writing], T]) -> T:
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is full")
        return await super().write(change)


async def test_an_answer_is_held_until_the_database_takes_it() -> None:
    stop = gate()
    store, model = FailingStore(synchronous="OFF"), Scripted([[stop, "paid once"]])
    models: Any = Models(environ={}, providers={"scripted": model})
    async with Platform(
        store=store, engine=LocalEngine(), bus=LocalBus(), models=models, blobs=Blobs(None)
    ) as platform:
        play = Play(platform, model, {"core_app": {"ref": "scripted/model"}})
        await play.say()
        await stop.reached.wait()
        store.failures = 2
        stop.open()
        assert texts(await play.idle()) == ["paid once"]
        assert (len(model.requests), store.failures) == (1, 0)
