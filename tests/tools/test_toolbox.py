"""An agent's tools in all the forms people write them."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

import agentkit.tools
from agentkit.errors import ToolDefinitionError
from agentkit.tools import Toolbox, ToolContext, agent_tool, app_tool, string, tool

CTX = ToolContext(chat_id="c", invocation_id="i", tool_name="t", idempotency_key="k")


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


def test_what_travels_is_sorted_from_what_stays() -> None:
    class WireTool(BaseModel):
        model_config = ConfigDict(extra="allow")
        name: str
        type: str

    box = Toolbox.of(
        [
            tool("search").param("q", string()).handler(lambda args: args["q"]),
            add,
            app_tool("draw", "acme/draw").require_approval(),
            app_tool("built", "acme/draw").build(),
            {"schema": tool("pair").param("q", string()).require_approval().build(), "handler": lambda args: "pair"},
            WireTool.model_validate({"name": "wire", "type": "agent", "agent": {"ref": "a/b"}}),
        ]
    )
    assert [spec["name"] for spec in box.specs] == ["search", "add", "draw", "built", "pair", "wire"]
    assert json.loads(json.dumps(box.specs))[4] == tool("pair").param("q", string()).require_approval().build()
    assert box.specs[5] == {"name": "wire", "type": "agent", "agent": {"ref": "a/b"}}
    assert list(box.handlers) == ["search", "add", "pair"]
    assert box.handlers["add"].call({"a": 1, "b": 2}, CTX) == 3
    assert box.handlers["pair"].call({"q": "x"}, CTX) == "pair"


def test_no_tools_are_an_empty_box() -> None:
    assert Toolbox.of([]) == Toolbox()


@pytest.mark.parametrize("entry", [5, "search", None, {"name": "x"}, {"schema": {}, "handler": None}])
def test_what_is_no_tool_is_refused(entry: Any) -> None:
    with pytest.raises(ToolDefinitionError):
        Toolbox.of([entry])


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="'add' is in the list twice"):
        Toolbox.of([add, tool("add")])


def looking(answer: str) -> Any:
    return tool("look").param("q", string()).handler(lambda args: answer)


def test_handlers_of_agents_that_come_along_are_kept_apart_by_the_tool_that_asks_them() -> None:
    mine, theirs = looking("mine"), looking("theirs")
    deep = tool("dig").handler(lambda args: "deep")
    below = {"tools": [theirs, agent_tool("deeper", {"tools": [deep, theirs]})]}
    box = Toolbox.of([mine, agent_tool("research", below), agent_tool("stored", "acme/other", tools=[mine])])
    found = {key: client.function for key, client in box.everywhere().items()}
    assert found == {
        (None, "look"): mine.function,
        ("research", "look"): theirs.function,
        ("research", "dig"): deep.function,
        ("stored", "look"): mine.function,
    }
    assert box.specs[2]["agent"] == {"ref": "acme/other"}


def test_two_handlers_of_one_name_below_one_agent_are_refused() -> None:
    below = {"tools": [looking("a"), agent_tool("deeper", {"tools": [looking("b")]})]}
    with pytest.raises(ToolDefinitionError, match=r"tool 'research'.*two client tools 'look' with different handlers"):
        Toolbox.of([agent_tool("research", below)])


def test_handlers_of_an_agent_that_takes_over_are_the_agents_own() -> None:
    mine, dig = looking("mine"), tool("dig").handler(lambda args: "deep")
    other = agent_tool("billing", {"tools": [dig, agent_tool("research", {"tools": [looking("theirs")]})]}).handoff()
    box = Toolbox.of([mine, other])
    assert set(box.everywhere()) == {(None, "look"), (None, "dig"), ("research", "look")}
    with pytest.raises(ToolDefinitionError, match=r"tool 'billing'.*takes over.*two client tools 'look'"):
        Toolbox.of([mine, agent_tool("billing", {"tools": [looking("other")]}).handoff()])
    assert Toolbox.of([mine, agent_tool("billing", {"tools": [mine]}).handoff()]).handlers["look"] is mine


def test_the_rules_of_a_call_come_along_with_the_pair_of_schema_and_handler() -> None:
    built = tool("pair").require_approval(timeout_seconds=9).timeout(2).idempotent().retry(1).build()
    [spec] = Toolbox.of([{"schema": built, "handler": lambda args: "pair"}]).specs
    assert spec == built


def test_the_public_names_are_there() -> None:
    public = {name for name in vars(agentkit.tools) if not name.startswith("_")}
    modules = {name for name in public if type(getattr(agentkit.tools, name)).__name__ == "module"}
    assert public - modules == set(agentkit.tools.__all__)
