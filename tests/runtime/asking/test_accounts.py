"""The account of a call: made of rows, the same every time, and no model is asked."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.runtime.faults import Fault
from agentkit.testing import call
from tests.runtime.asking.asked import asking, invoke, lost, resolve
from tests.runtime.playing import OWNER, Play, playing

SCHEMA = {"type": "object", "properties": {"amount": {"type": "number"}}}


async def explained(play: Play, asked: dict[str, Any]) -> str:
    told = await play.platform.approvals.explain(OWNER, str(play.chat_id), asked["resource_id"])
    return told["explanation"]


async def test_it_says_what_where_why_who_and_until_when() -> None:
    tool = {
        "name": "pay",
        "type": "http",
        "description": "Pays somebody.",
        "require_approval": True,
        "approval": {
            "when": {"properties": {"amount": {"minimum": 5}}},
            "approvers": ["finance"],
            "escalate": 60,
            "escalate_to": ["managers"],
            "timeout": 3600,
        },
        "http": {"url": "https://bank.example/pay?key=secret", "input_schema": SCHEMA},
    }
    step = ["I pay now, as agreed.", call("pay", {"amount": 7})]
    async with asking(step=step, tools=[tool]) as (play, asked):
        told = await explained(play, asked)
        assert told == await explained(play, asked) and len(play.model.requests) == 1
        assert "pay makes an HTTP request: POST https://bank.example/pay" in told and "secret" not in told
        assert "Its description: Pays somebody." in told
        assert '"amount": 7' in told
        assert 'its arguments fit this condition: {"properties":{"amount":{"minimum":5}}}' in told
        assert "Members of finance may answer." in told and f"From {asked['escalate_at']} on managers may" in told
        assert f"it is denied at {asked['expires_at']}" in told
        assert told.endswith("The agent's last words: I pay now, as agreed.")


async def test_it_goes_on_when_the_call_was_answered() -> None:
    async with asking("paid") as (play, asked):
        assert "Every call of this tool needs an approval." in await explained(play, asked)
        assert "It waits for ever." in await explained(play, asked)
        await invoke(play, asked)
        assert "It was answered by ann: approved." in await explained(play, asked)


async def test_of_a_call_that_may_have_run_it_says_so() -> None:
    async with asking("paid") as (play, asked):
        await invoke(play, asked)
        second = await lost(play, (await play.waits_for("awaiting_input"))["id"])
        told = await explained(play, second)
        assert "It may have run already: its client is gone." in told
        await resolve(play, second, decision="deny")


async def test_of_a_call_that_nobody_is_asked_about_it_says_that() -> None:
    tool = {"name": "pay", "type": "client", "require_approval": True, "client": {"input_schema": SCHEMA}}
    tool["approval"] = {"when": {"properties": {"amount": {"minimum": 5}}}}
    async with playing(call("pay", {"amount": 1}), tools=[tool]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        assert "Nobody is asked: it is awaiting_input." in await explained(play, {"resource_id": waiting["id"]})


async def test_it_is_told_to_the_owner_of_the_chat_alone() -> None:
    async with asking() as (play, asked):
        for owner, chat_id in (("somebody", str(play.chat_id)), (OWNER, "another")):
            with pytest.raises(Fault) as refused:
                await play.platform.approvals.explain(owner, chat_id, asked["resource_id"])
            assert refused.value.code == "not_found"
