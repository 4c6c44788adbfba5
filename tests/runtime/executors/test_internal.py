"""The platform's own tools as a whole: what there is, and who has what."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.runtime.binding import Binder
from agentkit.runtime.executors import internal
from agentkit.runtime.faults import Fault
from agentkit.testing import call
from agentkit.wire import AgentConfig, InternalToolsConfig
from tests.runtime.bench_executor import BenchExecutor, bench_tool
from tests.runtime.playing import client_tool, playing

CLASSIC = {"plan_create", "plan_update", "plan_load", "memory_set", "memory_get", "memory_getall", "widget"}


async def test_every_category_is_listed_with_its_tools_its_scope_and_its_default() -> None:
    async with playing() as play:
        listed = {each["id"]: each for each in await play.platform.agents.internal_tools()}
    assert {id: each["tools"] for id, each in listed.items()} == {
        "plan": ["plan_create", "plan_update", "plan_load"],
        "memory": ["memory_set", "memory_get", "memory_getall"],
        "widget": ["widget"],
        "ask_user": ["ask_user"],
        "skills": ["skill_get"],
        "meta": ["search_tools", "list_tools", "execute_tool"],
        "results": ["read_result"],
        "finish": ["finish"],
    }
    assert [id for id, each in listed.items() if not each["default_enabled"]] == ["ask_user", "meta"]
    assert [id for id, each in listed.items() if each["scope"] == ["top_level"]] == ["widget"]
    assert all(each["description"] for each in listed.values())


def test_every_category_is_a_switch_of_an_agent() -> None:
    assert {each.id for each in internal.catalogue()} <= InternalToolsConfig.model_fields.keys()


def test_every_tool_is_done_in_one_way() -> None:
    for category in internal.categories():
        for tool in category.tools:
            assert (tool.apply is None) is not (tool.execute is None), tool.name
            assert internal.by_name(tool.name) is tool
            assert tool.parameters["type"] == "object" and "required" in tool.parameters


@pytest.mark.parametrize(
    ("switches", "offered"),
    [
        (None, CLASSIC),
        ({}, CLASSIC),
        ({"memory": True}, CLASSIC),
        ({"plan": False, "memory": False, "widget": False}, set[str]()),
        ({"meta": True}, CLASSIC | {"search_tools", "list_tools", "execute_tool"}),
    ],
    ids=["unset", "empty", "one-on", "none", "meta"],
)
async def test_a_switch_that_is_not_set_has_its_default(switches: Any, offered: set[str]) -> None:
    async with playing("ok", internal_tools=switches) as play:
        await play.say()
        await play.idle()
        assert {tool.name for tool in play.model.requests[0].tools} == offered


@pytest.mark.parametrize("name", ["plan_create", "widget", "skill_get", "read_result", "finish"])
async def test_an_agents_tool_of_such_a_name_is_refused_while_the_switch_is_on(name: str) -> None:
    async with playing("never", tools=[client_tool(name)]) as play:
        with pytest.raises(Fault, match=f"two tools are called '{name}'"):
            await play.say()
    if name != "finish":
        off = {"plan": False, "widget": False, "skills": False, "results": False}
        async with playing(call(name, {"q": "a"}), "ok", tools=[client_tool(name)], internal_tools=off) as play:
            await play.say()
            assert (await play.waits_for("awaiting_input"))["type"] == "client"


async def test_a_tool_that_binding_names_like_one_is_refused_too() -> None:
    class Renaming(BenchExecutor):
        async def bind(self, tool: Any, *, owner: str) -> Any:
            return [tool.model_copy(update={"name": "widget"})]

    config = AgentConfig.parse({"tools": [bench_tool()]})
    with pytest.raises(Fault, match="two tools are called 'widget'"):
        await Binder([Renaming()]).bind(config, owner="local")
