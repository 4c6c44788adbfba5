"""Agents that ask agents, seen from a program: questions from below, stopping, handing over, limits."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit import ChildEvent, RunFailedError, agent_tool, string, tool
from agentkit.runtime.budgets import Limits
from agentkit.testing import Scripted, call, hang
from tests.client.conftest import Home
from tests.client.ways import Told, play

pytestmark = pytest.mark.heavy

BOSS: dict[str, Any] = {"core_app": {"ref": "scripted/boss"}}
CLERK: dict[str, Any] = {"core_app": {"ref": "scripted/clerk"}}
EXPERT: dict[str, Any] = {"core_app": {"ref": "scripted/expert"}}
ASK = call("ask", {"message": "Pay Ann."})
PAY = call("pay", {"to": "Ann"})


@pytest.fixture(params=["memory-sync", "socket-sync", "socket-asyncio"])
def way(request: pytest.FixtureRequest) -> str:
    """One client of each kind: what is under test is the platform's."""
    return str(request.param)


def payment(paid: list[str]) -> Any:
    """A tool that pays, and must be approved."""

    def pay(to: str) -> str:
        paid.append(to)
        return f"paid {to}"

    return tool("pay").param("to", string()).require_approval().handler(pay)


def asks(agent: dict[str, Any], *tools: Any) -> Any:
    return agent_tool("ask", {**agent, "tools": list(tools)}).describe("Asks somebody else")


def test_a_question_two_agents_down_is_pending_above_and_answered_from_there(home: Home) -> None:
    paid: list[str] = []
    model = Scripted({"boss": [ASK, "Done."], "clerk": [ASK, "Seen to."], "expert": [PAY, "Ann has it."]})
    agent = home(model=model).agent(asks(CLERK, asks(EXPERT, payment(paid))), **BOSS)
    parked = play(agent, when_parked="return")
    assert (parked.end.outcome, paid) == ("parked", [])
    chat = agent.get_chat()
    assert (chat.status, chat.active_run.state) == ("awaiting_input", "input_required")
    [question] = agent.pending()
    assert (question.tool_name, question.chat_id != chat.id) == ("pay", True)
    agent.approve(question.resource_id)
    assert agent.resume().text() == "Done."
    assert (paid, agent.pending()) == (["Ann"], [])
    [clerk] = agent.get_chat().children
    assert (clerk.parent_id, clerk.status, clerk.active_run.state) == (chat.id, "idle", "completed")
    model.assert_complete()


def test_stopping_the_agent_stops_the_one_it_asked(home: Home) -> None:
    halted = hang()
    model = Scripted({"boss": [ASK], "clerk": [halted]})
    place = home(model=model)
    agent = place.agent(asks(CLERK), **BOSS)

    def stop(event: Any) -> None:
        if isinstance(event, ChildEvent) and not halted.left:
            halted.reached.wait_sync()
            agent.stop_chat()
            halted.left.wait_sync()

    told = play(agent, then=stop)
    [clerk] = agent.get_chat().children
    assert (told.end.outcome, clerk.active_run.state) == ("canceled", "canceled")


def test_a_chat_that_was_handed_over_stays_so_though_the_first_agent_is_sent_again(home: Home) -> None:
    clerk = agent_tool("transfer", {**CLERK, "system_prompt": "You are the clerk."}).handoff()
    model = Scripted({"boss": [call("transfer", {})], "clerk": ["I am the clerk.", "Still the clerk."]})
    agent = home(model=model).agent(clerk, **BOSS)
    assert [play(agent).result.text, play(agent, "and now?").result.text] == ["I am the clerk.", "Still the clerk."]
    assert [each.text for each in model.requests[-1].messages if each.role == "user"] == ["go", "and now?"]
    assert agent.get_chat().children == []


def test_a_limit_counts_what_agents_below_did(home: Home) -> None:
    model = Scripted({"boss": [ASK, ASK, "never"], "clerk": ["one", "two"]})
    agent = home(model=model, limits=Limits(turns=4)).agent(asks(CLERK), **BOSS)
    told: Told = play(agent)
    assert isinstance(told.error, RunFailedError)
    assert "the run and its sub-agents asked the model 4 times" in str(told.error)
