"""TURN with rules of the program (VERDICT), and with calls whose outcome is unknown (CALL)."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.errors import AlreadyResolvedError, ConflictError, ConnectError, NotFoundError, PermissionDeniedError
from agentkit.protocol.calls import Call, Calls
from agentkit.protocol.effects import Allow, Effect, Emit, FetchChat, Judge, PostResult, PostUnknown, RunTool, Settle
from agentkit.protocol.turn import TurnMachine, TurnState
from agentkit.protocol.verdicts import Verdict, Verdicts
from tests.protocol.test_turn import chat, invocation, message, reply, run, says, working

PAY = {"tool_name": "pay", "arguments": {"amount": 5}}


def question(
    id_: str = "q1", *, about: str = "i1", chat_path: tuple[str, ...] = ("c1",), **meta: Any
) -> dict[str, Any]:
    """An interrupt about a call of `pay`."""
    asked = {"id": id_, "reason": "tool_approval", "status": "pending", "resource_id": about}
    asked["meta"] = {**PAY, "judged": True, **meta}
    return {**asked, "arguments_hash": f"hash {id_}", "chat_id": chat_path[-1], "chat_path": list(chat_path)}


def waits(*questions: dict[str, Any]) -> dict[str, Any]:
    return chat("awaiting_input", run("input_required"), pending_interrupts=list(questions))


def only(effects: list[Effect], *kinds: type) -> list[Effect]:
    return [each for each in effects if isinstance(each, kinds)]


def emits(effects: list[Effect], kind: str) -> list[Emit]:
    return [each for each in effects if isinstance(each, Emit) and each.kind == kind]


def ruled(**options: Any) -> TurnMachine:
    return working(judges={"pay"}, **options)


def test_a_question_is_given_to_the_rule_once_and_the_turn_does_not_park_meanwhile() -> None:
    machine = ruled(when_parked="return")
    asked = says(machine, "chats", waits(question()))
    assert only(asked, Judge) == [Judge("q1", "i1", "pay", {"amount": 5}, "c1", None)]
    assert not only(says(machine, "chats", waits(question())), Judge, Settle)
    assert machine.state is TurnState.WORKING


def test_a_question_that_is_not_marked_for_rules_is_for_people() -> None:
    machine = ruled(when_parked="return")
    effects = says(machine, "chats", waits(question(judged=False)))  # another tool of that name
    assert not only(effects, Judge)
    assert [each["id"] for each in emits(effects, "parked")[0].data["interrupts"]] == ["q1"]


def test_what_the_rule_allows_is_approved_by_its_own_id_with_what_was_shown() -> None:
    machine = ruled(when_parked="return")
    says(machine, "chats", waits(question()))
    assert machine.judged("q1", needs_person=False) == [Allow("q1", "hash q1", "allowed by the program's rule")]
    assert not only(says(machine, "chats", waits(question())), Settle)  # the platform has not moved on yet
    assert not only(machine.allowed("q1"), Settle)
    assert not only(says(machine, "chats", waits(question())), Judge, Settle)  # an older copy
    assert machine.state is TurnState.WORKING


def test_a_turn_returns_although_a_fetch_from_before_the_wait_came_back_meanwhile() -> None:
    machine = TurnMachine(None, {"input": {"text": "hi"}}, tools={"pay"}, judges={"pay"}, when_parked="return")
    machine.send()
    machine.accepted(reply())
    machine.stream_opened(1)  # fetches
    asking = message("ready", invocation("awaiting_approval", "pay"))
    busy = chat("busy", run("working"), pending_interrupts=[question()])
    says(machine, "chats", busy)
    says(machine, "chat_messages", asking)
    says(machine, "agent_runs", run("input_required"))
    says(machine, "chats", waits(question()))
    machine.fetched(1, busy, [asking])
    effects = machine.judged("q1", needs_person=True)
    assert [each["id"] for each in emits(effects, "parked")[0].data["interrupts"]] == ["q1"]
    assert [each.outcome for each in only(effects, Settle) if isinstance(each, Settle)] == ["parked"]


@pytest.mark.parametrize("returns", [False, True], ids=["waits", "returns"])
def test_what_the_rule_holds_is_asked_of_a_person(returns: bool) -> None:
    machine = ruled(when_parked="return" if returns else "wait")
    says(machine, "chats", waits(question()))
    effects = machine.judged("q1", needs_person=True)
    assert [each.data["id"] for each in emits(effects, "asked")] == ["q1"]
    assert [each["id"] for each in emits(effects, "parked")[0].data["interrupts"]] == ["q1"]
    assert machine.state is (TurnState.DONE if returns else TurnState.PARKED)


@pytest.mark.parametrize(
    "error", [PermissionDeniedError(403, "no such scope"), ConflictError(409, "other arguments"), ConnectError("cut")]
)
def test_an_approval_that_is_not_taken_leaves_the_call_to_people(error: Exception) -> None:
    machine = ruled()
    says(machine, "chats", waits(question()))
    machine.judged("q1", needs_person=False)
    effects = machine.allow_failed("q1", error)
    assert [each.data for each in emits(effects, "error")] == [error]
    assert emits(effects, "asked") and machine.state is TurnState.PARKED


def test_nothing_is_allowed_while_the_run_is_being_stopped() -> None:
    machine = ruled()
    says(machine, "chats", waits(question()))
    machine.stop()
    assert not only(machine.judged("q1", needs_person=False), Allow)
    assert [each.id for each in only(machine.stop_failed(ConnectError("cut")), Allow)] == ["q1"]  # the run goes on


def test_a_person_who_was_first_is_no_fault_and_what_they_said_is_fetched() -> None:
    machine = ruled()
    says(machine, "chats", waits(question()))
    machine.judged("q1", needs_person=False)
    effects = machine.allow_failed("q1", AlreadyResolvedError(409, "Bob was first"))
    assert only(effects, FetchChat) and not emits(effects, "error") and not emits(effects, "asked")


def test_no_rule_is_asked_about_a_call_that_may_have_run_already() -> None:
    machine = ruled()
    assert not only(says(machine, "chats", waits(question(unknown_outcome=True))), Judge)
    assert machine.state is TurnState.PARKED


def test_a_call_that_the_rule_allowed_and_whose_outcome_is_unknown_now_is_a_persons() -> None:
    machine = ruled()
    says(machine, "chats", waits(question()))
    machine.judged("q1", needs_person=False)
    machine.allowed("q1")
    effects = says(machine, "chats", waits(question("q2", unknown_outcome=True)))
    assert not only(effects, Judge)
    assert [each["id"] for each in emits(effects, "parked")[0].data["interrupts"]] == ["q2"]


def test_a_tool_of_an_agent_below_is_judged_by_the_rule_of_that_agent() -> None:
    machine = working(judges={"pay"}, judges_below={("ask", "pay")})
    below = {**invocation("in_progress", "ask", id_="i9", kind="agent"), "execution_id": "c2"}
    says(machine, "chat_messages", message("ready", below))
    (judge,) = only(says(machine, "chats", waits(question(chat_path=("c1", "c2", "c3")))), Judge)
    assert judge == Judge("q1", "i1", "pay", {"amount": 5}, "c3", "ask")


def test_a_tool_below_is_not_judged_by_a_rule_of_this_agent() -> None:
    machine = ruled()
    below = {**invocation("in_progress", "ask", id_="i9", kind="agent"), "execution_id": "c2"}
    says(machine, "chat_messages", message("ready", below))
    assert not only(says(machine, "chats", waits(question(chat_path=("c1", "c2")))), Judge)
    assert machine.state is TurnState.PARKED


def test_a_call_is_not_parked_on_before_its_question_is_heard() -> None:
    machine = ruled()
    says(machine, "chat_messages", message("ready", invocation("awaiting_approval", "pay", kind="app")))
    says(machine, "agent_runs", run("input_required"))
    assert machine.state is TurnState.WORKING
    assert only(says(machine, "chats", waits(question())), Judge)


def test_the_next_turn_judges_again_what_was_left_in_the_middle_and_nothing_else() -> None:
    calls, verdicts = Calls(), Verdicts()
    first = ruled(calls=calls, verdicts=verdicts)
    says(first, "chats", waits(question("q1"), question("q2", about="i2")))
    first.judged("q2", needs_person=True)
    first.leave()
    assert (verdicts.get("q1"), verdicts.get("q2")) == (Verdict.NEW, Verdict.ASKED)
    second = TurnMachine("c1", judges={"pay"}, calls=calls, verdicts=verdicts)
    second.resume()
    second.stream_opened(1)
    asked = only(says(second, "chats", waits(question("q1"), question("q2", about="i2"))), Judge)
    assert [each.id for each in asked if isinstance(each, Judge)] == ["q1"]


def test_a_verdict_that_comes_late_changes_nothing() -> None:
    machine = ruled()
    says(machine, "chats", waits(question()))
    machine.judged("q1", needs_person=True)
    assert machine.judged("q1", needs_person=False) == []


# -- unknown outcomes ----------------------------------------------------------------------------------------------


def begun(attempt: int = 1) -> TurnMachine:
    """A machine whose handler was started for this attempt."""
    machine = working()
    (started,) = only(says(machine, "chat_messages", message("ready", counted("awaiting_input", attempt))), RunTool)
    assert isinstance(started, RunTool) and started.attempt == attempt
    return machine


def counted(status: str, attempt: int) -> dict[str, Any]:
    return {**invocation(status), "attempt": attempt}


def test_a_call_whose_outcome_is_unknown_is_reported_and_runs_again_as_a_newer_attempt_only() -> None:
    machine = begun()
    assert machine.tool_unknown("i1", "it died") == [PostUnknown("i1", 1, "it died")]
    assert only(machine.unknown_told("i1"), FetchChat)
    assert machine.calls.get("i1") is Call.REPORTED
    says(machine, "chat_messages", message("ready", counted("awaiting_approval", 1)))
    assert not only(says(machine, "chat_messages", message("ready", counted("awaiting_input", 1))), RunTool)
    (again,) = only(says(machine, "chat_messages", message("ready", counted("awaiting_input", 2))), RunTool)
    assert isinstance(again, RunTool) and again.attempt == 2
    assert machine.tool_finished("i1", "paid") == [PostResult("i1", "paid")]


def test_a_platform_that_cannot_be_told_gets_a_result_that_says_so() -> None:
    machine = begun(attempt=0)
    machine.tool_unknown("i1", "it died")
    effects = machine.unknown_failed("i1", NotFoundError(404, "no such path"), '{"error": "unknown"}')
    assert only(effects, PostResult) == [PostResult("i1", '{"error": "unknown"}')]


def test_a_report_that_somebody_made_before_is_as_good() -> None:
    machine = begun()
    machine.tool_unknown("i1", "it died")
    assert not emits(machine.unknown_failed("i1", ConflictError(409, "it is asked about"), ""), "error")
    assert machine.calls.get("i1") is Call.REPORTED


def test_a_report_that_cannot_be_sent_is_a_fault_and_the_call_is_left() -> None:
    machine = begun()
    machine.tool_unknown("i1", "it died")
    error = ConnectError("cut")
    assert [each.data for each in emits(machine.unknown_failed("i1", error, ""), "error")] == [error]
    assert machine.calls.get("i1") is Call.LEFT


def test_a_call_that_another_process_runs_is_left_to_it() -> None:
    machine = begun()
    assert not only(machine.tool_taken("i1"), PostResult, PostUnknown)
    assert machine.calls.get("i1") is Call.LEFT
