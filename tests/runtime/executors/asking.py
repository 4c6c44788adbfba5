"""Agents that ask agents: the tool, scripts for both, and ways to look below and above."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio

from agentkit.runtime.ports import ModelRequest
from agentkit.runtime.records import ChatRecord
from agentkit.testing import call
from tests.runtime.playing import OWNER, Play, client_tool, invocations, playing

CHILD: dict[str, Any] = {"core_app": {"ref": "scripted/child"}, "name": "helper"}
GRANDCHILD: dict[str, Any] = {"core_app": {"ref": "scripted/grandchild"}, "name": "expert"}


def agent_tool(config: Mapping[str, Any] | str = CHILD, *, name: str = "ask", agent: Any = None, **more: Any) -> Any:
    """A tool that asks this agent: one that comes along, or a stored one by reference."""
    asked = {"ref": config} if isinstance(config, str) else {"config": dict(config)}
    return {"name": name, "type": "agent", "agent": {**asked, **(agent or {})}, **more}


def ask(message: str = "please", **more: Any) -> Any:
    return call("ask", {"message": message}, **more)


def child(**more: Any) -> dict[str, Any]:
    return {**CHILD, **more}


async def only_call(play: Play) -> dict[str, Any]:
    """The one call of the chat, once its run is over."""
    (made,) = invocations(await play.idle())
    return made


async def below(play: Play, *, parent_id: str | None = None) -> list[Play]:
    """The chats of sub-agents, in the order they began."""
    wanted = parent_id or play.chat_id
    found = await play.platform._store.read(lambda tx: tx.find(ChatRecord, parent_id=wanted))
    return [Play(play.platform, play.model, {}, each.id) for each in found]


async def begun(play: Play, count: int = 1) -> list[Play]:
    """The sub-agents' chats, as soon as there are so many."""
    with anyio.fail_after(10):
        async with aclosing(await play.platform.chats.watch(OWNER, str(play.chat_id))) as frames:
            async for _ in frames:
                if len(found := await below(play)) >= count:
                    return found
    raise AssertionError("unreachable")


async def log(play: Play, chat_id: str | None = None) -> list[Any]:
    """Everything that was told of a chat."""
    return await play.platform._store.read(lambda tx: tx.events(chat_id or str(play.chat_id)))


async def at_rest(play: Play) -> None:
    """Returns once nothing is left to be done: what is woken last finds that out, and says so to nobody."""
    with anyio.fail_after(10):
        while await play.platform._store.read(lambda tx: tx.wakes()):
            await anyio.sleep(0.005)


def is_child(frame: Any, event: str) -> bool:
    """Whether it tells of such an event in a chat below."""
    return frame.name == "child" and frame.data["event"] == event


def asked_with(play: Play, model: str) -> list[ModelRequest]:
    return [each for each in play.model.requests if each.model == model]


def paying(**more: Any) -> dict[str, Any]:
    """A child with a tool that a person approves."""
    return child(tools=[client_tool("pay", approval=True, **more)])


PAY = call("pay", {"q": "Ann"})


async def parked(play: Play) -> dict[str, Any]:
    """The chat once it waits for a person."""
    return await play.until(lambda chat: chat["status"] == "awaiting_input")


@asynccontextmanager
async def parked_below(depth: int = 1, **more: Any) -> AsyncGenerator[tuple[Play, dict[str, Any]]]:
    """A chat that waits for an approval so deep below; and the question."""
    config: dict[str, Any] = paying(**more)
    for _ in range(depth - 1):
        config = {"core_app": {"ref": "scripted/between"}, "tools": [agent_tool(config)]}
    scripts = {
        "model": [ask("pay"), "over"],
        "between": [ask("pay")] * (depth - 1) + ["paid"] * 9,
        "child": [PAY, "ok"],
    }
    async with playing(scripts=scripts, tools=[agent_tool(config)]) as play:
        await play.say()
        chat = await parked(play)
        (asked,) = chat["pending_interrupts"]
        yield play, asked
