"""Which definition of an agent counts, and from when on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import ConfigError
from agentkit.runtime.binding import Binder
from agentkit.runtime.open import open_platform
from agentkit.runtime.plan import Rebind
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import ChatRecord
from agentkit.testing import call
from agentkit.wire import AgentTool
from tests.runtime.bench_executor import BenchExecutor, bench_tool
from tests.runtime.playing import OWNER, client_tool, playing, texts


async def test_a_queued_message_with_another_agent_does_not_change_the_run_before_it() -> None:
    async with playing(call("look", {"q": "a"}), "one", "two", tools=[client_tool()], system_prompt="old") as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        play.config = {"core_app": {"ref": "scripted/model"}, "system_prompt": "new"}
        await play.say("2")
        await play.answer(waiting["id"])
        await play.until(lambda chat: texts(chat)[-1:] == ["two"] and chat["status"] == "idle")
        assert [asked.system_prompt for asked in play.model.requests] == ["old", "old", "new"]
        assert ["look" in [tool.name for tool in asked.tools] for asked in play.model.requests] == [True, True, False]


async def test_a_stopped_queue_leaves_the_chat_with_the_agent_it_had() -> None:
    async with playing(call("look", {"q": "a"}), "three", tools=[client_tool()], system_prompt="old") as play:
        await play.say()
        await play.waits_for("awaiting_input")
        play.config = {**play.config, "system_prompt": "new"}
        await play.say("2")
        assert play.chat_id is not None
        await play.platform.chats.stop(OWNER, play.chat_id)
        play.config = {}
        await play.say("3", agent_config=None)
        await play.idle()
        assert play.model.requests[-1].system_prompt == "old"


async def test_the_version_that_the_program_names_is_the_current_one_however_often_it_goes_back(tmp_path: Path) -> None:
    for ref, prompt in (("acme/a@v1", "one"), ("acme/a@v2", "two"), ("acme/a@v1", "three")):
        async with open_platform(db=tmp_path / "a.db", environ={}, agents={ref: {"system_prompt": prompt}}) as platform:
            found = await platform.agents.by_name(OWNER, "acme", "a")
            assert found["version"]["system_prompt"] == prompt


@pytest.mark.parametrize(
    "definition",
    [5, {"tools": 5}, {"output_schema": {"type": "nope"}}, {"tools": [{"name": "x", "type": "http", "http": {}}]}],
)
async def test_an_agent_in_code_that_is_none_is_a_config_error_that_names_it(definition: Any) -> None:
    with pytest.raises(ConfigError, match="agent 'acme/a'"):
        async with open_platform(environ={}, agents={"acme/a": definition}):
            pass


async def test_tools_that_are_bound_too_late_do_not_change_what_a_person_is_asked_about() -> None:
    class Moved(BenchExecutor):
        async def bind(self, tool: AgentTool, *, owner: str) -> Sequence[AgentTool]:
            return [tool.model_copy(update={"description": "moved"})]

    async with playing(call("work", {"do": "pay"}), "paid", tools=[bench_tool(require_approval=True)]) as play:
        play.platform._loop._binder = Binder((Moved(),))  # as another process would, to which the tools were stale
        await play.say()
        waiting = await play.waits_for("awaiting_approval")

        def row(tx: Reading) -> ChatRecord:
            chat = tx.get(ChatRecord, str(play.chat_id))
            assert chat is not None
            return chat

        before = await play.platform._store.read(row)
        await play.platform._loop._rebind(Rebind(before.id, OWNER, before.given or before.agent))
        assert (await play.platform._store.read(row)).agent == before.agent
        [asked] = (await play.chat())["pending_interrupts"]
        assert asked["resource_id"] == waiting["id"]
