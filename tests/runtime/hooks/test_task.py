"""Hooks of type task: an agent reads the payload, and its output is the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentkit.runtime.budgets import Limits
from agentkit.runtime.faults import Fault
from agentkit.runtime.records import ChatRecord
from agentkit.testing import call, finish, gate, hang
from tests.runtime.hooks.listening import hook
from tests.runtime.playing import OWNER, Play, client_tool, invocations, playing, texts

LOOK = call("look", {"q": "a"})
JUDGE = {"local/judge": {"core_app": {"ref": "scripted/judge"}, "system_prompt": "You judge."}}


def scripts(*main: Any, judge: Any) -> dict[str, Any]:
    return {"model": list(main), "judge": judge}


async def chats(play: Play) -> list[ChatRecord]:
    found = await play.platform._store.read(lambda tx: tx.find(ChatRecord))  # pyright: ignore[reportPrivateUsage]
    return [each for each in found if each.parent_id]


def judged(event: str = "agent.tool_call", **more: Any) -> list[dict[str, Any]]:
    return [hook(event, "local/judge", type="task", **more)]


async def test_an_agent_denies_a_call() -> None:
    said = scripts(LOOK, "Then not.", judge=[finish({"decision": "deny", "reason": "it is dark"})])
    async with playing(scripts=said, agents=JUDGE, hooks=judged(), tools=[client_tool()]) as play:
        await play.say()
        [made] = invocations(await play.idle())
        assert made["result"] == "a hook denied this call: it is dark"
        asked = next(each for each in play.model.requests if each.model == "judge")
        payload = json.loads(asked.messages[0].text)
        assert (payload["event"], payload["data"]["arguments"]) == ("agent.tool_call", {"q": "a"})
        assert asked.system_prompt == "You judge."


async def test_an_agent_gives_other_arguments() -> None:
    said = scripts(LOOK, "Done.", judge=[finish({"decision": "allow", "override": {"q": "b"}})])
    async with playing(scripts=said, agents=JUDGE, hooks=judged(), tools=[client_tool()]) as play:
        await play.say()
        assert (await play.waits_for("awaiting_input"))["function"]["arguments"] == {"q": "b"}


async def test_an_agent_that_is_late_counts_as_no_answer_and_is_stopped() -> None:
    said = scripts("never", judge=[hang()])
    async with playing(scripts=said, agents=JUDGE, hooks=judged("agent.start", timeout=0.2)) as play:
        await play.say()
        chat = await play.idle()
        assert chat["active_run"]["state"] == "canceled"
        assert "no answer within 0.2 s" in chat["active_run"]["error"]
        [judge] = await chats(play)
        assert (await play.platform.chats.get(OWNER, judge.id))["active_run"]["state"] == "canceled"


async def test_an_agent_that_hands_in_no_decision_counts_as_no_answer() -> None:
    said = scripts("never", judge=["I am not sure.", "Still not."])
    async with playing(scripts=said, agents=JUDGE, hooks=judged("agent.start")) as play:
        await play.say()
        assert "no JSON" in (await play.idle())["active_run"]["error"]


async def test_the_judge_has_no_hooks_of_its_own() -> None:
    agents = {"local/judge": {**JUDGE["local/judge"], "hooks": judged("agent.start")}}
    said = scripts("Hi.", judge=[finish({"decision": "allow"})])
    async with playing(scripts=said, agents=agents, hooks=judged("agent.start")) as play:
        await play.say()
        assert texts(await play.idle()) == ["Hi."]
        assert len(await chats(play)) == 1


async def test_the_judge_works_on_the_budget_of_the_run() -> None:
    said = scripts("never", judge=[finish({"decision": "allow"})])
    options: Any = {"limits": Limits(turns=1), "hooks": judged("agent.start")}
    async with playing(scripts=said, agents=JUDGE, **options) as play:
        await play.say()
        chat = await play.idle()
        assert chat["active_run"]["state"] == "failed"
        assert "1 times, which is the limit" in chat["active_run"]["error"]


async def test_agents_judge_each_other_only_so_deep() -> None:
    said = scripts("never", judge=[])
    options: Any = {"limits": Limits(depth=0), "hooks": judged("agent.start")}
    async with playing(scripts=said, agents=JUDGE, **options) as play:
        await play.say()
        assert "0 deep in each other" in (await play.idle())["active_run"]["error"]


async def test_an_agent_that_is_only_told_works_while_the_run_goes_on() -> None:
    stop = gate()
    said = scripts("Hi.", judge=[[stop, "noted"]])
    async with playing(scripts=said, agents=JUDGE, hooks=judged("agent.start", **{"async": True})) as play:
        await play.say()
        assert texts(await play.idle()) == ["Hi."]
        await stop.reached.wait()
        [judge] = await chats(play)
        assert (await play.platform.chats.get(OWNER, judge.id))["status"] == "busy"
        stop.open()


async def test_stopping_the_run_stops_the_judge() -> None:
    stop = gate()
    said = scripts("never", judge=[[stop, "never"]])
    async with playing(scripts=said, agents=JUDGE, hooks=judged("agent.start")) as play:
        await play.say()
        await stop.reached.wait()
        assert play.chat_id is not None
        await play.platform.chats.stop(OWNER, play.chat_id)
        [judge] = await chats(play)
        assert (await play.platform.chats.get(OWNER, judge.id))["active_run"]["state"] == "canceled"


async def test_a_restart_goes_on_with_the_judge_that_was_asked(tmp_path: Path) -> None:
    stop = gate()
    options: Any = {"db": tmp_path / "a.db", "agents": JUDGE, "hooks": judged("agent.start")}
    async with playing(scripts=scripts("never", judge=[[stop, "never"]]), **options) as play:
        await play.say()
        await stop.reached.wait()
    said = scripts("Hi.", judge=[finish({"decision": "allow"})])
    async with playing(scripts=said, **options) as again:
        again.chat_id = play.chat_id
        assert texts(await again.idle()) == ["Hi."]
        assert len(await chats(again)) == 1
        assert again.chat_id is not None
        await again.platform.chats.delete(OWNER, again.chat_id)
        assert await chats(again) == []


async def test_an_agent_that_is_not_there_is_refused_with_the_message() -> None:
    async with playing("never", hooks=[hook("agent.start", "local/nobody", type="task")]) as play:
        with pytest.raises(Fault) as refused:
            await play.say()
        assert refused.value.code == "not_found"
