"""What waits for people below is asked above, and what is stopped above stops below."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from agentkit.runtime import children
from agentkit.runtime.faults import Fault
from agentkit.runtime.records import BudgetRecord, ChatRecord, InvocationRecord, RunRecord
from agentkit.testing import call, gate, hang
from agentkit.wire import (
    AlwaysAllow,
    Decide,
    RejectTool,
    ResolveInterrupt,
    RunAgentRequest,
)
from tests.runtime.asking.asked import LONG_AGO, aged
from tests.runtime.executors.asking import (
    CHILD,
    GRANDCHILD,
    PAY,
    agent_tool,
    ask,
    asked_with,
    at_rest,
    begun,
    below,
    child,
    is_child,
    log,
    only_call,
    parked,
    parked_below,
    paying,
)
from tests.runtime.playing import ADA, OWNER, client_tool, invocations, playing, texts

# -- people ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("sub-agent:approvals-surface")
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("by", ["call", "interrupt"])
async def test_an_approval_below_parks_the_whole_line_and_carries_it_on(depth: int, by: str) -> None:
    async with parked_below(depth) as (play, asked):
        chat = await play.chat()
        assert (chat["active_run"]["state"], chat["active_run"]["interrupt_reason"]) == (
            "input_required",
            "tool_approval",
        )
        assert (asked["meta"]["tool_name"], asked["meta"]["arguments"]) == ("pay", {"q": "Ann"})
        (made,) = invocations(chat)
        assert made["status"] == "in_progress" and made["id"] != asked["resource_id"]
        chats = await play.platform._store.read(lambda tx: tx.find(ChatRecord))
        assert {each.status for each in chats} == {"awaiting_input"} and len(chats) == depth + 1
        if by == "call":
            await play.platform.approvals.invoke(OWNER, asked["resource_id"], Decide(), by=ADA)
        else:
            allow = ResolveInterrupt.parse({"decision": "allow"})
            await play.platform.approvals.resolve(OWNER, asked["id"], allow, by=ADA)
        chat = await play.chat()
        assert (chat["status"], chat["active_run"]["state"], chat["pending_interrupts"]) == ("busy", "working", [])
        await play.answer(asked["resource_id"], "paid Ann")  # the client runs it, wherever it was asked for
        chat = await play.idle()
        assert invocations(chat)[0]["status"] == "completed" and texts(chat)[-1] == "over"
        assert [each["result"] for each in invocations(await play.platform.chats.get(OWNER, asked["chat_id"]))] == [
            "paid Ann"
        ]


async def test_what_is_always_allowed_below_is_said_to_the_parent_and_not_asked_again() -> None:
    scripts = {"model": [ask("pay"), "over"], "child": [PAY, call("pay", {"q": "Bob"}), "paid both"]}
    async with playing(scripts=scripts, tools=[agent_tool(paying())]) as play:
        await play.say()
        (asked,) = (await parked(play))["pending_interrupts"]
        with pytest.raises(Fault, match="has no invocation"):
            body = AlwaysAllow(tool_name="pay")
            await play.platform.approvals.always_allow(OWNER, "another1", asked["resource_id"], body, by=ADA)
        await play.platform.approvals.always_allow(OWNER, str(play.chat_id), asked["resource_id"], body, by=ADA)
        (chat,) = await below(play)
        for _ in range(2):
            waiting = await chat.waits_for("awaiting_input")
            await play.answer(waiting["id"])
        assert (await only_call(play))["result"] == "paid both"


async def test_a_rejection_below_goes_to_the_child() -> None:
    async with parked_below() as (play, asked):
        await play.platform.approvals.reject(OWNER, asked["resource_id"], RejectTool(reason="we owe nothing"), by=ADA)
        assert (await only_call(play))["result"] == "ok"
        assert asked_with(play, "child")[-1].messages[-1].text == "the user rejected this call: we owe nothing"


async def test_an_approval_below_that_nobody_gives_expires_and_carries_all_on() -> None:
    async with parked_below(approval_timeout=3600) as (play, asked):
        await aged(play, asked, expires_at=LONG_AGO)
        assert (await only_call(play))["result"] == "ok"
        assert asked_with(play, "child")[-1].messages[-1].text == "nobody approved this call in time"


async def test_the_parent_goes_on_listening_while_only_one_of_two_children_waits() -> None:
    both = [agent_tool(paying()), agent_tool({"core_app": {"ref": "scripted/busy"}}, name="other")]
    open_gate = gate()
    scripts = {
        "model": [[ask("pay"), call("other", {"message": "work"})], "over"],
        "child": [PAY, "ok"],
        "busy": [[open_gate, "worked"]],
    }
    async with playing(scripts=scripts, tools=both) as play:
        await play.say()
        chat = await play.until(lambda chat: chat["pending_interrupts"])
        assert (chat["status"], chat["active_run"]["state"]) == ("busy", "working")
        open_gate.open()
        chat = await parked(play)
        await play.platform.approvals.invoke(OWNER, chat["pending_interrupts"][0]["resource_id"], Decide(), by=ADA)
        await play.answer(chat["pending_interrupts"][0]["resource_id"], "paid")
        assert [each["result"] for each in invocations(await play.idle())] == ["ok", "worked"]


async def test_watchers_of_the_parent_hear_of_questions_below_as_they_come_and_go() -> None:
    async with parked_below(2) as (play, asked):
        await play.platform.approvals.invoke(OWNER, asked["resource_id"], Decide(), by=ADA)
        await play.answer(asked["resource_id"], "paid")
        await play.idle()
        told = [
            (frame.data["status"], [each["id"] for each in frame.data["pending_interrupts"]])
            for frame in await log(play)
            if frame.name == "chats"
        ]
        assert ("awaiting_input", [asked["id"]]) in told
        assert told.index(("awaiting_input", [asked["id"]])) < len(told) - 1
        assert told[-1] == ("idle", [])
        assert ("awaiting_input", []) not in told


async def test_a_client_tool_below_counts_as_waiting_for_the_client() -> None:
    scripts = {"model": [ask(), "over"], "child": [call("look", {"q": "a"}), "seen"]}
    async with playing(scripts=scripts, tools=[agent_tool(child(tools=[client_tool()]))]) as play:
        await play.say()
        (chat,) = await begun(play)
        waiting = await chat.waits_for("awaiting_input")
        assert (await play.platform.chats.status(OWNER, str(play.chat_id)))["status"] == "awaiting_input"
        assert (await play.chat())["status"] == "busy"
        await play.answer(waiting["id"])
        assert (await only_call(play))["result"] == "seen"


# -- stopped ---------------------------------------------------------------------------------------------------------


async def test_stopping_the_parent_stops_everything_below() -> None:
    halted = hang()
    middle = {**CHILD, "tools": [agent_tool(GRANDCHILD)]}
    scripts = {"model": [ask(), "never"], "child": [ask(), "never"], "grandchild": [["half an ans", halted]]}
    async with playing(scripts=scripts, tools=[agent_tool(middle)]) as play:
        await play.say()
        await halted.reached.wait()
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        runs = await play.platform._store.read(lambda tx: tx.find(RunRecord))
        assert [each.state for each in runs] == ["canceled"] * 3
        made = await play.platform._store.read(lambda tx: tx.find(InvocationRecord))
        assert [each.status for each in made] == ["cancelled"] * 2
        await halted.left.wait()  # and its model call with it
        (one,) = await below(play)
        (two,) = await below(play, parent_id=one.chat_id)
        assert texts(await two.chat()) == ["half an ans"]
        ends = [frame.data["data"]["state"] for frame in await log(play) if is_child(frame, "agent_runs")]
        assert ends.count("canceled") == 2
        await at_rest(play)


async def test_stopping_a_parked_parent_withdraws_the_questions_below() -> None:
    async with parked_below(2) as (play, _):
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        chat = await play.chat()
        assert (chat["status"], chat["pending_interrupts"]) == ("idle", [])
        runs = await play.platform._store.read(lambda tx: tx.find(RunRecord))
        assert {each.state for each in runs} == {"canceled"}


async def test_stopping_only_the_child_fails_the_call_with_a_sentence() -> None:
    halted = hang()
    async with playing(scripts={"model": [ask(), "alas"], "child": [halted]}, tools=[agent_tool()]) as play:
        await play.say()
        await halted.reached.wait()
        (chat,) = await below(play)
        await play.platform.chats.stop(OWNER, str(chat.chat_id))
        made = await only_call(play)
        assert (made["status"], made["result"]) == ("failed", children.STOPPED)
        assert texts(await play.chat())[-1] == "alas"


async def test_a_message_that_interrupts_the_child_fails_the_call_and_one_in_its_queue_waits() -> None:
    halted, later = hang(), gate()
    scripts = {"model": [ask(), "alas"], "child": [halted, [later, "to a person"], "to the next"]}
    async with playing(scripts=scripts, tools=[agent_tool()]) as play:
        await play.say()
        await halted.reached.wait()
        (chat,) = await below(play)
        send: dict[str, Any] = {"chat_id": chat.chat_id, "input": {"text": "no, this"}}
        await play.platform.chats.run(OWNER, RunAgentRequest.parse({**send, "on_busy": "interrupt"}))
        assert (await only_call(play))["result"] == children.STOPPED
        later.open()
        await chat.until(lambda now: texts(now)[-1] == "to a person" and now["status"] == "idle")
        assert invocations(await play.chat())[0]["result"] == children.STOPPED


async def test_a_message_in_the_childs_queue_waits_until_the_call_is_answered() -> None:
    first = gate()
    scripts = {"model": [ask(), "ok"], "child": [[first, "the answer"], "to a person"]}
    async with playing(scripts=scripts, tools=[agent_tool()]) as play:
        await play.say()
        await first.reached.wait()
        (chat,) = await below(play)
        await play.platform.chats.run(
            OWNER, RunAgentRequest.parse({"chat_id": chat.chat_id, "input": {"text": "and me"}})
        )
        first.open()
        assert (await only_call(play))["result"] == "the answer"
        await chat.until(lambda now: texts(now)[-1] == "to a person")


async def test_a_child_out_of_time_is_stopped() -> None:
    halted = hang()
    scripts = {"model": [ask(), "alas"], "child": [halted]}
    async with playing(scripts=scripts, tools=[agent_tool(timeout=0.2)]) as play:
        await play.say()
        made = await only_call(play)
        assert (made["status"], made["result"]) == (
            "failed",
            "the sub-agent had no answer within 0.2 s; it was stopped",
        )
        await halted.left.wait()
        (chat,) = await below(play)
        assert (await chat.chat())["active_run"]["state"] == "canceled"
        await at_rest(play)


async def test_a_childs_time_stands_still_while_a_person_is_asked() -> None:
    scripts = {"model": [ask(), "over"], "child": [PAY, "paid"]}
    async with playing(scripts=scripts, tools=[agent_tool(paying(), timeout=1)]) as play:
        await play.say()
        chat = await parked(play)
        await anyio.sleep(1.3)  # longer than it may take
        (asked,) = (await play.chat())["pending_interrupts"]
        await play.platform.approvals.reject(OWNER, asked["resource_id"], RejectTool(reason="no"), by=ADA)
        assert chat["status"] == "awaiting_input" and (await only_call(play))["result"] == "paid"


async def test_deleting_the_parent_deletes_everything_below() -> None:
    async with parked_below(2) as (play, _):
        await play.platform.chats.delete(OWNER, str(play.chat_id))
        for kind in (ChatRecord, RunRecord, InvocationRecord, BudgetRecord):
            assert await play.platform._store.read(lambda tx, kind=kind: tx.find(kind)) == []
        await at_rest(play)


async def test_deleting_only_the_child_fails_the_call() -> None:
    halted = hang()
    async with playing(scripts={"model": [ask(), "alas"], "child": [halted]}, tools=[agent_tool()]) as play:
        await play.say()
        await halted.reached.wait()
        (chat,) = await below(play)
        await play.platform.chats.delete(OWNER, str(chat.chat_id))
        assert (await only_call(play))["status"] == "failed"
