"""Agents that use MCP servers, on the platform: approvals by the server's word, forms, lists that change, kills."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit import mcp_server
from agentkit.runtime.faults import Fault
from agentkit.testing import call
from agentkit.wire import Decide, ResolveInterrupt
from tests.runtime.mcp.calling import lines, odd
from tests.runtime.playing import ADA, OWNER, invocations, playing, texts

pytestmark = pytest.mark.heavy


def using(folder: Path, **more: Any) -> dict[str, Any]:
    """An agent with the odd server's tools, and that server."""
    return {"mcp": {"odd": odd(cwd=folder, **more)}, "tools": [mcp_server("odd").build()]}


async def test_a_whole_server_is_used_and_its_words_reach_the_model(tmp_path: Path) -> None:
    steps = [[call("odd_echo", {"text": "hi"}), call("odd_fail", {})], "done"]
    async with playing(*steps, **using(tmp_path)) as play:
        await play.say()
        chat = await play.idle()
        offered = {tool.name: tool for tool in play.model.requests[0].tools}
    assert [(each["status"], each["result"]) for each in invocations(chat)] == [
        ("completed", "hi"), ("failed", "no such city")
    ]  # fmt: skip
    assert offered["odd_echo"].description == "Says it again."
    assert next(each.text for each in play.model.requests[1].messages if each.role == "tool") == "hi"
    assert texts(chat)[-1] == "done"


async def test_arguments_that_miss_the_servers_schema_never_reach_it(tmp_path: Path) -> None:
    async with playing(call("odd_echo", {"text": 5}), "done", **using(tmp_path)) as play:
        await play.say()
        (made,) = invocations(await play.idle())
    assert made["status"] == "failed"
    assert "text" in made["result"]


async def test_a_destructive_tool_waits_for_a_person(tmp_path: Path) -> None:
    async with playing(call("odd_wipe", {}), "done", **using(tmp_path)) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_approval")
        await play.platform.approvals.invoke(OWNER, waiting["id"], Decide(), by=ADA)
        (made,) = invocations(await play.idle())
    assert (made["status"], made["result"]) == ("completed", "called wipe")


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        pytest.param(
            {"decision": "allow", "data": {"name": "Ada"}},
            {"action": "accept", "content": {"name": "Ada"}},
            id="filled in",
        ),
        pytest.param({"decision": "deny"}, {"action": "decline"}, id="refused"),
    ],
)
async def test_a_form_of_the_server_is_an_interrupt_of_the_chat(
    tmp_path: Path, answer: dict[str, Any], heard: dict[str, Any]
) -> None:
    async with playing(call("odd_ask", {}), "done", **using(tmp_path)) as play:
        await play.say()
        chat = await play.until(lambda chat: chat["active_run"]["state"] == "input_required")
        (asked,) = await play.platform.approvals.run_interrupts(OWNER, chat["active_run"]["id"])
        assert (asked["reason"], asked["meta"]["message"], asked["meta"]["server"]) == ("confirmation", "Who?", "odd")
        await play.platform.approvals.resolve(OWNER, asked["id"], ResolveInterrupt.parse(answer), by=ADA)
        (made,) = invocations(await play.idle())
    assert (made["status"], json.loads(made["result"])) == ("completed", heard)


async def test_tools_that_appear_in_the_middle_of_a_run_are_offered_at_once(tmp_path: Path) -> None:
    steps = [call("odd_more_tools", {}), call("odd_extra0", {}), "done"]
    async with playing(*steps, **using(tmp_path)) as play:
        await play.say()
        made = invocations(await play.idle())
    assert [each["result"] for each in made] == ["more", "called extra0"]


async def test_a_server_that_is_not_there_refuses_the_message_and_names_it(tmp_path: Path) -> None:
    config = {"mcp": {"odd": [sys.executable, "-c", ""]}, "tools": [mcp_server("odd").build()]}
    async with playing("never", **config) as play:
        with pytest.raises(Fault) as refused:
            await play.say()
    assert refused.value.code == "unavailable" and "'odd'" in refused.value.detail


async def test_a_server_that_is_killed_again_and_again_leaves_no_call_without_its_one_end(tmp_path: Path) -> None:
    rounds = 6
    steps: list[Any] = [[call("odd_slow", {"pause": 0.1 * n}) for n in range(4)] for _ in range(rounds)]
    async with playing(*steps, "done", **using(tmp_path)) as play:
        killed = 0

        async def kill() -> None:
            nonlocal killed
            while True:
                await anyio.sleep(0.35)
                for pid in {int(each) for each in lines(tmp_path, "starts")}:
                    try:
                        os.kill(pid, signal.SIGKILL)
                        killed += 1
                    except ProcessLookupError:
                        continue

        async with anyio.create_task_group() as group:
            await play.say()
            group.start_soon(kill)
            chat = await play.idle()
            group.cancel_scope.cancel()
    made = invocations(chat)
    assert len(made) == 4 * rounds
    assert {each["status"] for each in made} <= {"completed", "failed"}
    assert killed and texts(chat)[-1] == "done"
    for each in made:
        assert each["result"].startswith("slept") or "'odd'" in each["result"]
