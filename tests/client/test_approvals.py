"""Approvals: asked, answered, answered twice, edited, expired, and taken up elsewhere."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from agentkit import (
    AlreadyResolvedError,
    ApprovalNeededError,
    ApprovalRequested,
    ApprovalResolved,
    Runtime,
    ToolStarted,
    integer,
    string,
    tool,
)
from agentkit.errors import ConflictError, InvalidInputError, NotFoundError, UsageError
from agentkit.testing import Scripted, Signal, call, gate
from tests.client.conftest import Home
from tests.client.ways import AGENT, follow, play


def payment(paid: list[Any], *, timeout_seconds: float | None = None) -> Any:
    """A tool that pays, and must be approved."""

    def pay(args: dict[str, Any]) -> str:
        paid.append(args["amount"])
        return f"paid {args['amount']}"

    built = tool("pay").describe("Pays").param("to", string("Whom")).param("amount", integer("How much"))
    return built.require_approval(timeout_seconds=timeout_seconds).handler(pay)


PAY = call("pay", {"to": "Ann", "amount": 5})


def test_an_approved_call_runs_and_not_before(home: Home) -> None:
    paid: list[int] = []
    place = home(PAY, "Paid.")
    agent = place.agent(payment(paid))

    def answer(event: Any) -> None:
        if isinstance(event, ApprovalRequested):
            assert paid == []
            meta: Any = event.interrupt.meta
            assert (meta["tool_name"], meta["arguments"]) == ("pay", {"to": "Ann", "amount": 5})
            agent.approve(event.interrupt.resource_id)

    told = play(agent, then=answer)
    assert (paid, told.result.text) == ([5], "Paid.")
    (asked,), (resolved,), (started,) = told.of(ApprovalRequested), told.of(ApprovalResolved), told.of(ToolStarted)
    assert told.events.index(asked) < told.events.index(started)
    assert resolved.interrupt.id == asked.interrupt.id
    assert told.result.pending == []


def test_a_rejected_call_never_runs_and_the_model_reads_the_reason(home: Home) -> None:
    paid: list[int] = []
    place = home(PAY, "I did not pay.")
    agent = place.agent(payment(paid))

    def answer(event: Any) -> None:
        if isinstance(event, ApprovalRequested):
            agent.reject(event.interrupt.resource_id, "we owe Ann nothing")

    told = play(agent, then=answer)
    assert (paid, told.result.text) == ([], "I did not pay.")
    (result,) = [text for role, text in place.last_request() if role == "tool"]
    assert "we owe Ann nothing" in result


def test_an_approval_with_other_arguments_runs_with_those(home: Home) -> None:
    paid: list[int] = []
    place = home(PAY, "Paid less.")
    agent = place.agent(payment(paid))

    def answer(event: Any) -> None:
        if isinstance(event, ApprovalRequested):
            agent.approve(event.interrupt.resource_id, {"to": "Ann", "amount": 3}, note="less")

    assert play(agent, then=answer).result.text == "Paid less."
    assert paid == [3]


def test_other_arguments_that_miss_the_schema_are_refused_and_the_call_waits_on(home: Home) -> None:
    paid: list[int] = []
    place = home(PAY, "Paid.")
    agent = place.agent(payment(paid))

    def answer(event: Any) -> None:
        if isinstance(event, ApprovalRequested):
            with pytest.raises(InvalidInputError, match="pay") as refused:
                agent.approve(event.interrupt.resource_id, {"to": "Ann", "amount": "much"})
            assert [each["path"] for each in refused.value.errors] == ["amount"]
            assert len(agent.pending()) == 1
            agent.approve(event.interrupt.resource_id)

    assert play(agent, then=answer).result.text == "Paid."
    assert paid == [5]


def test_the_second_answer_loses_and_learns_who_won(home: Home) -> None:
    place = home(PAY, "Paid.")
    agent = place.agent(payment([]))

    def answer(event: Any) -> None:
        if isinstance(event, ApprovalRequested):
            agent.approve(event.interrupt.resource_id, note="first")
            with pytest.raises(AlreadyResolvedError) as lost:
                agent.reject(event.interrupt.resource_id, "second")
            assert lost.value.winner["resolution"] == "allow"

    assert play(agent, then=answer).result.text == "Paid."


def test_an_answer_in_the_tools_place_is_for_the_call_that_was_shown(home: Home) -> None:
    paid: list[int] = []
    agent = home(PAY, "Paid.").agent(payment(paid))

    def answer(event: Any) -> None:
        if isinstance(event, ApprovalRequested):
            with pytest.raises(ConflictError, match="other arguments"):
                agent.answer(event.interrupt.resource_id, "paid by hand", arguments_hash="of another call")
            shown = event.interrupt.arguments_hash
            agent.answer(event.interrupt.resource_id, "paid by hand", arguments_hash=shown)

    assert (play(agent, then=answer).result.text, paid) == ("Paid.", [])


def test_an_unknown_invocation_is_not_found(home: Home) -> None:
    with pytest.raises(NotFoundError):
        home().agent().approve("nothing-of-that-name")


def test_a_turn_that_returns_when_parked_says_what_waits_and_can_be_resumed(home: Home) -> None:
    paid: list[int] = []
    place = home(PAY, "Paid.")
    agent = place.agent(payment(paid))
    told = play(agent, when_parked="return")
    assert told.end.outcome == "parked"
    (waiting,) = told.result.pending
    assert [each.id for each in agent.pending()] == [waiting.id]
    agent.approve(waiting.resource_id)
    assert agent.resume().result().text == "Paid."
    assert paid == [5]
    assert agent.pending() == []


def test_a_turn_refuses_what_it_cannot_do_when_parked(home: Home) -> None:
    agent = home("Hello.").agent()
    with pytest.raises(UsageError, match="when_parked is one of wait, return, raise, not 'rasie'"):
        agent.stream("go", when_parked="rasie")  # type: ignore[arg-type]


def test_a_turn_that_raises_when_parked_says_what_waits(home: Home) -> None:
    agent = home(PAY, "Paid.").agent(payment([]))
    with pytest.raises(ApprovalNeededError, match="pay") as parked:
        agent.run("go", when_parked="raise")
    assert [each.meta["tool_name"] for each in parked.value.pending] == ["pay"]
    assert parked.value.chat_id == agent.chat_id


def test_another_client_in_another_thread_answers_while_this_one_waits(home: Home) -> None:
    paid: list[int] = []
    place = home(PAY, "Paid.")
    agent, other = place.agent(payment(paid)), place.another_client()
    asked = Signal()

    def approve() -> None:
        asked.wait_sync()
        elsewhere = other.agents.resume(agent.chat_id)
        (waiting,) = elsewhere.pending()
        elsewhere.approve(waiting.resource_id)

    approver = threading.Thread(target=approve)
    approver.start()
    told = play(agent, then=lambda event: isinstance(event, ApprovalRequested) and asked.set())
    approver.join(10)
    assert (paid, told.result.text) == ([5], "Paid.")


def test_an_approval_nobody_gives_in_time_is_a_denial(home: Home) -> None:
    paid: list[int] = []
    place = home(PAY, "I did not pay.")
    told = play(place.agent(payment(paid, timeout_seconds=1)))  # time enough to hear of it, on any machine
    assert (paid, told.result.text) == ([], "I did not pay.")
    assert len(told.of(ApprovalRequested)) == len(told.of(ApprovalResolved)) == 1


def test_two_calls_of_one_answer_are_asked_for_apart(home: Home) -> None:
    paid: list[int] = []
    place = home([PAY, call("pay", {"to": "Bob", "amount": 7})], "Half paid.")
    agent = place.agent(payment(paid))

    def answer(event: Any) -> None:
        if isinstance(event, ApprovalRequested):
            meta: Any = event.interrupt.meta
            answer = agent.approve if meta["arguments"]["to"] == "Ann" else agent.reject
            answer(event.interrupt.resource_id)

    told = play(agent, then=answer)
    assert (paid, told.result.text) == ([5], "Half paid.")
    assert len(told.of(ApprovalRequested)) == 2


@pytest.mark.parametrize("way", ["memory-sync"])
def test_a_parked_turn_is_taken_up_by_another_runtime_on_the_same_file(way: str, tmp_path: Path) -> None:
    paid: list[int] = []
    db = tmp_path / "work.db"
    with Runtime(db, models={"scripted": Scripted([PAY])}, environ={}) as runtime:
        agent = runtime.client().agent({**AGENT, "tools": [payment(paid)]})
        told = play(agent, when_parked="return")
        assert told.end.outcome == "parked"
    with Runtime(db, models={"scripted": Scripted(["Paid."])}, environ={}) as runtime:
        later = runtime.client().agents.resume(agent.chat_id or "", tools=[payment(paid)])
        (waiting,) = later.pending()
        later.approve(waiting.resource_id)
        assert follow(later.resume()).result.text == "Paid."
    assert paid == [5]


def test_resuming_runs_the_client_tool_that_still_waits(home: Home) -> None:
    """The first client leaves before its handler is done; the second one has the handler, and answers."""
    place = home(call("ask", {}), "Answered.")
    plain = tool("ask").describe("Asks")
    agent = place.agent(plain.build())
    with agent.stream("go", when_parked="return") as turn:
        follow(turn)
    later = place.another_client().agents.resume(agent.chat_id, tools=[plain.handler(lambda args: "42")])
    assert later.resume().result().text == "Answered."


def test_resuming_a_chat_that_is_done_returns_what_it_came_to(home: Home) -> None:
    place = home("Done.")
    agent = place.agent()
    play(agent)
    assert place.another_client().agents.resume(agent.chat_id).resume().text() == "Done."


def test_resuming_while_the_model_still_writes_hears_the_rest(home: Home) -> None:
    wait = gate()
    place = home(["One. ", wait, "Two."])
    agent = place.agent()
    with agent.stream("go") as turn:
        for event in turn:
            if event.kind == "run_started":
                break
    wait.open()
    assert place.another_client().agents.resume(agent.chat_id).resume().text() == "One. Two."
