"""A chat that waits for an approval, and short ways to answer it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from agentkit.runtime.asking import outcomes
from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import InterruptRecord, InvocationRecord
from agentkit.runtime.work import Work
from agentkit.testing import call
from agentkit.wire import Decide, ResolveInterrupt
from tests.runtime.playing import ANN, OWNER, Play, client_tool, playing

ASK = call("pay", {"q": "ten"})
LONG_AGO = "2020-01-01T00:00:00.000000Z"


def paying(**more: Any) -> dict[str, Any]:
    """A client tool that a person approves."""
    return client_tool("pay", approval=True, **more)


async def question(play: Play) -> dict[str, Any]:
    """The one question of the chat, once it is parked on it."""
    chat = await play.until(lambda chat: chat["status"] == "awaiting_input")
    [interrupt] = chat["pending_interrupts"]
    return dict(interrupt)


@asynccontextmanager
async def asking(*after: Any, step: Any = ASK, **config: Any) -> AsyncGenerator[tuple[Play, dict[str, Any]]]:
    """A chat that waits for an approval, and the question; `after` is what the model says next."""
    async with playing(step, *after, **{"tools": [paying()], **config}) as play:
        await play.say()
        yield play, await question(play)


async def resolve(play: Play, asked: dict[str, Any], who: Approver = ANN, **body: Any) -> dict[str, Any]:
    """POST /interrupts/{id}/resolve."""
    return await play.platform.approvals.resolve(OWNER, asked["id"], ResolveInterrupt.parse(body), by=who)


async def invoke(play: Play, asked: dict[str, Any], who: Approver = ANN, **body: Any) -> dict[str, Any]:
    """POST /tools/{id}/invoke."""
    return await play.platform.approvals.invoke(OWNER, asked["resource_id"], Decide.parse(body), by=who)


async def row(play: Play, asked: dict[str, Any]) -> InterruptRecord:
    """The question as it is kept."""
    found = await play.platform._store.read(lambda tx: tx.get(InterruptRecord, asked["id"]))
    assert found is not None
    return found


async def aged(play: Play, asked: dict[str, Any], **times: Any) -> None:
    """Makes moments of the question come: its row says so, and its chat is woken as it would be then."""

    def age(tx: Writing) -> None:
        record = tx.get(InterruptRecord, asked["id"])
        assert record is not None
        tx.update(record.but(**times))
        tx.wake(record.chat_id)

    await play.platform._store.write(age)


async def lost(play: Play, invocation_id: str) -> dict[str, Any]:
    """The question about a call that its client began, and nobody knows the outcome of."""

    def lose(tx: Writing) -> None:
        invocation = tx.get(InvocationRecord, invocation_id)
        work = Work.of(tx, invocation.chat_id) if invocation else None
        assert invocation is not None and work is not None
        outcomes.ask(work, invocation, "its client is gone")

    await play.platform._store.write(lose)
    return await question(play)
