"""An approval ends at its deadline, not when somebody notices that it passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agentkit.runtime.bus.local import LocalBus
from agentkit.runtime.engine.local import LocalEngine
from agentkit.runtime.faults import Fault
from agentkit.runtime.models.registry import Models
from agentkit.runtime.platform import Platform
from agentkit.runtime.store.blobs import Blobs
from agentkit.runtime.store.sqlite import SqliteStore
from agentkit.testing import Scripted, call
from agentkit.wire import Decide
from tests.runtime.playing import ME, OWNER, Play, client_tool, invocations

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = BEGIN

    def __call__(self) -> datetime:
        return self.time


async def test_an_approval_after_the_deadline_runs_nothing_even_before_the_deadline_was_noticed() -> None:
    clock, model = Clock(), Scripted([call("look", {"q": "a"}), "denied then"])
    platform = Platform(
        store=SqliteStore(synchronous="OFF", clock=clock),
        engine=LocalEngine(clock=lambda: BEGIN),  # it does not see the time pass, so nothing is woken
        bus=LocalBus(),
        models=Models(environ={}, providers={"scripted": model}),
        blobs=Blobs(None),
    )
    tool = client_tool(approval=True, approval_timeout=60)
    async with platform:
        play = Play(platform, model, {"core_app": {"ref": "scripted/model"}, "tools": [tool]})
        await play.say()
        [asked] = invocations(await play.until(lambda chat: chat["status"] == "awaiting_input"))
        clock.time = BEGIN + timedelta(seconds=60)
        with pytest.raises(Fault, match="expired at") as late:
            await platform.approvals.invoke(OWNER, asked["id"], Decide(), by=ME)
        assert late.value.code == "already_resolved"
        assert (await play.waits_for("awaiting_approval"))["id"] == asked["id"]
