"""What agents below do, on the stream of the one above: their client tools run here, and their events come wrapped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from agentkit.errors import RemoteProtocolError
from agentkit.protocol.calls import Call, Calls
from agentkit.protocol.effects import CancelTool, Effect, Emit, FetchChat, PostResult, RunTool
from agentkit.protocol.events import (
    ApprovalRequested,
    ChildEvent,
    MessageChanged,
    RunFinished,
    RunStarted,
    Story,
    TextDelta,
    ToolAwaited,
    ToolCalled,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    TurnEvent,
    Unknown,
)
from agentkit.protocol.turn import TurnMachine
from tests.protocol.test_turn import chat, emitted, invocation, message, of, reply, run, says, settled

ASK = invocation("in_progress", "research", id_="i1", kind="agent")


def child(event: str, data: dict[str, Any], *, chat_id: str = "c2", depth: int = 1, call: str = "i1") -> dict[str, Any]:
    return {"chat_id": chat_id, "invocation_id": call, "depth": depth, "event": event, "data": data}


def below(status: str, name: str = "look", *, id_: str = "i2", chat_id: str = "c2", **more: Any) -> dict[str, Any]:
    """A message of the agent below with a call of a client tool."""
    said = {"id": "m2", "chat_id": chat_id, "role": "assistant", "status": "ready", "order": 1}
    return {**said, "tool_invocations": [invocation(status, name, id_=id_)], **more}


def asking(*, knows_the_call: bool = True, **options: Any) -> TurnMachine:
    """A machine whose agent asked another one, which has the client tool `look` with a handler here."""
    machine = TurnMachine("c1", {"input": {}}, tools={"here"}, tools_below={("research", "look")}, **options)
    machine.send()
    machine.stream_opened(1)
    machine.accepted(reply())
    says(machine, "chats", chat("busy", run("working")))
    if knows_the_call:
        says(machine, "chat_messages", message("ready", ASK))
    return machine


# -- the client tools of agents below ------------------------------------------------------------------------------


def test_a_call_of_an_agent_below_runs_here_once_and_is_posted_under_its_own_id() -> None:
    machine = asking()
    [started] = of(says(machine, "child", child("chat_messages", below("awaiting_input"))), RunTool)
    assert (started.id, started.name, started.agent, started.chat_id) == ("i2", "look", "research", "c2")
    assert not of(says(machine, "child", child("chat_messages", below("awaiting_input"))), RunTool)
    assert of(machine.tool_finished("i2", "seen"), PostResult) == [PostResult("i2", "seen")]
    machine.result_posted("i2")
    assert machine.calls.get("i2") is Call.ANSWERED


def test_handlers_are_told_apart_by_the_tool_that_asked() -> None:
    machine = asking()
    effects = says(machine, "child", child("chat_messages", below("awaiting_input", "here")))
    assert not of(effects, RunTool)  # `here` is ours, not the other agent's
    assert [each["id"] for each in emitted(effects, "tool_call")] == ["i2"]
    effects = says(machine, "chat_messages", message("ready", ASK, invocation("awaiting_input", "look", id_="i3")))
    assert not of(effects, RunTool)  # and `look` is not ours


def test_a_call_that_is_heard_before_the_one_that_led_there_runs_when_that_one_comes() -> None:
    machine = asking(knows_the_call=False)
    assert not of(says(machine, "child", child("chat_messages", below("awaiting_input"))), RunTool)
    assert [each.id for each in of(says(machine, "chat_messages", message("ready", ASK)), RunTool)] == ["i2"]


def test_a_call_of_an_agent_further_down_is_found_by_our_own_call() -> None:
    machine = asking()
    data = child("chat_messages", below("awaiting_input", chat_id="c3"), chat_id="c3", depth=2)
    [started] = of(says(machine, "child", data), RunTool)
    assert (started.agent, started.chat_id) == ("research", "c3")


def test_a_call_that_was_answered_elsewhere_is_called_off_and_not_started_by_an_older_copy() -> None:
    machine = asking()
    says(machine, "child", child("chat_messages", below("awaiting_input")))
    settled_now = says(machine, "child", child("chat_messages", below("completed")))
    assert of(settled_now, CancelTool) == [CancelTool("i2")]
    says(machine, "child", child("chat_messages", below("cancelled", id_="i5")))
    assert not of(says(machine, "child", child("chat_messages", below("awaiting_input", id_="i5"))), RunTool)


def test_what_a_fetch_finds_below_runs_too_and_only_who_has_handlers_there_asks_for_it() -> None:
    calls = Calls()
    machine = TurnMachine("c1", tools_below={("research", "look")}, calls=calls, streams=False)
    assert of(machine.resume(), FetchChat) == [FetchChat("c1", 1, with_children=True)]
    whole = chat("busy", run("working"), chat_messages=[message("ready", ASK)])
    found = [child("chat_messages", below("awaiting_input")), child("chats", {"id": "c2", "status": "busy"})]
    effects = machine.fetched(1, whole, children=found)
    assert [each.id for each in of(effects, RunTool)] == ["i2"]
    assert [each.event for each in of(effects, Emit) if each.kind == "wire"].count("child") == 2
    assert of(TurnMachine("c1", streams=False).resume(), FetchChat) == [FetchChat("c1", 1)]


def test_a_run_that_waits_for_a_person_below_goes_on_while_a_handler_runs_and_parks_after_it() -> None:
    asked = {"id": "p1", "reason": "tool_approval", "status": "pending", "resource_id": "i7", "chat_id": "c2"}
    machine = asking()
    says(machine, "child", child("chat_messages", below("awaiting_input")))
    waits = chat("awaiting_input", run("input_required"), pending_interrupts=[asked])
    assert not emitted(says(machine, "chats", waits), "parked")
    machine.tool_finished("i2", "seen")
    [parked] = emitted(machine.result_posted("i2"), "parked")
    assert parked["interrupts"] == [asked]


def test_a_call_below_that_nobody_handles_parks_the_turn_when_nothing_else_is_under_way() -> None:
    ask = {**ASK, "execution_id": "c2"}
    machine = asking(knows_the_call=False)
    says(machine, "chat_messages", message("ready", ask))
    busy = invocation("in_progress", "draw", id_="i8", kind="app")
    two = [*below("awaiting_input", "theirs")["tool_invocations"], busy]
    assert not emitted(says(machine, "child", child("chat_messages", below("", tool_invocations=two))), "parked")
    alone = below("awaiting_input", "theirs")
    alone["tool_invocations"].append({**busy, "status": "completed"})
    [parked] = emitted(says(machine, "child", child("chat_messages", alone)), "parked")
    assert [each["id"] for each in parked["invocations"]] == ["i2"]
    assert emitted(says(machine, "child", child("chat_messages", below("completed", "theirs"))), "unparked")


def test_the_end_of_the_run_ends_what_still_runs_below() -> None:
    machine = asking()
    says(machine, "child", child("chat_messages", below("awaiting_input")))
    says(machine, "chat_messages", message("ready", {**ASK, "status": "cancelled"}))
    effects = says(machine, "chats", chat("idle", run("canceled")))
    assert of(effects, CancelTool) == [CancelTool("i2")]
    assert settled(effects).outcome == "canceled"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"chat_id": "c2", "event": "delta", "data": {}},
        {"chat_id": "c2", "invocation_id": "i1", "event": "delta", "data": []},
        {"chat_id": "c2", "invocation_id": "i1", "event": "chat_messages", "data": {"tool_invocations": []}},
    ],
    ids=["nothing", "no call", "no object", "no id"],
)
def test_bad_news_of_a_child_is_told_and_made_good_by_a_fetch(data: dict[str, Any]) -> None:
    effects = says(asking(), "child", data)
    [error] = emitted(effects, "error")
    assert isinstance(error, RemoteProtocolError)
    assert of(effects, FetchChat)


# -- their events --------------------------------------------------------------------------------------------------


def story(*effects: Effect) -> list[TurnEvent]:
    """The events of these, told after the beginning of the run."""
    told = Story(chat_id="c1")
    events = list(told.tell(Emit("wire", chat("busy", run("working")), "chats")))
    for effect in effects:
        match effect:
            case Emit():
                events += told.tell(effect)
            case RunTool():
                events += told.started(effect)
            case _:
                raise AssertionError(effect)
    return events


def heard(*children: dict[str, Any]) -> list[Emit]:
    return [Emit("wire", each, "child") for each in children]


def inside(events: Sequence[TurnEvent]) -> list[TurnEvent]:
    return [event.event for event in events if isinstance(event, ChildEvent)]


def test_events_of_a_child_are_wrapped_and_never_taken_for_ours() -> None:
    said = {"id": "m2", "chat_id": "c2", "agent_run_id": "r2", "role": "assistant", "status": "ready", "order": 1}
    events = story(
        *heard(
            child("agent_runs", {"id": "r2", "chat_id": "c2", "state": "working"}),
            child("delta", {"resource_id": "m2", "delta": {"response": "Hel"}, "seq": 0}),
            child("delta", {"resource_id": "m2", "delta": {"response": "lo"}, "seq": 1}),
            child("chat_messages", {**said, "content": [{"type": "text", "text": "Hello"}]}),
            child("chats", {"id": "c2", "status": "idle", "active_run": {"id": "r2", "state": "completed"}}),
            child("chats", {"id": "c2", "status": "idle", "active_run": {"id": "r2", "state": "completed"}}),
        )
    )
    kinds = [type(each) for each in inside(events) if each.kind != "chat_changed"]
    assert kinds == [RunStarted, TextDelta, TextDelta, MessageChanged, RunFinished]
    assert [each.text for each in inside(events) if isinstance(each, TextDelta)] == ["Hel", "lo"]
    [end] = [each for each in inside(events) if isinstance(each, RunFinished)]
    assert (end.outcome, end.chat_id, end.run_id) == ("completed", "c2", "r2")
    wrapped = [event for event in events if isinstance(event, ChildEvent)]
    assert {(each.chat_id, each.run_id, each.invocation_id, each.depth) for each in wrapped} == {("c1", "r1", "i1", 1)}
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert not [event for event in events if isinstance(event, TextDelta | MessageChanged | RunFinished)]


def test_agents_further_down_have_a_story_of_their_own() -> None:
    events = story(
        *heard(
            child("delta", {"resource_id": "m2", "delta": {"response": "a"}}),
            child("delta", {"resource_id": "m2", "delta": {"response": "b"}}, chat_id="c3", depth=2),
            child("delta", {"resource_id": "m2", "delta": {"response": "c"}}),
        )
    )
    texts = [
        (event.depth, event.event.chat_id, event.event.snapshot)
        for event in events
        if isinstance(event, ChildEvent) and isinstance(event.event, TextDelta)
    ]
    assert texts == [(1, "c2", "a"), (2, "c3", "b"), (1, "c2", "ac")]


def test_a_handler_that_runs_for_an_agent_below_is_told_as_that_ones() -> None:
    waits, done = below("awaiting_input"), below("completed")
    start = RunTool("i2", "look", {}, waits["tool_invocations"][0], "c2", "research")
    progress = {"invocation_id": "i2", "message": "half", "fraction": 0.5, "data": None}
    events = story(
        *heard(child("chat_messages", waits)),
        start,
        Emit("progress", progress),
        *heard(child("chat_messages", done)),
    )
    told = [each for each in inside(events) if not isinstance(each, MessageChanged | RunStarted)]
    assert [type(each) for each in told] == [ToolCalled, ToolStarted, ToolProgress, ToolFinished]
    assert not [event for event in events if isinstance(event, ToolStarted | ToolProgress | ToolCalled)]


def test_a_call_below_that_nobody_here_handles_is_told_as_that_ones() -> None:
    waits = below("awaiting_input")
    events = story(*heard(child("chat_messages", waits)), Emit("tool_call", waits["tool_invocations"][0]))
    [awaited] = [each for each in inside(events) if isinstance(each, ToolAwaited)]
    assert awaited.invocation.id == "i2"


def test_what_waits_for_a_person_below_is_told_once_and_by_us() -> None:
    asked = {"id": "p1", "reason": "tool_approval", "status": "pending", "resource_id": "i2", "chat_id": "c2"}
    theirs = {"id": "c2", "status": "awaiting_input", "pending_interrupts": [asked]}
    ours = chat("awaiting_input", run("input_required"), pending_interrupts=[asked])
    events = story(*heard(child("chats", theirs)), Emit("wire", ours, "chats"))
    assert [event.interrupt.chat_id for event in events if isinstance(event, ApprovalRequested)] == ["c2"]
    assert not [each for each in inside(events) if isinstance(each, ApprovalRequested)]


# -- tools that the platform runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "fraction"),
    [
        ({"progress": 3, "total": 4}, 0.75),
        ({"progress": 3, "total": None}, None),
        ({"progress": 5, "total": 4}, None),
        ({"progress": "3", "total": 0}, None),
        ({}, None),
    ],
    ids=["of a total", "no total", "past the total", "no number", "words alone"],
)
def test_progress_of_a_tool_that_the_platform_runs_is_an_event(data: dict[str, Any], fraction: float | None) -> None:
    told = {"invocation_id": "i1", "message": "reading", **data}
    frames = [Emit("wire", told, "tool_progress"), *heard(child("tool_progress", {**told, "invocation_id": "i2"}))]
    events = story(*frames)
    [ours] = [event for event in events if isinstance(event, ToolProgress)]
    assert (ours.invocation_id, ours.message, ours.fraction) == ("i1", "reading", fraction)
    assert [each.invocation_id for each in inside(events) if isinstance(each, ToolProgress)] == ["i2"]


def test_news_that_this_version_does_not_know_stays_as_it_came() -> None:
    [unknown] = inside(story(*heard(child("later", {"x": 1}))))
    assert isinstance(unknown, Unknown)
    assert (unknown.name, unknown.data) == ("later", {"x": 1})
    assert len(story(Emit("wire", {"message": "whose?"}, "tool_progress"))) == len(story())
