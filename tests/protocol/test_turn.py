"""The turn machine, one outcome at a time. Random histories are in test_turn_random.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import pytest

from agentkit.errors import (
    AuthenticationError,
    ConflictError,
    ConnectError,
    LocalProtocolError,
    NotFoundError,
    RemoteProtocolError,
    StreamError,
)
from agentkit.protocol import calls, link, turn, verdicts
from agentkit.protocol.calls import Call, CallEvent, Calls
from agentkit.protocol.effects import (
    CancelTool,
    CloseStream,
    Effect,
    Emit,
    FetchChat,
    OpenStream,
    PostDecision,
    PostResult,
    PostRun,
    PostStop,
    RunTool,
    Settle,
    StartTimer,
    Timer,
)
from agentkit.protocol.link import LinkEvent, Patience
from agentkit.protocol.turn import Symbol, TurnMachine, TurnState
from agentkit.protocol.verdicts import VerdictEvent
from tests.protocol import tables

E = TypeVar("E")


def of(effects: Sequence[Effect], kind: type[E]) -> list[E]:
    return [each for each in effects if isinstance(each, kind)]


def emitted(effects: Sequence[Effect], kind: str) -> list[Any]:
    return [each.data for each in of(effects, Emit) if each.kind == kind]


def settled(effects: Sequence[Effect]) -> Settle:
    [end] = of(effects, Settle)
    return end


def timer(effects: Sequence[Effect], name: str) -> Timer:
    [found] = [each.timer for each in of(effects, StartTimer) if each.timer.name == name]
    return found


def run(state: str, id_: str | None = "r1") -> dict[str, Any]:
    return {"state": state, **({"id": id_} if id_ else {})}


def chat(status: str, active_run: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": "c1", "status": status, "active_run": active_run, **more}


def message(status: str = "pending", *invocations: dict[str, Any], id_: str = "m1", order: int = 1) -> dict[str, Any]:
    said = {"id": id_, "chat_id": "c1", "role": "assistant", "status": status, "order": order}
    return {**said, "tool_invocations": list(invocations)}


def invocation(status: str, name: str = "here", *, id_: str = "i1", kind: str = "client") -> dict[str, Any]:
    return {"id": id_, "type": kind, "status": status, "function": {"name": name, "arguments": {"n": 1}}}


def reply(run_id: str | None = "r1") -> dict[str, Any]:
    return {
        "user_message": {"id": "u1", "chat_id": "c1", "role": "user", "order": 0},
        "assistant_message": message() | ({"agent_run_id": run_id} if run_id else {}),
    }


def says(machine: TurnMachine, event: str, data: Any, id_: int | None = None, *, attempt: int = 1) -> list[Effect]:
    return machine.wire(attempt, {"event": event, "data": data, **({"id": id_} if id_ is not None else {})})


def working(chat_id: str | None = "c1", *, run_id: str | None = "r1", busy: bool = True, **options: Any) -> TurnMachine:
    """A machine whose message was accepted, with its stream open; a known chat, unless told otherwise."""
    machine = TurnMachine(chat_id, {"input": {}}, tools={"here"}, **options)
    machine.send()
    if chat_id is not None:
        machine.stream_opened(1)
    machine.accepted(reply(run_id))
    if chat_id is None:
        machine.stream_opened(1)
        machine.fetched(1, chat("busy", run("working")), [])
    if busy:
        says(machine, "chats", chat("busy", run("working", run_id)))
    assert machine.state is TurnState.WORKING
    return machine


# -- the tables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "table", "events", "last"),
    [
        (turn, turn.TURN, Symbol, "DONE"),
        (link, link.LINK, LinkEvent, ""),
        (calls, calls.CALL, CallEvent, ""),
        (verdicts, verdicts.VERDICT, VerdictEvent, ""),
    ],
    ids=["turn", "link", "calls", "verdicts"],
)
def test_the_table_in_the_docstring_is_the_table_that_runs(module: Any, table: Any, events: Any, last: str) -> None:
    assert tables.told(module) == tables.literal(table, events=events, last=last)


def test_every_row_that_ends_a_turn_settles_it_and_no_other_does() -> None:
    ends = {act for row in turn.TURN.values() for state, act in row.values() if state is TurnState.DONE}
    goes_on = {act for row in turn.TURN.values() for state, act in row.values() if state is not TurnState.DONE}
    assert ends == {"unsent", "left", "lost", "refused", "parked", "over", "unconfirmed"}
    assert not ends & goes_on


# -- sending -------------------------------------------------------------------------------------------------------


def test_a_new_chat_is_posted_first_and_heard_afterwards() -> None:
    machine = TurnMachine(None, {"input": {"text": "hi"}})
    assert machine.send() == [PostRun({"input": {"text": "hi"}, "chat_id": None})]
    assert of(machine.accepted(reply()), OpenStream) == [OpenStream("c1", 1, None)]
    assert (machine.chat_id, machine.run_id, machine.assistant_id) == ("c1", "r1", "m1")


def test_a_known_chat_is_heard_first_and_posted_afterwards() -> None:
    machine = TurnMachine("c1", {"input": {}})
    assert of(machine.send(), OpenStream) == [OpenStream("c1", 1, None)]
    assert of(machine.stream_opened(1), PostRun) == [PostRun({"input": {}, "chat_id": "c1"})]


def test_a_known_chat_without_streams_is_posted_at_once_and_polled_afterwards() -> None:
    machine = TurnMachine("c1", {}, streams=False)
    assert of(machine.send(), PostRun)
    effects = machine.accepted(reply())
    assert of(effects, FetchChat) == [FetchChat("c1", 1)]
    assert timer(effects, "poll")
    assert machine.link == "polling"


def test_a_known_chat_whose_stream_cannot_be_had_is_polled_and_posted_all_the_same() -> None:
    machine = TurnMachine("c1", {}, patience=Patience(max_retries=1))
    machine.send()
    effects = machine.stream_lost(1, ConnectError("refused"))
    assert of(machine.timer(timer(effects, "retry")), OpenStream) == [OpenStream("c1", 2, None)]
    assert of(machine.stream_lost(2, ConnectError("refused")), PostRun)


def test_nothing_is_posted_where_the_stream_is_forbidden() -> None:
    machine = TurnMachine("c1", {})
    machine.send()
    error = AuthenticationError(401, "who are you?")
    end = settled(machine.stream_lost(1, error))
    assert (end.outcome, end.error, end.maybe_sent) == ("lost", error, False)
    assert end.detail.startswith("not sent")


def test_a_refused_message_says_whether_it_may_have_been_taken() -> None:
    machine = TurnMachine(None, {})
    machine.send()
    end = settled(machine.refused(ConnectError("broken", maybe_sent=True)))
    assert (end.outcome, end.maybe_sent) == ("refused", True)


@pytest.mark.parametrize("answer", [None, [], {}, {"assistant_message": {"id": "m1"}}, {"assistant_message": "m1"}])
def test_an_answer_that_names_no_chat_is_a_refusal_that_may_have_been_taken(answer: Any) -> None:
    machine = TurnMachine(None, {})
    machine.send()
    end = settled(machine.accepted(answer))
    assert (end.outcome, end.maybe_sent) == ("refused", True)
    assert isinstance(end.error, RemoteProtocolError)


def test_a_queued_message_without_an_assistant_message_is_waited_for_by_its_question() -> None:
    machine = TurnMachine("c1", {})
    machine.send()
    machine.stream_opened(1)
    machine.accepted(
        {"user_message": {"id": "u1", "chat_id": "c1", "order": 4, "status": "queued"}, "assistant_message": None}
    )
    says(machine, "agent_runs", run("completed", "r0"))
    says(machine, "agent_runs", {**run("working", "r7"), "user_message_id": "u1"})
    assert machine.run_id == "r7"
    assert settled(says(machine, "chats", chat("idle", run("completed", "r7")))).outcome == "completed"


# -- whose end is it? ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run_id", ["r1", None])
def test_the_idle_snapshot_of_the_previous_turn_does_not_end_this_one(run_id: str | None) -> None:
    machine = working(run_id=run_id, busy=False)
    says(machine, "chats", chat("idle", run("completed", "r0" if run_id else None)))
    assert machine.state is TurnState.WORKING


def test_an_idle_chat_ends_the_turn_once_it_was_seen_busy() -> None:
    machine = working(run_id=None)
    says(machine, "chat_messages", message("ready"))
    assert settled(says(machine, "chats", chat("idle"))).outcome == "completed"


@pytest.mark.parametrize(
    ("status", "outcome"), [("ready", "completed"), ("failed", "failed"), ("cancelled", "canceled")]
)
def test_without_runs_the_last_message_says_how_it_ended(status: str, outcome: str) -> None:
    machine = working(None, run_id=None, busy=False)
    says(machine, "chat_messages", message("ready"))
    says(machine, "chat_messages", message(status, id_="m2", order=2))
    assert settled(says(machine, "chats", {"id": "c1", "status": "idle"})).outcome == outcome


@pytest.mark.parametrize("state", ["completed", "failed", "canceled", "rejected"])
def test_the_outcome_is_the_runs_last_word_with_its_error(state: str) -> None:
    machine = working()
    says(machine, "chat_messages", message("ready"))
    end = settled(says(machine, "chats", chat("idle", {**run(state), "error": "because"})))
    assert (end.outcome, end.detail, (end.run or {})["id"]) == (state, "because", "r1")


def test_a_run_that_ends_before_its_post_answers_ends_the_turn() -> None:
    machine = TurnMachine("c1", {})
    machine.send()
    machine.stream_opened(1)
    says(machine, "chats", chat("busy", run("working")))
    says(machine, "chat_messages", message("ready"))
    says(machine, "chats", chat("idle", run("completed")))
    assert machine.state is TurnState.SENDING
    assert settled(machine.accepted(reply())).outcome == "completed"


def test_the_end_waits_for_the_last_message_when_the_run_tells_first() -> None:
    machine = working()
    effects = says(machine, "agent_runs", run("completed"))
    assert not of(effects, Settle) and timer(effects, "ask")
    says(machine, "chat_messages", message("ready"))
    assert settled(says(machine, "chats", chat("idle", run("completed"), output={"a": 1}))).outcome == "completed"


def test_a_fetch_tells_where_the_chat_itself_stays_silent() -> None:
    machine = working()
    ask = timer(says(machine, "agent_runs", run("completed")), "ask")
    [fetch] = of(machine.timer(ask), FetchChat)
    end = settled(machine.fetched(fetch.seq, chat("idle", run("completed"), chat_messages=[message("ready")])))
    assert end.outcome == "completed"


def test_only_a_fetch_sent_after_the_message_ended_proves_the_end() -> None:
    machine = working(run_id=None, busy=False, streams=False)
    early = machine.fetched(1, chat("idle", chat_messages=[message("ready")]))
    assert not of(early, Settle)  # this chat may have been read before the message ended
    [fetch] = of(machine.timer(timer(early, "ask")), FetchChat)
    assert settled(machine.fetched(fetch.seq, chat("idle", chat_messages=[message("ready")]))).outcome == "completed"


def test_another_run_at_work_is_no_news_while_ours_is_queued() -> None:
    machine = working(busy=False)
    for state in ("working", "input_required", "completed"):
        assert not of(says(machine, "agent_runs", run(state, "r0")), Settle)
    assert machine.state is TurnState.WORKING


def test_another_run_after_ours_was_seen_means_that_ours_is_over() -> None:
    machine = working()
    ask = timer(says(machine, "chats", chat("busy", run("working", "r2"))), "ask")
    [fetch] = of(machine.timer(ask), FetchChat)
    failed = message("failed")
    end = settled(machine.fetched(fetch.seq, chat("busy", run("working", "r2"), chat_messages=[failed])))
    assert (end.outcome, end.detail) == ("failed", "the chat went on to another run")


def test_a_child_chats_events_are_passed_on_and_mean_nothing() -> None:
    machine = working()
    idle = {**chat("idle", run("completed")), "id": "child"}
    foreign = {**message("ready", invocation("awaiting_input")), "chat_id": "child"}
    effects = says(machine, "chats", idle) + says(machine, "chat_messages", foreign)
    assert emitted(effects, "wire") == [idle, foreign]
    assert not of(effects, Settle) and not of(effects, RunTool)


@pytest.mark.parametrize(
    "partial",
    [{}, {"id": "c1"}, {"id": "c1", "output": 3}, {"id": "c1", "status": "new"}, {"id": "c1", "active_run": {}}],
)
def test_a_chat_that_says_nothing_of_the_run_ends_nothing(partial: dict[str, Any]) -> None:
    machine = working(run_id=None)
    assert not of(says(machine, "chats", partial), Settle)
    assert machine.state is TurnState.WORKING


def test_a_chat_busy_with_the_next_run_does_not_end_a_turn_by_the_last_runs_state() -> None:
    machine = working(run_id=None)
    says(machine, "chat_messages", message("ready"))
    assert not of(says(machine, "chats", chat("busy", run("completed", "r0"))), Settle)


# -- client tools --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["awaiting_input", "in_progress"])
def test_a_client_tool_runs_once_however_often_it_is_told(status: str) -> None:
    machine = working()
    heard = message("ready", invocation(status))
    effects = says(machine, "chat_messages", heard) + says(machine, "chat_messages", heard)
    [call] = of(effects, RunTool)
    assert (call.id, call.name, call.args) == ("i1", "here", {"n": 1})
    assert of(machine.tool_finished("i1", "18"), PostResult) == [PostResult("i1", "18")]
    machine.result_posted("i1")
    assert not of(says(machine, "chat_messages", heard), RunTool)


def test_arguments_that_came_as_text_are_decoded_and_others_are_handed_on_for_the_schema_to_refuse() -> None:
    machine = working()
    for number, (told, args) in enumerate(
        [('{"n": 2}', {"n": 2}), ("{n", {"arguments": "{n"}), (None, {}), ([1], {"arguments": [1]})]
    ):
        each = invocation("awaiting_input", id_=f"i{number}") | {"function": {"name": "here", "arguments": told}}
        [call] = of(says(machine, "chat_messages", message("ready", each)), RunTool)
        assert call.args == args


def test_a_tool_that_nobody_handles_here_is_told_once_and_can_be_answered_by_hand() -> None:
    machine = working()
    effects = says(machine, "chat_messages", message("ready", invocation("awaiting_input", "elsewhere")))
    assert [each["id"] for each in emitted(effects, "tool_call")] == ["i1"]
    assert machine.submit("i1", "by hand")[0] == PostResult("i1", "by hand")


def test_a_call_that_the_platform_settled_meanwhile_is_cancelled_and_its_result_dropped() -> None:
    machine = working()
    says(machine, "chat_messages", message("ready", invocation("awaiting_input")))
    effects = says(machine, "chat_messages", message("ready", invocation("cancelled")))
    assert of(effects, CancelTool) == [CancelTool("i1")]
    assert machine.tool_finished("i1", "late") == []


def test_a_result_for_a_call_that_was_settled_meanwhile_is_no_error() -> None:
    machine = working()
    says(machine, "chat_messages", message("ready", invocation("awaiting_input")))
    machine.tool_finished("i1", "r")
    assert emitted(machine.result_failed("i1", ConflictError(409, "answered")), "error") == []
    assert machine.calls.get("i1") is Call.ANSWERED


def test_a_result_that_cannot_be_posted_is_told_and_left_to_the_callers_hand() -> None:
    machine = working()
    says(machine, "chat_messages", message("ready", invocation("awaiting_input")))
    machine.tool_finished("i1", "r")
    error = ConnectError("down")
    assert emitted(machine.result_failed("i1", error), "error") == [error]
    assert machine.calls.get("i1") is Call.LEFT
    assert of(machine.submit("i1", "again"), PostResult)


def test_an_older_copy_does_not_start_a_tool_that_somebody_else_answered() -> None:
    machine = working()
    says(machine, "chat_messages", message("ready", invocation("completed")))
    assert not of(says(machine, "chat_messages", message("ready", invocation("awaiting_input"))), RunTool)


def test_calls_are_remembered_from_turn_to_turn() -> None:
    book = Calls()
    first = working(calls=book)
    says(first, "chat_messages", message("ready", invocation("awaiting_input")))
    effects = first.leave()
    assert of(effects, CancelTool) == [CancelTool("i1")]
    second = TurnMachine("c1", tools={"here"}, calls=book)
    second.resume()
    second.stream_opened(1)
    effects = second.fetched(
        1, chat("busy", run("working"), chat_messages=[message("ready", invocation("awaiting_input"))])
    )
    assert not of(effects, RunTool)  # it has started once: what it did is not known
    assert [each["id"] for each in emitted(effects, "tool_call")] == ["i1"]


def test_no_tool_starts_while_the_run_is_being_stopped() -> None:
    machine = working()
    machine.stop()
    heard = message("ready", invocation("awaiting_input"))
    assert not of(says(machine, "chat_messages", heard), RunTool)
    [fetch] = of(machine.stop_failed(ConnectError("no")), FetchChat)
    assert of(machine.fetched(fetch.seq, chat("busy", run("working"), chat_messages=[heard])), RunTool)


# -- parked --------------------------------------------------------------------------------------------------------

APPROVAL = {"id": "p1", "reason": "tool_approval", "status": "pending", "resource_id": "i9"}


def held() -> dict[str, Any]:
    return chat("awaiting_input", run("input_required"), pending_interrupts=[APPROVAL])


def test_an_approval_parks_the_turn_and_its_decision_takes_it_on() -> None:
    machine = working()
    [told] = emitted(says(machine, "chats", held()), "parked")
    assert told["interrupts"] == [APPROVAL]
    assert machine.state is TurnState.PARKED
    assert emitted(says(machine, "chats", held()), "parked") == []  # nothing new
    assert machine.decide("i9", approve=True, note="fine") == [PostDecision("i9", True, None, "fine")]
    assert emitted(says(machine, "chats", chat("busy", run("working"), pending_interrupts=[])), "unparked")
    assert machine.state is TurnState.WORKING


def test_a_decision_that_somebody_else_took_first_is_told_and_looked_up() -> None:
    machine = working()
    says(machine, "chats", held())
    error = ConflictError(409, "already resolved")
    effects = machine.decision_failed("i9", error)
    assert emitted(effects, "error") == [error] and of(effects, FetchChat)


def test_parked_gives_control_back_to_a_caller_who_asked_for_it() -> None:
    machine = working(when_parked="return")
    effects = says(machine, "chats", held())
    assert emitted(effects, "parked")
    assert settled(effects).outcome == "parked"
    assert not of(effects, PostStop)


def test_a_tool_that_a_handler_here_answers_parks_nothing() -> None:
    machine = working(when_parked="return")
    says(machine, "agent_runs", run("input_required"))
    says(machine, "chat_messages", message("ready", invocation("awaiting_input")))
    says(
        machine,
        "chats",
        chat("busy", run("input_required"), pending_interrupts=[{**APPROVAL, "reason": "client_tool"}]),
    )
    machine.tool_finished("i1", "r")
    machine.result_posted("i1")
    says(machine, "agent_runs", run("input_required"))
    assert machine.state is TurnState.WORKING


def test_an_approval_beside_a_running_handler_parks_when_the_handler_is_done() -> None:
    machine = working(when_parked="return")
    gate = invocation("awaiting_approval", id_="i9", kind="http")
    says(machine, "chat_messages", message("ready", invocation("awaiting_input"), gate))
    assert not of(says(machine, "chats", held()), Settle)
    machine.tool_finished("i1", "r")
    assert settled(machine.result_posted("i1")).outcome == "parked"


def test_a_tool_of_another_client_parks_though_the_platform_calls_it_working() -> None:
    machine = working(when_parked="return")
    effects = says(machine, "chat_messages", message("ready", invocation("awaiting_input", "elsewhere")))
    assert settled(effects).outcome == "parked"


def test_a_wait_that_does_not_say_for_what_is_looked_up_before_it_counts() -> None:
    machine = working(when_parked="return")
    ask = timer(says(machine, "agent_runs", run("input_required")), "ask")
    [fetch] = of(machine.timer(ask), FetchChat)
    gate = message("ready", invocation("awaiting_approval", kind="app"))
    effects = machine.fetched(fetch.seq, chat("awaiting_input", run("input_required"), chat_messages=[gate]))
    assert [each["id"] for each in emitted(effects, "parked")[0]["invocations"]] == ["i1"]
    assert settled(effects).outcome == "parked"


def test_authorization_is_a_wait_for_a_person() -> None:
    machine = working()
    says(machine, "agent_runs", run("auth_required"))
    assert machine.state is TurnState.PARKED


# -- resume --------------------------------------------------------------------------------------------------------


def resumed(**options: Any) -> TurnMachine:
    machine = TurnMachine("c1", tools={"here"}, **options)
    assert not of(machine.resume(), PostRun)
    assert of(machine.stream_opened(1), FetchChat)
    return machine


def test_resume_takes_up_the_run_and_the_tools_that_wait() -> None:
    machine = resumed()
    waiting = message("ready", invocation("in_progress"))
    effects = machine.fetched(1, chat("busy", run("working"), chat_messages=[waiting]))
    assert of(effects, RunTool)
    assert (machine.state, machine.run_id, machine.assistant_id) == (TurnState.WORKING, "r1", "m1")
    machine.tool_finished("i1", "r")
    machine.result_posted("i1")
    says(machine, "chat_messages", message("ready", id_="m2", order=2))
    assert settled(says(machine, "chats", chat("idle", run("completed")))).outcome == "completed"


@pytest.mark.parametrize(("state", "outcome"), [("completed", "completed"), ("failed", "failed"), (None, "completed")])
def test_resume_settles_at_once_where_there_is_nothing_to_resume(state: str | None, outcome: str) -> None:
    machine = resumed()
    end = settled(machine.fetched(1, chat("idle", run(state) if state else None), [message("ready")]))
    assert end.outcome == outcome


def test_resume_of_a_parked_chat_is_parked() -> None:
    machine = resumed(when_parked="return")
    assert settled(machine.fetched(1, held(), [])).outcome == "parked"


def test_resume_without_streams_polls() -> None:
    machine = TurnMachine("c1", streams=False)
    assert of(machine.resume(), FetchChat)
    assert settled(machine.fetched(1, chat("idle"), [])).outcome == "completed"


def test_resume_of_a_chat_that_is_not_there_is_lost() -> None:
    machine = resumed()
    error = NotFoundError(404, "no such chat")
    end = settled(machine.fetch_failed(1, error))
    assert (end.outcome, end.error) == ("lost", error)


# -- stopping and leaving ------------------------------------------------------------------------------------------


def test_a_stop_before_the_post_answers_is_remembered() -> None:
    machine = TurnMachine(None, {})
    machine.send()
    assert machine.stop() == []
    assert of(machine.accepted(reply()), PostStop) == [PostStop("c1")]
    assert machine.state is TurnState.STOPPING


@pytest.mark.parametrize("begins", [False, True])
def test_a_stop_before_anything_was_sent_sends_nothing(begins: bool) -> None:
    machine = TurnMachine("c1", {})
    if begins:
        machine.send()
    assert settled(machine.stop()).outcome == "canceled"
    assert machine.send() == []


def test_a_stop_that_fails_is_told_and_the_turn_goes_on() -> None:
    machine = working()
    grace = timer(machine.stop(), "grace")
    error = ConnectError("no")
    assert emitted(machine.stop_failed(error), "error") == [error]
    assert machine.timer(grace) == []
    assert machine.state is TurnState.WORKING


def test_a_stop_that_is_not_confirmed_in_time_settles_and_says_so() -> None:
    machine = working()
    end = settled(machine.timer(timer(machine.stop(), "grace")))
    assert end.outcome == "canceled" and "did not confirm" in end.detail


def test_leaving_posts_no_stop() -> None:
    machine = working()
    effects = machine.leave()
    assert settled(effects).outcome == "left"
    assert of(effects, CloseStream) and not of(effects, PostStop)


def test_leaving_while_the_post_is_under_way_says_that_it_may_have_been_taken() -> None:
    machine = TurnMachine(None, {})
    machine.send()
    assert settled(machine.leave()).maybe_sent


def test_after_the_end_nothing_happens_any_more() -> None:
    machine = working()
    machine.leave()
    late = [
        machine.stop(),
        machine.leave(),
        machine.send(),
        machine.accepted(reply()),
        machine.refused(ConnectError("late")),
        machine.stream_opened(1),
        machine.stream_lost(1),
        says(machine, "chats", chat("idle", run("completed"))),
        machine.bad_event(1, StreamError("bad", reason="bad_line")),
        machine.fetched(1, chat("idle")),
        machine.fetch_failed(1, ConnectError("late")),
        machine.tool_finished("i1", "late"),
        machine.submit("i1", "late"),
        machine.decide("i1", approve=True),
        machine.decision_failed("i1", ConnectError("late")),
        machine.stop_failed(ConnectError("late")),
        machine.timer(Timer("quiet", 1)),
    ]
    assert not any(late)


# -- the link ------------------------------------------------------------------------------------------------------


def test_an_outage_is_retried_with_growing_pauses_and_made_good_by_a_fetch() -> None:
    machine = working()
    pauses, attempt = [], 1
    for _ in range(4):
        effects = machine.stream_lost(attempt, ConnectError("cut"))
        pauses += [each.seconds for each in of(effects, StartTimer)]
        [opened] = of(machine.timer(timer(effects, "retry")), OpenStream)
        attempt = opened.attempt
    assert pauses == [0.25, 0.5, 1.0, 2.0]
    assert of(machine.stream_opened(attempt), FetchChat)


def test_events_start_the_count_of_retries_anew() -> None:
    machine = working(patience=Patience(max_retries=1))
    for attempt in range(1, 9):
        machine.timer(timer(machine.stream_lost(attempt), "retry"))
        machine.stream_opened(attempt + 1)
        machine.wire(attempt + 1, {"type": "heartbeat"})
    assert machine.link == "live"


def test_retries_used_up_turn_to_polling_or_to_the_end_as_the_caller_wants() -> None:
    for polls, link_state in ((True, "polling"), (False, "down")):
        machine = working(polls_when_lost=polls, patience=Patience(max_retries=0))
        effects = machine.stream_lost(1, ConnectError("cut"))
        assert machine.link == link_state
        assert bool(of(effects, Settle)) is not polls


@pytest.mark.parametrize("error", [AuthenticationError(401, "no"), NotFoundError(404, "gone")])
def test_a_forbidden_stream_ends_the_turn_at_once(error: Exception) -> None:
    machine = working()
    end = settled(machine.stream_lost(1, error))
    assert (end.outcome, end.error) == ("lost", error)


def test_a_timer_of_an_earlier_outage_says_nothing() -> None:
    machine = working()
    old = timer(machine.stream_lost(1), "retry")
    machine.timer(old)
    machine.stream_opened(2)
    new = timer(machine.stream_lost(2), "retry")
    assert machine.timer(old) == []
    assert of(machine.timer(new), OpenStream)


def test_a_stream_that_was_given_up_is_not_listened_to() -> None:
    machine = working()
    machine.timer(timer(machine.stream_lost(1), "retry"))
    machine.stream_opened(2)
    assert says(machine, "chats", chat("idle", run("completed")), attempt=1) == []
    assert machine.stream_lost(1) == []
    assert machine.link == "live"


def test_silence_is_doubted_once_and_believed_the_second_time() -> None:
    machine = working()
    first = timer(machine.wire(1, {"type": "heartbeat"}), "quiet")
    effects = machine.timer(first)
    assert of(effects, FetchChat) and machine.link == "silent"
    effects = machine.timer(timer(effects, "quiet"))
    assert of(effects, CloseStream) == [CloseStream(1)]
    assert machine.link == "backoff"
    assert of(machine.timer(timer(effects, "retry")), OpenStream)


def test_a_heartbeat_ends_the_doubt() -> None:
    machine = working()
    machine.timer(timer(machine.wire(1, {"type": "heartbeat"}), "quiet"))
    machine.wire(1, {"type": "heartbeat"})
    assert machine.link == "live"


def test_a_line_that_cannot_be_read_is_told_and_made_good_by_a_fetch() -> None:
    machine = working()
    error = StreamError("no JSON", reason="bad_line")
    effects = machine.bad_event(1, error)
    assert emitted(effects, "error") == [error]
    assert of(effects, FetchChat)


@pytest.mark.parametrize(
    "line",
    [None, 3, [], {}, {"event": 3}, {"event": "chats"}, {"event": "chat_messages", "data": {}}]
    + [{"event": "chat_messages", "data": {"id": "m1", "tool_invocations": each}} for each in (3, [3], [{}])],
)
def test_a_malformed_line_is_told_and_made_good_by_a_fetch(line: Any) -> None:
    machine = working()
    effects = machine.wire(1, line)
    assert [type(each) for each in emitted(effects, "error")] == [RemoteProtocolError]
    assert of(effects, FetchChat) and not emitted(effects, "wire")


def test_the_end_waits_for_what_an_unreadable_line_may_have_said() -> None:
    machine = working()
    says(machine, "chat_messages", message("ready"))
    [fetch] = of(machine.bad_event(1, StreamError("no JSON", reason="bad_line")), FetchChat)
    assert not of(says(machine, "chats", chat("idle", run("completed"))), Settle)
    missed = message("ready", id_="m2", order=2)
    effects = machine.fetched(fetch.seq, chat("busy", run("working"), chat_messages=[message("ready"), missed]))
    assert settled(effects).outcome == "completed"
    assert missed in emitted(effects, "wire")


def test_one_fetch_at_a_time_and_one_more_where_it_may_have_been_too_early() -> None:
    machine = working()
    bad = StreamError("no JSON", reason="bad_line")
    [fetch] = of(machine.bad_event(1, bad), FetchChat)
    assert not of(machine.bad_event(1, bad), FetchChat)
    assert of(machine.fetched(fetch.seq, chat("busy", run("working"))), FetchChat) == [FetchChat("c1", fetch.seq + 1)]


def test_a_fetch_that_fails_is_tried_again_though_the_stream_is_alive() -> None:
    machine = working()
    [fetch] = of(machine.bad_event(1, StreamError("no JSON", reason="bad_line")), FetchChat)
    effects = machine.fetch_failed(fetch.seq, ConnectError("cut"))
    assert of(machine.timer(timer(effects, "fetch")), FetchChat)


def test_polls_that_fail_again_and_again_are_the_end() -> None:
    machine = working(streams=False, busy=False, patience=Patience(max_retries=1))
    machine.fetch_failed(1, ConnectError("cut"))
    effects: list[Effect] = machine.timer(Timer("poll", 1))
    [fetch] = of(effects, FetchChat)
    assert settled(machine.fetch_failed(fetch.seq, ConnectError("cut"))).outcome == "lost"


def test_a_slow_poll_is_not_overtaken_by_the_next() -> None:
    machine = TurnMachine("c1", {}, streams=False)
    machine.send()
    poll = timer(machine.accepted(reply()), "poll")
    effects = machine.timer(poll)
    assert not of(effects, FetchChat) and timer(effects, "poll")


# -- the log's cursor ----------------------------------------------------------------------------------------------


def test_the_stream_is_taken_up_behind_the_last_entry_heard() -> None:
    machine = working()
    says(machine, "agent_runs", run("working"), 7)
    says(machine, "delta", {"resource_id": "m1"})
    effects = machine.timer(timer(machine.stream_lost(1), "retry"))
    assert of(effects, OpenStream) == [OpenStream("c1", 2, 7)]


def test_an_entry_heard_before_is_dropped_and_one_without_a_number_never_is() -> None:
    machine = working()
    says(machine, "delta", {"n": 1}, 7)
    assert emitted(says(machine, "delta", {"n": 1}, 7), "wire") == []
    assert emitted(says(machine, "delta", {"n": 1}, 6), "wire") == []
    assert emitted(says(machine, "delta", {"n": 2}), "wire") == [{"n": 2}]
    assert of(says(machine, "delta", {"n": 3}, 8), Emit)[0].cursor == 8


def test_a_log_that_began_anew_does_not_make_us_deaf() -> None:
    machine = working()
    says(machine, "delta", {}, 700)
    assert of(says(machine, "delta", {}, 1), FetchChat)
    assert not of(says(machine, "delta", {}, 2), FetchChat)  # once per stream
    assert of(says(machine, "reset", {}, 3), Emit)[0].event == "reset"
    assert machine.cursor == 3


def test_a_cursor_of_an_earlier_turn_is_gone_on_from() -> None:
    machine = TurnMachine("c1", {}, after=12)
    assert of(machine.send(), OpenStream) == [OpenStream("c1", 1, 12)]


def test_unknown_events_are_passed_on_with_their_fields() -> None:
    machine = working()
    line = {"event": "brand_new", "data": {"x": 1}, "id": 9, "fields": ["x"]}
    [emit] = of(machine.wire(1, line), Emit)
    assert (emit.kind, emit.event, emit.data, emit.cursor, emit.fields) == ("wire", "brand_new", {"x": 1}, 9, ("x",))


def test_a_fetched_copy_that_is_older_than_the_stream_is_not_shown() -> None:
    machine = working()
    [fetch] = of(machine.bad_event(1, StreamError("no JSON", reason="bad_line")), FetchChat)
    says(machine, "chat_messages", message("ready"))
    effects = machine.fetched(fetch.seq, chat("busy", run("working"), chat_messages=[message("pending")]))
    assert [each.event for each in of(effects, Emit)] == ["chats"]


def test_an_unfinished_copy_on_the_stream_is_not_shown_after_a_fetch_showed_the_whole() -> None:
    machine = working()
    [fetch] = of(machine.bad_event(1, StreamError("no JSON", reason="bad_line")), FetchChat)
    machine.fetched(fetch.seq, chat("busy", run("working"), chat_messages=[message("ready")]))
    assert not of(says(machine, "chat_messages", message("pending")), Emit)


def test_a_fetch_sent_after_the_run_was_seen_at_work_proves_its_end_even_before_the_post_answers() -> None:
    machine = TurnMachine("c1", {})
    machine.send()
    machine.stream_opened(1)
    says(machine, "chats", chat("busy"))
    [fetch] = of(machine.bad_event(1, StreamError("no JSON", reason="bad_line")), FetchChat)
    machine.accepted(reply(run_id=None))
    end = settled(machine.fetched(fetch.seq, chat("idle", chat_messages=[message("ready")])))
    assert end.outcome == "completed"


def test_a_wait_that_passed_before_the_post_answered_parks_nothing() -> None:
    machine = TurnMachine("c1", {}, when_parked="return")
    machine.send()
    machine.stream_opened(1)
    says(machine, "chats", held())
    says(machine, "chats", chat("busy", run("working"), pending_interrupts=[]))
    assert not of(machine.accepted(reply()), Settle)
    assert machine.state is TurnState.WORKING


@pytest.mark.parametrize(
    ("told", "fetched"),
    [
        (message("ready", invocation("completed")), message("ready", invocation("awaiting_approval"))),
        (message("failed"), message("pending", invocation("awaiting_approval"))),
    ],
    ids=["end-of-a-call", "end-of-the-message"],
)
def test_a_fetch_that_is_older_than_what_the_stream_told_parks_nothing(told: Any, fetched: Any) -> None:
    machine = working(when_parked="return")
    ask = timer(says(machine, "agent_runs", run("input_required")), "ask")
    [fetch] = of(machine.timer(ask), FetchChat)
    says(machine, "chat_messages", told)
    parked = chat("awaiting_input", run("input_required"), chat_messages=[fetched])
    assert not of(machine.fetched(fetch.seq, parked), Settle)
    assert machine.state is TurnState.WORKING


def test_a_run_that_is_over_does_not_park_while_its_last_message_is_fetched() -> None:
    machine = working(when_parked="return")
    says(machine, "chat_messages", message("ready", invocation("in_progress")))
    machine.tool_finished("i1", "r")
    [fetch] = of(machine.bad_event(1, StreamError("no JSON", reason="bad_line")), FetchChat)
    says(machine, "chats", chat("idle", run("failed")))
    assert not of(machine.result_failed("i1", ConnectError("cut")), Settle)
    last = message("failed", id_="m2", order=2)
    assert settled(machine.fetched(fetch.seq, chat("busy", run("working"), chat_messages=[last]))).outcome == "failed"


# -- bugs of a driver ----------------------------------------------------------------------------------------------


def test_what_cannot_happen_is_a_bug_of_the_driver_and_says_so() -> None:
    machine = TurnMachine("c1", {})
    with pytest.raises(LocalProtocolError, match="ACCEPTED cannot happen to a turn that is IDLE"):
        machine.accepted(reply())
    machine = TurnMachine("c1", {})
    machine.send()
    with pytest.raises(LocalProtocolError, match="HEARD cannot happen while CONNECTING"):
        machine.wire(1, {"type": "heartbeat"})
    with pytest.raises(LocalProtocolError, match="SEND_OPEN cannot happen"):
        machine.send()
    with pytest.raises(LocalProtocolError, match="there is none yet"):
        TurnMachine(None).resume()


def test_a_handler_that_reports_twice_is_a_bug_of_the_driver() -> None:
    machine = working()
    says(machine, "chat_messages", message("ready", invocation("awaiting_input")))
    machine.tool_finished("i1", "r")
    with pytest.raises(LocalProtocolError, match="FINISHED cannot happen while POSTING"):
        machine.tool_finished("i1", "r")
