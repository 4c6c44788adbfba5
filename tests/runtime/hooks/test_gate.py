"""Gates, and hooks that suspend: a person is asked, and the run goes on with the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentkit.runtime.faults import Fault
from agentkit.testing import call
from agentkit.wire import AlwaysAllow, Decide, RejectTool, ResolveInterrupt
from tests.runtime.hooks.listening import LOOPBACK, hook, listening
from tests.runtime.playing import ANN, OWNER, Play, client_tool, invocations, playing, texts

LOOK = call("look", {"q": "a"})


async def asked(play: Play) -> dict[str, Any]:
    """The one question that the parked chat asks."""
    chat = await play.until(lambda chat: chat["status"] == "awaiting_input")
    assert (chat["active_run"]["state"], chat["active_run"]["interrupt_reason"]) == ("input_required", "hook_gate")
    [interrupt] = chat["pending_interrupts"]
    assert interrupt["reason"] == "hook_gate"
    return dict(interrupt)


async def resolve(play: Play, interrupt: dict[str, Any], decision: str, **more: Any) -> dict[str, Any]:
    body = ResolveInterrupt.parse({"decision": decision, **more})
    return await play.platform.approvals.resolve(OWNER, interrupt["id"], body, by=ANN)


@pytest.mark.requirement("hooks:gate")
@pytest.mark.parametrize("event", ["agent.start", "agent.turn_start"])
async def test_a_gate_holds_a_run_until_somebody_lets_it_through(event: str) -> None:
    async with playing("Hi.", hooks=[hook(event, "May it?", type="gate")]) as play:
        await play.say()
        interrupt = await asked(play)
        assert interrupt["resource_type"] == "hook_event"
        assert (interrupt["meta"]["event"], interrupt["meta"]["reason"]) == (event, "May it?")
        assert play.model.requests == []
        answered = await resolve(play, interrupt, "allow")
        assert (answered["resolution"], answered["resolved_by"]) == ("allow", "ann")
        assert texts(await play.idle()) == ["Hi."]


async def test_a_run_that_somebody_does_not_let_through_is_canceled_with_the_note() -> None:
    async with playing("never", hooks=[hook("agent.start", None, type="gate")]) as play:
        await play.say()
        await resolve(play, await asked(play), "deny", note="not today")
        chat = await play.idle()
        assert (chat["active_run"]["state"], chat["active_run"]["error"]) == (
            "canceled",
            "stopped by a hook on agent.start: not today",
        )


async def test_a_gate_before_a_call_is_answered_like_an_approval() -> None:
    hooks = [hook("agent.tool_call", "Look?", type="gate")]
    async with playing([LOOK, call("look", {"q": "b"})], "Done.", tools=[client_tool()], hooks=hooks) as play:
        await play.say()
        chat = await play.until(
            lambda chat: len(chat["pending_interrupts"]) == 2 and chat["status"] == "awaiting_input"
        )
        first, second = sorted(chat["pending_interrupts"], key=lambda each: each["meta"]["arguments"]["q"])
        assert first["resource_type"] == "tool_invocation"
        assert (first["meta"]["tool_name"], first["meta"]["arguments"]) == ("look", {"q": "a"})
        body = Decide.parse({"arguments": {"q": "z"}})
        await play.platform.approvals.invoke(OWNER, first["resource_id"], body, by=ANN)
        waiting = await play.waits_for("awaiting_input")
        assert waiting["function"]["arguments"] == {"q": "z"}
        await play.platform.approvals.reject(OWNER, second["resource_id"], RejectTool(reason="no"), by=ANN)
        await play.answer(waiting["id"])
        made = invocations(await play.idle())
        assert [each["status"] for each in made] == ["completed", "failed"]
        assert made[1]["result"] == "a hook denied this call: no"


async def test_an_answer_is_refused_where_it_does_not_fit_and_the_question_stays() -> None:
    async with playing(LOOK, "Done.", tools=[client_tool()], hooks=[hook("agent.tool_call", "", type="gate")]) as play:
        await play.say()
        interrupt = await asked(play)
        with pytest.raises(Fault) as misfit:
            await resolve(play, interrupt, "allow", arguments={"q": 1})
        assert misfit.value.code == "validation_error"
        assert play.chat_id is not None
        with pytest.raises(Fault, match="asked every time"):
            await play.platform.approvals.always_allow(
                OWNER, play.chat_id, interrupt["resource_id"], AlwaysAllow(), by=ANN
            )
        await resolve(play, await asked(play), "allow")
        with pytest.raises(Fault) as late:
            await resolve(play, interrupt, "deny")
        assert late.value.code == "already_resolved"
        await play.waits_for("awaiting_input")


async def test_arguments_for_what_is_no_call_are_refused() -> None:
    async with playing("Hi.", hooks=[hook("agent.start", "", type="gate")]) as play:
        await play.say()
        with pytest.raises(Fault, match="about no call"):
            await resolve(play, await asked(play), "allow", arguments={})


async def test_the_moment_of_a_run_is_approved_by_its_resource_too() -> None:
    async with playing("Hi.", hooks=[hook("agent.start", "", type="gate")]) as play:
        await play.say()
        await play.platform.approvals.invoke(OWNER, (await asked(play))["resource_id"], Decide(), by=ANN)
        assert texts(await play.idle()) == ["Hi."]


@pytest.mark.parametrize(("default", "state"), [(None, "canceled"), ("deny", "canceled"), ("allow", "completed")])
async def test_a_gate_that_nobody_answers_in_time_falls_to_its_default(default: str | None, state: str) -> None:
    hooks = [hook("agent.start", "", type="gate", timeout=0.05, default_resolution=default)]
    async with playing("Hi.", hooks=hooks) as play:
        await play.say()
        chat = await play.idle()
        assert chat["active_run"]["state"] == state
        [interrupt] = await play.platform.approvals.run_interrupts(OWNER, chat["active_run"]["id"])
        assert (interrupt["status"], interrupt["resolution"]) == ("expired", default or "deny")


async def test_a_gate_outlives_the_process(tmp_path: Path) -> None:
    options: Any = {"db": tmp_path / "a.db", "hooks": [hook("agent.turn_start", "", type="gate")]}
    async with playing("never", **options) as play:
        await play.say()
        await asked(play)
    async with playing("Hi.", **options) as again:
        again.chat_id = play.chat_id
        await resolve(again, await asked(again), "allow")
        assert texts(await again.idle()) == ["Hi."]


async def test_stopping_the_run_withdraws_the_question() -> None:
    async with playing("never", hooks=[hook("agent.start", "", type="gate")]) as play:
        await play.say()
        interrupt = await asked(play)
        assert play.chat_id is not None
        await play.platform.chats.stop(OWNER, play.chat_id)
        assert (await play.chat())["pending_interrupts"] == []
        with pytest.raises(Fault) as late:
            await resolve(play, interrupt, "allow")
        assert late.value.code == "already_resolved"


async def test_a_person_sees_that_a_webhook_took_every_argument_away() -> None:
    tool = client_tool()
    tool["client"]["input_schema"].pop("required")
    with listening({"decision": "suspend", "override": {}}) as listener:
        options: Any = {"allow_hosts": LOOPBACK, "tools": [tool], "hooks": [hook("agent.tool_call", listener)]}
        async with playing(LOOK, "Done.", **options) as play:
            await play.say()
            interrupt = await asked(play)
            await resolve(play, interrupt, "allow")
            waiting = await play.waits_for("awaiting_input")
            assert waiting["function"]["arguments"] == {} == interrupt["meta"]["arguments"]


@pytest.mark.parametrize("event", ["agent.tool_call", "agent.tool_result"])
async def test_a_webhook_may_have_a_person_decide_about_what_it_put_in(event: str) -> None:
    override: Any = {"q": "b"} if event == "agent.tool_call" else "a [redacted]"
    answer = {"decision": "suspend", "reason": "Really?", "override": override, "inject": {"content": "careful"}}
    with listening(answer) as listener:
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool()]}
        async with playing(LOOK, "Done.", hooks=[hook(event, listener)], **options) as play:
            await play.say()
            if event == "agent.tool_result":
                await play.answer((await play.waits_for("awaiting_input"))["id"], "a tree")
            interrupt = await asked(play)
            assert interrupt["meta"]["reason"] == "Really?"
            assert interrupt["resource_type"] == "tool_invocation"
            await resolve(play, interrupt, "allow")
            if event == "agent.tool_call":
                waiting = await play.waits_for("awaiting_input")
                assert waiting["function"]["arguments"] == {"q": "b"} == interrupt["meta"]["arguments"]
                await play.answer(waiting["id"], "a tree")
            await play.idle()
            sent = [each.text for each in play.model.requests[-1].messages]
            assert sent[-2:] == (["a tree", "careful"] if event == "agent.tool_call" else ["a [redacted]", "careful"])
