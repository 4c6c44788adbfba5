"""Who is asked about which calls: the tool's policy over its agent's, and policies that nobody could follow."""

from __future__ import annotations

import time
from typing import Any

import pytest

from agentkit.runtime.agents import check
from agentkit.runtime.asking import policies
from agentkit.runtime.faults import Fault
from agentkit.testing import call
from agentkit.wire import AgentConfig, AgentTool, ApprovalPolicy
from tests.runtime.asking.asked import asking, invoke, paying, question
from tests.runtime.playing import invocations, playing

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

AMOUNT = {"type": "object", "properties": {"amount": {"type": "number"}, "to": {"type": "string"}}}
LARGE = {"properties": {"amount": {"minimum": 100}}}


def gated(name: str, **more: Any) -> dict[str, Any]:
    """`client_tool` has an argument `approval` of its own."""
    return {"name": name, "type": "client", "require_approval": True, "client": {"input_schema": AMOUNT}, **more}


@pytest.mark.parametrize(
    ("when", "arguments", "asks"),
    [
        pytest.param(LARGE, {"amount": 100}, True, id="fits"),
        pytest.param(LARGE, {"amount": 99}, False, id="fits-not"),
        pytest.param(LARGE, {}, True, id="not-said"),
        pytest.param({}, {"amount": 1}, True, id="everything"),
        pytest.param({"not": {"properties": {"to": {"enum": ["ann"]}}}}, {"to": "ann"}, False, id="not-ann"),
        pytest.param({"not": {"properties": {"to": {"enum": ["ann"]}}}}, {"to": "bob"}, True, id="not-bob"),
        pytest.param({"properties": {"to": {"pattern": "^(a+)+$"}}}, {"to": "a" * 64 + "b"}, False, id="hard-pattern"),
    ],
)
async def test_only_calls_that_fit_the_condition_are_asked_about(when: Any, arguments: Any, asks: bool) -> None:
    begun = time.monotonic()
    async with playing(call("pay", arguments), "paid", tools=[gated("pay", approval={"when": when})]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_approval" if asks else "awaiting_input")
        assert waiting["approved_by"] is None
        assert bool((await play.chat())["pending_interrupts"]) is asks
    assert time.monotonic() - begun < 10  # a pattern that takes `re` years


async def test_an_edit_may_leave_what_the_condition_is_about() -> None:
    tools = [gated("pay", approval={"when": LARGE})]
    async with asking("paid", step=call("pay", {"amount": 500}), tools=tools) as (play, asked):
        await invoke(play, asked, arguments={"amount": 5})
        assert (await play.waits_for("awaiting_input"))["function"]["arguments"] == {"amount": 5}


def test_a_condition_whose_answer_cannot_be_told_means_that_a_person_is_asked() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    definitions = {"x": {"properties": {"a": {"$ref": "#/$defs/x"}}}}
    nested = ApprovalPolicy(when={"not": {"$ref": "#/$defs/x"}, "$defs": definitions})
    assert policies.concerns(nested, deep)
    assert not policies.concerns(nested, {"a": {}})
    assert policies.concerns(ApprovalPolicy(when={"not": {"$ref": "#/$defs/none"}}), {})


async def test_a_tools_own_values_win_over_its_agents_one_by_one() -> None:
    agent = {"approvers": ["finance"], "timeout": 60, "remind": 5, "escalate": 30, "escalate_to": ["managers"]}
    tools = [
        gated("all"),
        gated("own", approval={"approvers": ["legal"], "timeout": 7}, approval_timeout=9),
        gated("never", approval={"timeout": 0, "remind": 0, "escalate": 0}),
    ]
    step = [call(name, {}) for name in ("all", "own", "never")]
    async with playing(step, tools=tools, approval=agent) as play:
        await play.say()
        chat = await play.until(lambda chat: len(chat["pending_interrupts"]) == 3)
        whole, own, never = chat["pending_interrupts"]
        assert (whole["approvers"], own["approvers"], never["approvers"]) == (["finance"], ["legal"], ["finance"])
        assert [each["expires_at"] is None for each in (whole, own, never)] == [False, False, True]
        assert [each["remind_at"] is None for each in (whole, own, never)] == [False, False, True]
        assert [each["escalate_at"] is None for each in (whole, own, never)] == [False, False, True]
        assert whole["created_at"] < own["expires_at"] < whole["expires_at"]


def test_the_older_timeout_of_a_tool_wins_even_where_it_says_never() -> None:
    agent = AgentConfig(approval=ApprovalPolicy(timeout=60, judged=True))
    tool = AgentTool(name="pay", approval=ApprovalPolicy(timeout=30), approval_timeout=0)
    assert (policies.policy_of(agent, tool).timeout, policies.policy_of(agent, tool).judged) == (0, True)
    assert policies.policy_of(agent, None).timeout == 60
    assert policies.policy_of(AgentConfig(), None) == ApprovalPolicy()


async def test_a_judged_question_says_so_for_the_client_that_has_the_rule() -> None:
    async with asking(tools=[gated("pay", approval={"judged": True})], step=call("pay", {})) as (_, asked):
        assert asked["meta"]["judged"] is True
    async with asking() as (_, asked):
        assert "judged" not in asked["meta"]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        pytest.param({"timeout": -1}, "approval.timeout is a number of seconds", id="negative"),
        pytest.param({"remind": 1e12}, "approval.remind is a number of seconds", id="too-long"),
        pytest.param({"escalate": 5}, "escalate needs escalate_to", id="to-whom"),
        pytest.param({"escalate": float("nan"), "escalate_to": ["a"]}, "number of seconds", id="nan"),
        pytest.param({"approver": ["finance"]}, "has no 'approver'; there are when, judged, approvers", id="unknown"),
        pytest.param({"approvers": []}, "nobody may answer", id="nobody"),
        pytest.param({"approvers": ["a", " "]}, "is no group", id="blank-group"),
        pytest.param({"approvers": ["a "]}, "is no group", id="blank-around"),
        pytest.param({"escalate": 5, "escalate_to": [""]}, "is no group", id="empty-group"),
        pytest.param({"when": {"type": "nothing"}}, "not a JSON Schema", id="no-schema"),
        pytest.param({"when": {"$ref": "https://a.example/s"}}, "outside the schema", id="elsewhere"),
        pytest.param({"when": {"$ref": "#/x", "x": {}}}, "to \\$defs", id="hidden"),
        pytest.param({"when": {"pattern": "(?!a)"}}, "look-around", id="pattern"),
        pytest.param({"when": {"not": {"properties": {"a": {"pattern": "(a)\\1"}}}}}, "back-references", id="deep"),
        pytest.param({"when": {"patternProperties": {"a": {}}}}, "is not understood", id="names"),
        pytest.param({"when": {"$schema": "http://json-schema.org/draft-07/schema#"}}, "not understood", id="draft"),
    ],
)
@pytest.mark.parametrize("whose", ["tool", "agent"])
def test_a_policy_that_nobody_could_follow_is_refused_with_the_agent(policy: Any, said: str, whose: str) -> None:
    tool = gated("pay", **({"approval": policy} if whose == "tool" else {}))
    config = {"tools": [tool], **({"approval": policy} if whose == "agent" else {})}
    with pytest.raises(Fault, match=said) as refused:
        check(AgentConfig.parse(config))
    assert refused.value.code == "validation_error"
    assert ("tool 'pay'" in str(refused.value)) is (whose == "tool")


def test_a_policy_on_a_tool_that_asks_nobody_is_refused() -> None:
    tool = {**paying(), "require_approval": False, "approval": {"when": LARGE}}
    with pytest.raises(Fault, match="asks nobody"):
        check(AgentConfig.parse({"tools": [tool]}))
    check(AgentConfig.parse({"tools": [{**tool, "approval": {}}]}))
    check(AgentConfig.parse({"tools": [{**tool, "approval": {}}], "approval": {"when": LARGE}}))


@pytest.mark.parametrize(
    ("approval", "is_fine"), [pytest.param(None, True, id="hints"), pytest.param("never", False, id="never")]
)
def test_tools_of_a_server_that_says_which_are_asked_about_may_have_one(approval: str | None, is_fine: bool) -> None:
    tool = {"name": "files", "type": "mcp", "mcp": {"server": "files", "tool_name": "*", "approval": approval}}
    config = AgentConfig.parse({"tools": [{**tool, "approval": {"approvers": ["ops"]}}]})
    if is_fine:
        check(config)
        return
    with pytest.raises(Fault, match="asks nobody"):
        check(config)


async def test_a_policy_of_an_agent_that_comes_along_is_checked_too() -> None:
    inner = {"core_app": {"ref": "scripted/child"}, "tools": [gated("pay", approval={"approvers": []})]}
    config = AgentConfig.parse({"tools": [{"name": "ask", "type": "agent", "agent": {"config": inner}}]})
    with pytest.raises(Fault, match=r"tool .ask.: tool .pay.: approval\.approvers is empty"):
        check(config)


async def test_nobody_is_asked_about_arguments_that_do_not_fit_the_tool() -> None:
    async with playing(call("pay", {"amount": "much"}), "sorry", tools=[gated("pay")]) as play:
        await play.say()
        [made] = invocations(await play.idle())
        assert made["status"] == "failed"
        assert await play.platform.approvals.run_interrupts("local", (await play.chat())["active_run"]["id"]) == []


async def test_every_kind_of_question_has_its_place_and_owner() -> None:
    async with asking() as (play, asked):
        assert asked["chat_path"] == [play.chat_id] and asked["approvers"] is None
        assert (await question(play))["answer_schema"] is None
