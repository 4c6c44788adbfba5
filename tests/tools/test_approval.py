"""Approval as it is built: what travels, the function that stays, and where it is found again."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest

from agentkit.errors import SchemaError, ToolDefinitionError
from agentkit.runtime.agents import check
from agentkit.tools import (
    Toolbox,
    agent_tool,
    app_tool,
    approval_policy,
    http_tool,
    mcp_server,
    mcp_tool,
    number,
    optional,
    string,
    tool,
    webhook_tool,
)
from agentkit.tools.context import ToolContext
from agentkit.wire import AgentConfig, AgentTool

LARGE = {"properties": {"amount": {"minimum": 100}}}
CTX: Any = None
BUILDERS = {
    "client": tool("pay"),
    "handler": tool("pay").handler(lambda args: "paid"),
    "app": app_tool("pay", "acme/pay"),
    "agent": agent_tool("pay", "acme/payer"),
    "http": http_tool("pay", "https://bank.example/pay"),
    "hook": webhook_tool("pay", "https://bank.example/hook"),
    "mcp": mcp_tool("pay", server="bank"),
    "server": mcp_server("bank"),
}


def large(amount: float) -> bool:
    return amount >= 100


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_builder_says_how_people_are_asked(kind: str) -> None:
    spec = (
        BUILDERS[kind]
        .require_approval(
            timeout_seconds=60,
            when=LARGE,
            approvers=["finance"],
            remind_seconds=10,
            escalate_seconds=30,
            escalate_to=("managers",),
        )
        .build()
    )
    assert (spec["require_approval"], spec["approval_timeout"]) == (True, 60)
    assert spec["approval"] == {
        "when": LARGE,
        "approvers": ["finance"],
        "remind": 10,
        "escalate": 30,
        "escalate_to": ["managers"],
    }
    check(AgentConfig.parse({"tools": [spec]}))  # the server takes it
    assert AgentTool.parse(spec).approval is not None
    spec["approval"]["when"]["properties"] = {}
    assert LARGE["properties"]


def test_a_plain_approval_travels_as_it_always_did() -> None:
    assert "approval" not in tool("pay").require_approval().build()
    assert "approval" not in tool("pay").require_approval(False).build()
    assert tool("pay").require_approval(when=LARGE).require_approval().build().get("approval") is None


@pytest.mark.parametrize("kind", [each for each in BUILDERS if each != "server"])
def test_a_function_stays_and_only_its_being_there_travels(kind: str) -> None:
    built = BUILDERS[kind].param("amount", number()) if kind != "handler" else BUILDERS[kind]
    judge = (lambda args: args["amount"] > 5) if kind == "handler" else large
    found = built.require_approval(when=judge)
    assert found.build()["approval"] == {"judged": True}
    assert Toolbox.of([found]).judges[None, "pay"].function is judge


def test_a_function_cannot_judge_tools_whose_names_the_server_knows() -> None:
    with pytest.raises(ToolDefinitionError, match="JSON Schema, or mcp_tool"):
        mcp_server("bank").require_approval(when=large).build()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"timeout_seconds": -1}, "timeout_seconds=-1", id="negative"),
        pytest.param({"timeout_seconds": math.inf}, "timeout_seconds=inf", id="infinite"),
        pytest.param({"remind_seconds": math.nan}, "remind_seconds=nan", id="nan"),
        pytest.param({"timeout_seconds": "1h"}, "timeout_seconds='1h'; write seconds", id="duration"),
        pytest.param({"escalate_seconds": 5}, "to whom", id="to-whom"),
        pytest.param({"escalate_to": ["managers"]}, "after how long", id="when"),
        pytest.param({"approvers": "finance"}, "write a list", id="text"),
        pytest.param({"approvers": []}, "names of groups", id="nobody"),
        pytest.param({"escalate_seconds": 5, "escalate_to": [" a"]}, "names of groups", id="blank"),
        pytest.param({"when": 5}, "write a JSON Schema", id="number"),
        pytest.param({"required": False, "when": LARGE}, "asks nobody", id="not-required"),
        pytest.param({"required": False, "approvers": ["a"]}, "asks nobody", id="not-required-approvers"),
        pytest.param({"when": lambda other, more: True}, "not in the schema", id="other-parameters"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolDefinitionError, match=said):
        tool("pay").param("amount", number()).require_approval(**arguments).build()


def test_a_condition_that_is_no_schema_is_refused() -> None:
    with pytest.raises(SchemaError, match="not a JSON Schema"):
        tool("pay").require_approval(when={"type": "nothing"})


# -- judges ----------------------------------------------------------------------------------------------------------


def whole(args: dict[str, Any]) -> bool:
    return bool(args["amount"] > 5 and args["to"] == "bob")


def part(amount: float) -> bool:
    return amount > 5


def with_context(amount: float, ctx: ToolContext) -> bool:
    return amount > 5 and ctx is CTX


def any_name(**given: Any) -> bool:
    return bool(given["amount"] > 5 and given["to"] == "bob")


def of_default(to: str, amount: float) -> bool:
    return amount > 5 and to == "bob"


@pytest.mark.parametrize("function", [whole, part, with_context, any_name, of_default], ids=lambda each: each.__name__)
def test_a_judge_takes_its_arguments_as_it_likes(function: Any) -> None:
    built = tool("pay").param("amount", number()).param("to", optional(string() | {"default": "bob"}))
    judge = built.require_approval(when=function).judge
    assert judge is not None
    assert judge({"amount": 9}, CTX) is True
    assert judge({"amount": 1}, CTX) is False


async def test_an_async_judge_returns_an_awaitable() -> None:
    async def slow(amount: float) -> bool:
        return amount > 5

    judge = tool("pay").param("amount", number()).require_approval(when=slow).judge
    assert judge is not None and judge.is_async
    said = judge({"amount": 9}, CTX)
    assert inspect.isawaitable(said) and await said is True


def test_a_judge_may_be_given_before_the_parameters_and_is_kept_by_every_step() -> None:
    built = tool("pay").require_approval(when=large).param("amount", number()).describe("Pays").timeout(5)
    handled = built.handler(lambda args: "paid").idempotent()
    for each in (built.judge, handled.builder.judge):
        assert each is not None and each({"amount": 500}, CTX) is True
    assert "large" in repr(built.judge)


def test_the_decorator_takes_a_condition() -> None:
    @tool(require_approval=large)
    def pay(amount: float, to: str = "ann") -> str:
        """Pays."""
        return f"paid {to}"

    @tool(require_approval=LARGE)
    def give(amount: float) -> str:
        """Gives."""
        return "given"

    assert (pay.spec["require_approval"], pay.spec["approval"]) == (True, {"judged": True})
    assert pay.builder.judge is not None and pay.builder.judge({"amount": 5}, CTX) is False
    assert give.spec["approval"] == {"when": LARGE} and give.builder.judge is None


def test_a_pair_of_schema_and_handler_keeps_its_policy() -> None:
    spec = tool("pay").param("amount", number()).require_approval(approvers=["finance"]).build()
    [found] = Toolbox.of([{"schema": spec, "handler": lambda args: "paid"}]).specs
    assert found["approval"] == {"approvers": ["finance"]}


# -- of an agent -----------------------------------------------------------------------------------------------------


def test_judges_below_are_found_by_the_tool_that_asks_the_agent() -> None:
    pay = http_tool("pay", "https://bank.example").param("amount", number()).require_approval(when=large)
    inner = agent_tool("inner", {"core_app": "x/y", "tools": [pay]})
    outer = agent_tool("outer", {"core_app": "x/y", "tools": [inner]})
    box = Toolbox.of([outer, pay])
    assert set(box.judges) == {(None, "pay"), ("outer", "pay")}


def test_the_rules_of_an_agent_that_takes_over_are_this_agents() -> None:
    pay = tool("pay").param("amount", number()).require_approval(when=large)
    box = Toolbox.of([agent_tool("next", {"core_app": "x/y", "tools": [pay]}).handoff()])
    assert set(box.judges) == {(None, "pay")}


def test_two_rules_for_one_name_are_refused() -> None:
    one = tool("pay").param("amount", number()).require_approval(when=large)
    two = tool("pay").param("amount", number()).require_approval(when=part)
    takes_over = agent_tool("next", {"core_app": "x/y", "tools": [two]}).handoff()
    with pytest.raises(ToolDefinitionError, match="different rules"):
        Toolbox.of([one, takes_over])
    inner = agent_tool("inner", {"core_app": "x/y", "tools": [two]})
    with pytest.raises(ToolDefinitionError, match="different rules"):
        Toolbox.of([agent_tool("outer", {"core_app": "x/y", "tools": [inner, one]})])


def test_an_agents_policy_is_what_its_tools_do_not_say() -> None:
    policy = approval_policy(
        when=LARGE, approvers=["finance"], timeout_seconds=60, remind_seconds=5, escalate_seconds=9, escalate_to=["x"]
    )
    config = {"core_app": {"ref": "x/y"}, "approval": policy, "tools": [tool("pay").require_approval().build()]}
    parsed = AgentConfig.parse(config)
    check(parsed)
    assert parsed.approval is not None and parsed.approval.timeout == 60
    assert approval_policy() == {}


def test_a_function_goes_on_a_tool_not_on_an_agent() -> None:
    wrong: Any = large
    with pytest.raises(ToolDefinitionError, match="goes on a tool"):
        approval_policy(when=wrong)
