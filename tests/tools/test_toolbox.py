"""An agent's tools in all the forms people write them."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

import agentkit.tools
from agentkit.errors import ToolDefinitionError
from agentkit.tools import Toolbox, ToolContext, app_tool, string, tool

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


def test_the_public_names_are_there() -> None:
    public = {name for name in vars(agentkit.tools) if not name.startswith("_")}
    modules = {name for name in public if type(getattr(agentkit.tools, name)).__name__ == "module"}
    assert public - modules == set(agentkit.tools.__all__)
