"""Chats of sub-agents: told above, handed over, and there once whatever happens to the process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit.errors import StoreError
from agentkit.runtime.budgets import Limits
from agentkit.runtime.executors import Produced
from agentkit.runtime.records import ChatRecord, InvocationRecord, RunRecord
from agentkit.testing import call, finish, gate, hang
from agentkit.wire import (
    RejectTool,
    ToolType,
)
from tests.runtime.bench_executor import BenchExecutor, bench_tool
from tests.runtime.executors.asking import (
    CHILD,
    GRANDCHILD,
    PAY,
    agent_tool,
    ask,
    asked_with,
    below,
    child,
    is_child,
    log,
    only_call,
    parked,
    paying,
)
from tests.runtime.playing import ADA, OWNER, REPORT, client_tool, invocations, playing, texts

# -- told above ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("sub-agent:events")
async def test_everything_of_a_child_is_told_above_in_the_same_order() -> None:
    middle = {**CHILD, "tools": [agent_tool(GRANDCHILD)]}
    scripts = {"model": [ask(), "over"], "child": [ask(), "told"], "grandchild": ["deep"]}
    async with playing(scripts=scripts, tools=[agent_tool(middle)]) as play:
        await play.say()
        made = await only_call(play)
        (one,) = await below(play)
        (two,) = await below(play, parent_id=one.chat_id)
        told = await log(play)
        for depth, chat, call_id in ((1, one, made["id"]), (2, two, made["id"])):
            own = [(each.name, each.data) for each in await log(play, chat.chat_id) if each.name != "child"]
            above = [each.data for each in told if each.name == "child" and each.data["chat_id"] == chat.chat_id]
            assert [(each["event"], each["data"]) for each in above] == own
            assert {(each["depth"], each["invocation_id"]) for each in above} == {(depth, call_id)}
        (inner,) = invocations(await one.chat())
        between = [each.data for each in await log(play, one.chat_id) if each.name == "child"]
        assert {(each["depth"], each["invocation_id"], each["chat_id"]) for each in between} == {
            (1, inner["id"], two.chat_id)
        }
        ended = [index for index, each in enumerate(told) if is_child(each, "chats")][-1]
        settled = next(
            index
            for index, each in enumerate(told)
            if each.name == "chat_messages"
            and any(made["status"] == "completed" for made in each.data["tool_invocations"])
        )
        assert ended < settled


async def test_what_a_child_says_is_told_above_while_it_says_it() -> None:
    mid, last = gate(), gate()
    scripts = {"model": [ask(), "over"], "child": [["half ", mid, "whole", last]]}
    async with playing(scripts=scripts, tools=[agent_tool()]) as play:
        await play.say()
        deltas: list[Any] = []
        with anyio.fail_after(10):
            async with aclosing(await play.platform.chats.watch(OWNER, str(play.chat_id))) as frames:
                async for frame in frames:
                    if is_child(frame, "delta"):
                        deltas.append(frame)
                    if mid.reached:
                        mid.open()
                    if "".join(said(each) for each in deltas).endswith("whole"):
                        last.open()
                    if frame.name == "chats" and frame.data["status"] == "idle":
                        break
        assert {each.id for each in deltas} == {None}
        assert {each.data["chat_id"] for each in deltas} == {each.chat_id for each in await below(play)}


def said(frame: Any) -> str:
    """The text of a delta that was told above."""
    return frame.data["data"]["delta"].get("response") or ""


async def test_progress_of_a_childs_tool_is_told_above() -> None:
    async def slowly(call: Any, desk: Any) -> Any:
        await desk.progress(call, "half")
        return Produced("done")

    scripts = {"model": ["hello", ask(), "over"], "child": [call("work", {"do": "slowly"}), "ok"]}
    tools = [agent_tool(child(tools=[bench_tool()]))]
    async with playing(scripts=scripts, executors=[BenchExecutor(slowly=slowly)], tools=tools) as play:
        await play.say()
        await play.idle()
        heard: list[Any] = []
        with anyio.fail_after(10):
            async with aclosing(await play.platform.chats.watch(OWNER, str(play.chat_id), after=0)) as frames:
                await anext(frames)
                await play.say()
                async for frame in frames:
                    if frame.name == "child" and frame.data["event"] == "tool_progress":
                        heard.append(frame.data["data"]["message"])
                    if frame.name == "chats" and frame.data["status"] == "idle" and heard:
                        break
        assert heard == ["half"]


async def test_who_comes_later_is_shown_the_children_at_work() -> None:
    scripts = {"model": [ask(), "over"], "child": [["some ", gate(), "more"], "never"]}
    mid = scripts["child"][0][1]
    async with playing(scripts=scripts, tools=[agent_tool()]) as play:
        await play.say()
        await mid.reached.wait()
        shown: list[Any] = []
        with anyio.fail_after(10):
            async with aclosing(await play.platform.chats.watch(OWNER, str(play.chat_id))) as frames:
                async for frame in frames:
                    shown.append(frame)
                    if frame.id is not None:
                        break
        assert [each.name for each in shown if each.name] == ["chats", "chat_messages", "child", "child"]
        assert [each.data["event"] for each in shown if each.name == "child"] == ["chats", "chat_messages"]
        assert shown[-1].data["data"]["content"][0]["text"] == "some "
        mid.open()
        await play.idle()


# -- handed over -----------------------------------------------------------------------------------------------------


def handing(config: Mapping[str, Any] | str, name: str = "transfer") -> dict[str, Any]:
    return agent_tool(config, name=name, agent={"handoff": True})


@pytest.mark.requirement("sub-agent:handoff")
async def test_the_other_agent_has_the_chat_from_then_on() -> None:
    billing = {"core_app": {"ref": "scripted/billing"}, "name": "billing", "system_prompt": "You bill."}
    scripts = {
        "model": [call("transfer", {"reason": "money"}), "never"],
        "billing": ["You owe 5.", "Still 5."],
    }
    async with playing(scripts=scripts, tools=[handing({**billing, "tools": [client_tool("refund")]})]) as play:
        await play.say("what do I owe?")
        chat = await play.idle()
        (made,) = invocations(chat)
        assert (made["status"], made["result"]) == ("completed", "handed over to billing")
        assert texts(chat) == ["", "You owe 5."] and await below(play) == []
        asked = asked_with(play, "billing")[0]
        assert asked.system_prompt == "You bill." and [tool.name for tool in asked.tools][:1] == ["refund"]
        assert [each.text for each in asked.messages if each.role == "user"] == ["what do I owe?"]
        await play.say("sure?")  # with the agent that this client knows, as SDKs do
        assert texts(await play.idle())[-1] == "Still 5."
        play.config["system_prompt"] = "Another one"
        play.model._left["model"] = ["I am new here."]
        await play.say("hello?")
        assert texts(await play.idle())[-1] == "I am new here."


async def test_a_chat_goes_round_a_ring_of_agents() -> None:
    agents = {
        "local/a": {"core_app": {"ref": "scripted/a"}, "name": "a", "tools": [handing("local/b")]},
        "local/b": {"core_app": {"ref": "scripted/b"}, "name": "b", "tools": [handing("local/a")]},
    }
    scripts = {"a": [call("transfer", {}), "a again", "a still"], "b": [call("transfer", {})]}
    async with playing(scripts=scripts, agents=agents) as play:
        await play.say(agent="local/a", agent_config=None)
        chat = await play.idle()
        assert [each["result"] for each in invocations(chat)] == ["handed over to b", "handed over to a"]
        assert texts(chat)[-1] == "a again"
        stored = await play.platform.agents.by_name(OWNER, "local", "a")
        assert chat["agent_id"] == stored["id"]
        await play.say(agent="local/a", agent_config=None)
        assert texts(await play.idle())[-1] == "a still"


async def test_the_output_is_what_the_new_agent_promises() -> None:
    writer = {"core_app": {"ref": "scripted/writer"}, "name": "writer", "output_schema": REPORT}
    scripts = {
        "model": [call("transfer", {})],
        "writer": [finish({"title": "T"}), finish({"title": "T", "pages": 3})],
    }
    async with playing(scripts=scripts, tools=[handing(writer)]) as play:
        await play.say()
        chat = await play.idle()
        assert chat["output"] == {"title": "T", "pages": 3}
        assert [each["status"] for each in invocations(chat)] == ["completed", "failed", "completed"]


async def test_what_was_asked_for_with_the_hand_over_is_done_first() -> None:
    other = {"core_app": {"ref": "scripted/other"}, "name": "other"}
    steps = [[call("transfer", {}), call("look", {"q": "a"}), call("transfer", {}), call("look", {"q": "b"})]]
    async with playing(scripts={"model": steps, "other": ["mine now"]}, tools=[handing(other), client_tool()]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        await play.until(lambda chat: [each["status"] for each in invocations(chat)].count("completed") == 1)
        for each in invocations(await play.chat()):
            if each["status"] == "awaiting_input":
                await play.answer(each["id"])
        chat = await play.idle()
        made = invocations(chat)
        assert waiting["status"] == "awaiting_input" and texts(chat)[-1] == "mine now"
        assert sorted(each["status"] for each in made) == ["completed", "completed", "completed", "failed"]
        assert "handed over to another agent already" in next(e["result"] for e in made if e["status"] == "failed")


async def test_a_sub_agent_hands_its_own_chat_over() -> None:
    expert = {**GRANDCHILD}
    scripts = {"model": [ask(), "over"], "child": [call("transfer", {})], "grandchild": [finish("from the expert")]}
    async with playing(scripts=scripts, tools=[agent_tool(child(tools=[handing(expert)]))]) as play:
        await play.say()
        assert (await only_call(play))["result"] == "from the expert"
        assert len(await below(play)) == 1


# -- crashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["claimed", "working", "parked", "large"])
async def test_after_a_restart_it_goes_on_and_there_is_one_child(tmp_path: Path, when: str) -> None:
    """Closing without an end is what a kill leaves: the rows, and nothing that was in memory."""
    db = tmp_path / "chats.db"
    halted = hang()
    config = paying() if when == "parked" else CHILD
    scripts: dict[str, Any] = {"model": [ask()], "child": [PAY if when == "parked" else halted]}
    async with playing(scripts=scripts, tools=[agent_tool(config)], db=db) as play:
        await play.say()
        if when == "parked":
            await parked(play)
        else:
            await halted.reached.wait()
        chat_id, given = play.chat_id, play.config
        if when == "claimed":  # as it was before the child began: another process had claimed the call, and died
            await play.platform._store.write(lambda tx: _as_if_claimed(tx, str(chat_id)))
    answers: dict[str, Any] = {"claimed": ["done"], "working": ["done"], "parked": ["done"], "large": ["x" * 100]}
    limits = Limits(result_chars=60 if when == "large" else 50_000)
    scripts = {"model": ["over"], "child": answers[when]}
    async with playing(scripts=scripts, db=db, limits=limits) as play:
        play.chat_id, play.config = chat_id, given
        if when == "parked":
            (asked,) = (await parked(play))["pending_interrupts"]
            await play.platform.approvals.reject(OWNER, asked["resource_id"], RejectTool(reason="no"), by=ADA)
        made = await only_call(play)
        assert made["status"] == "completed" and made["result"].startswith("x" if when == "large" else "done")
        (chat,) = await below(play)
        assert made["execution_id"] == chat.chat_id
        assert texts(await play.chat())[-1] == "over"


def _as_if_claimed(tx: Any, chat_id: str) -> None:
    """Takes the child away, and gives the call to a process that is gone."""
    (call_,) = tx.find(InvocationRecord, chat_id=chat_id)
    for each in tx.find(RunRecord, chat_id=call_.execution_id):
        tx.delete(each)
    child_chat = tx.get(ChatRecord, call_.execution_id)
    tx.clear_wake(child_chat.id)
    tx.delete(child_chat)
    tx.update(call_.but(execution_id=None, engine_id="gone"))
    tx.wake(f"tool:{call_.id}")


async def test_the_transaction_that_begins_a_child_may_come_twice() -> None:
    """A store that says no after it did it: what began is not begun again."""
    async with playing(scripts={"model": [ask(), "ok"], "child": ["once", "twice"]}, tools=[agent_tool()]) as play:
        store = play.platform._store
        write = store.write
        failed: list[bool] = []

        async def write_and_say_no(change: Callable[[Any], Any]) -> Any:
            done = await write(change)
            found = await store.read(lambda tx: tx.find(InvocationRecord))
            if not failed and found and found[0].type is ToolType.AGENT and found[0].execution_id:
                failed.append(True)
                raise StoreError("the disk is slow")
            return done

        store.write = write_and_say_no  # type: ignore[method-assign]
        await play.say()
        assert (await only_call(play))["result"] == "once"
        assert failed and len(await below(play)) == 1
