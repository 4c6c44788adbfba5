"""Rules of the program: `require_approval(when=function)` decides here whether a person is asked."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit import ApprovalRequested, ApprovalResolved, agent_tool, http_tool, integer, string, tool
from agentkit.testing import Scripted, call
from tests.client.conftest import Home
from tests.client.ways import play

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

CHEAP, DEAR = call("pay", {"to": "Ann", "amount": 5}), call("pay", {"to": "Ann", "amount": 500})


def payment(paid: list[int], when: Any) -> Any:
    """A tool that pays, and is asked about where `when` says so."""
    built = tool("pay").describe("Pays").param("to", string("Whom")).param("amount", integer("How much"))
    return built.require_approval(when=when).handler(lambda args: paid.append(args["amount"]) or "paid")


def is_dear(amount: int) -> bool:
    return amount >= 100


async def is_dear_after_all(args: dict[str, Any]) -> bool:
    return bool(args["amount"] >= 100)


@pytest.mark.parametrize("rule", [is_dear, is_dear_after_all], ids=["plain", "async"])
@pytest.mark.parametrize("returns", [False, True], ids=["wait", "return"])
def test_a_call_that_the_rule_allows_runs_and_nobody_is_asked(home: Home, rule: Any, returns: bool) -> None:
    paid: list[int] = []
    place = home(CHEAP, "Paid.")
    told = play(place.agent(payment(paid, rule)), when_parked="return" if returns else "wait")
    assert (paid, told.result.text) == ([5], "Paid.")
    assert not told.of(ApprovalRequested) and not told.of(ApprovalResolved)


def test_the_record_says_that_the_rule_allowed_it(home: Home) -> None:
    place = home(CHEAP, "Paid.")
    play(place.agent(payment([], is_dear)))
    (asked,) = place.client.interrupts.list(status="all").items
    assert (asked.decision, asked.note, asked.resolved_by) == ("approved", "allowed by the program's rule", "local")


def test_a_call_that_the_rule_holds_is_asked_about_and_waits(home: Home) -> None:
    paid: list[int] = []
    place = home(CHEAP, DEAR, "Paid.")
    agent = place.agent(payment(paid, is_dear))
    told = play(agent, when_parked="return")
    assert (told.end.outcome, paid) == ("parked", [5])
    (waiting,) = told.result.pending
    assert waiting.arguments["amount"] == 500
    agent.approve(waiting.resource_id)
    assert agent.resume().result().text == "Paid."
    assert paid == [5, 500]


def fails(amount: int) -> bool:
    raise ZeroDivisionError("a rule with a bug")


def says_nothing(amount: int) -> None:
    return None


@pytest.mark.parametrize("rule", [fails, says_nothing])
def test_a_rule_that_does_not_say_no_leaves_the_call_to_people(home: Home, rule: Any) -> None:
    paid: list[int] = []
    told = play(home(CHEAP, "Paid.").agent(payment(paid, rule)), when_parked="return")
    assert (told.end.outcome, paid, len(told.result.pending)) == ("parked", [], 1)


@pytest.mark.parametrize("way", ["memory-sync", "memory-trio"])
def test_a_process_that_takes_the_chat_up_judges_what_the_first_did_not(home: Home, way: str) -> None:
    paid: list[int] = []
    place = home(CHEAP, "Paid.")
    first = place.agent(payment(paid, is_dear).build())
    assert play(first, when_parked="return").end.outcome == "parked"
    second = place.another_client().agents.resume(first.chat_id, tools=[payment(paid, is_dear)])
    assert second.resume(when_parked="return").result().text == "Paid."
    assert paid == [5]


@pytest.mark.parametrize("way", ["memory-sync", "memory-asyncio"])
def test_rules_work_without_a_stream(home: Home, way: str) -> None:
    paid: list[int] = []
    place = home(CHEAP, "Paid.", client={"stream": False, "poll_seconds": 0.02})
    told = play(place.agent(payment(paid, is_dear)), when_parked="return")
    assert (paid, told.result.text) == ([5], "Paid.")


@pytest.mark.parametrize("way", ["memory-sync", "memory-trio"])
def test_a_tool_that_the_server_runs_has_its_rule_here_too(home: Home, way: str) -> None:
    seen: list[Any] = []
    fetch = http_tool("fetch", "http://127.0.0.1:9/{page}").describe("Fetches").param("page", string("Which"))
    fetch = fetch.require_approval(when=lambda args: seen.append(args["page"]))  # None: a person is asked
    told = play(home(call("fetch", {"page": "a"}), "x").agent(fetch), when_parked="return")
    assert (told.end.outcome, seen) == ("parked", ["a"])


@pytest.mark.parametrize("way", ["memory-sync", "memory-trio"])
def test_the_tool_of_a_sub_agent_is_judged_by_its_rule(home: Home, way: str) -> None:
    paid: list[int] = []
    bookkeeper = {"core_app": {"ref": "scripted/child"}, "tools": [payment(paid, is_dear)]}
    script = Scripted({"parent": [call("ask", {"message": "Pay Ann."}), "Paid."], "child": [CHEAP, "I paid."]})
    agent = home(model=script).agent(agent_tool("ask", bookkeeper), core_app={"ref": "scripted/parent"})
    told = play(agent, when_parked="return")
    assert (paid, told.result.text) == ([5], "Paid.")
