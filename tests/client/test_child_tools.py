"""Agents below: what they do is told to the client of the one above, and their client tools run there."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit import (
    ApprovalRequested,
    ChildEvent,
    MessageChanged,
    RunFinished,
    TextDelta,
    ToolAwaited,
    ToolContext,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    agent_tool,
    string,
    tool,
)
from agentkit.testing import Scripted, call
from tests.client.conftest import Home
from tests.client.ways import Told, play

pytestmark = pytest.mark.heavy

PARENT: dict[str, Any] = {"core_app": {"ref": "scripted/parent"}}
CHILD: dict[str, Any] = {"core_app": {"ref": "scripted/child"}}
ASK = call("research", {"message": "Who is it?"})
LOOK = call("look", {"q": "Ada"})


def looking(found: str, calls: list[ToolContext] | None = None) -> Any:
    """A client tool `look` that answers this, and notes how it was called."""

    def look(q: str, ctx: ToolContext) -> str:
        ctx.progress("looking", fraction=0.5)
        if calls is not None:
            calls.append(ctx)
        return f"{found}: {q}"

    return tool("look").param("q", string()).handler(look)


def research(*tools: Any, **config: Any) -> Any:
    """The tool that asks the agent below, which has these tools."""
    return agent_tool("research", {**CHILD, "tools": list(tools), **config}).describe("Finds out")


def asking(home: Home, *child: Any, below: Any, more: tuple[Any, ...] = (), say: str = "Asked.", **options: Any) -> Any:
    """A place with an agent that asks another one, which says `child`."""
    place = home(model=Scripted({"parent": [ASK, say], "child": child}), **options)
    return place, place.agent(below, *more, **PARENT)


def inside(told: Told, kind: type[Any]) -> list[Any]:
    return [event.event for event in told.of(ChildEvent) if isinstance(event.event, kind)]


def test_a_client_tool_of_an_agent_below_runs_here_once(home: Home) -> None:
    calls: list[ToolContext] = []
    _, agent = asking(home, LOOK, "It is Ada.", below=research(looking("found", calls)))
    told = play(agent)
    assert told.result.text == "Asked."
    [made] = calls
    [started], [finished] = inside(told, ToolStarted), inside(told, ToolFinished)
    assert finished.invocation.result == "found: Ada"
    assert [each.message for each in inside(told, ToolProgress)] == ["looking"]
    assert made.invocation_id == started.invocation.id
    assert made.chat_id == started.chat_id != agent.chat_id
    [mine] = told.of(ToolFinished)
    assert (mine.invocation.function.name, mine.invocation.result) == ("research", "It is Ada.")


def test_what_an_agent_below_says_is_not_taken_for_the_answer(home: Home) -> None:
    _, agent = asking(home, "It is Ada.", below=research())
    told = play(agent)
    assert "".join(event.text for event in inside(told, TextDelta)) == "It is Ada."
    assert set(told.texts().values()) == {"Asked."}
    assert inside(told, MessageChanged)[-1].message.text == "It is Ada."
    [end] = inside(told, RunFinished)
    assert (end.outcome, end.chat_id) == ("completed", told.of(ChildEvent)[0].event.chat_id)
    assert {(event.depth, event.chat_id) for event in told.of(ChildEvent)} == {(1, agent.chat_id)}


def test_tools_of_one_name_above_and_below_run_their_own_handlers(home: Home) -> None:
    model = Scripted({"parent": [[ASK, call("look", {"q": "Bob"})], "Done."], "child": [LOOK, "It is Ada."]})
    told = play(home(model=model).agent(research(looking("below")), looking("above"), **PARENT))
    assert [each.invocation.result for each in inside(told, ToolFinished)] == ["below: Ada"]
    mine = {each.invocation.function.name: each.invocation.result for each in told.of(ToolFinished)}
    assert mine == {"research": "It is Ada.", "look": "above: Bob"}


def test_a_client_tool_two_agents_down_runs_here(home: Home) -> None:
    deep = agent_tool("deeper", {"core_app": {"ref": "scripted/deep"}, "tools": [looking("deep")]})
    model = Scripted({
        "parent": [ASK, "Done."], "child": [call("deeper", {"message": "Dig."}), "Dug."], "deep": [LOOK, "Ada, then."],
    })  # fmt: skip
    told = play(home(model=model).agent(research(deep), **PARENT))
    assert told.result.text == "Done."
    [wrapped] = [event for event in told.of(ChildEvent) if isinstance(event.event, ToolStarted)]
    assert (wrapped.depth, wrapped.event.invocation.function.name) == (2, "look")
    assert "deep: Ada" in [each.invocation.result for each in inside(told, ToolFinished)]


def test_a_stored_agent_below_is_served_by_handlers_given_with_the_tool(home: Home) -> None:
    place = home(model=Scripted({"parent": [ASK, "Done."], "child": [LOOK, "It is Ada."]}))
    place.client.agents.store({**CHILD, "tools": [looking("never travels")]}, name="researcher", namespace="acme")
    agent = place.agent(agent_tool("research", "acme/researcher", tools=[looking("here")]), **PARENT)
    told = play(agent)
    assert [each.invocation.result for each in inside(told, ToolFinished)] == ["here: Ada"]


def test_polling_runs_client_tools_of_agents_below(home: Home) -> None:
    calls: list[ToolContext] = []
    below = research(looking("found", calls))
    _, agent = asking(home, LOOK, "It is Ada.", below=below, client={"poll_seconds": 0.05})
    told = play(agent, stream=False)
    assert (told.result.text, len(calls)) == ("Asked.", 1)
    assert inside(told, ToolStarted)


def test_a_turn_that_was_left_is_taken_up_by_another_client_with_the_same_tools(home: Home) -> None:
    place, agent = asking(home, LOOK, "It is Ada.", below=research(tool("look").param("q", string())))
    with agent.stream("go") as turn:
        awaited = next(e for e in turn if isinstance(e, ChildEvent) and isinstance(e.event, ToolAwaited))
    resumed = place.another_client().agents.resume(agent.chat_id, tools=[research(looking("later"))])
    assert resumed.resume().text() == "Asked."
    [below] = [each for each in place.model.requests if each.model == "child"][1:]
    assert [each.text for each in below.messages if each.role == "tool"] == ["later: Ada"]
    assert awaited.event.invocation.function.name == "look"


def test_a_call_below_that_nobody_handles_is_answered_by_hand(home: Home) -> None:
    _, agent = asking(home, LOOK, "It is Ada.", below=research(tool("look").param("q", string())))

    def answer(event: Any) -> None:
        if isinstance(event, ChildEvent) and isinstance(event.event, ToolAwaited):
            agent.submit_tool_result(event.event.invocation.id, "by hand")

    told = play(agent, then=answer)
    assert told.result.text == "Asked."
    assert [each.invocation.result for each in inside(told, ToolFinished)] == ["by hand"]


def test_a_call_below_that_nobody_handles_gives_control_back_to_who_asked_for_it(home: Home) -> None:
    _, agent = asking(home, LOOK, "It is Ada.", below=research(tool("look").param("q", string())))
    told = play(agent, when_parked="return")
    assert told.end.outcome == "parked"
    [awaited] = inside(told, ToolAwaited)
    agent.submit_tool_result(awaited.invocation.id, "by hand")
    assert agent.resume().text() == "Asked."


def test_an_approval_below_is_pending_above_and_answered_there(home: Home) -> None:
    guarded = looking("allowed").require_approval()
    _, agent = asking(home, LOOK, "It is Ada.", below=research(guarded))
    parked = play(agent, when_parked="return")
    [question] = agent.pending()
    assert (parked.end.outcome, question.tool_name) == ("parked", "look")
    assert [each.id for each in parked.result.pending] == [question.id]
    assert question.chat_id != agent.chat_id
    agent.approve(question.resource_id)
    assert agent.resume().text() == "Asked."
    assert agent.pending() == []


def test_an_approval_below_that_comes_while_we_listen_is_answered_from_the_event(home: Home) -> None:
    _, agent = asking(home, LOOK, "It is Ada.", below=research(looking("allowed").require_approval()))
    asked: list[str] = []

    def answer(event: Any) -> None:
        if isinstance(event, ApprovalRequested):
            asked.append(event.interrupt.tool_name)
            agent.reject(event.interrupt.resource_id, "not today")

    told = play(agent, then=answer)
    assert (asked, told.result.text) == (["look"], "Asked.")
    assert not inside(told, ToolStarted)


def test_on_tool_call_hears_of_calls_below(home: Home) -> None:
    _, agent = asking(home, LOOK, "It is Ada.", below=research(looking("found")))
    heard: list[tuple[str, Any]] = []
    messages: list[str] = []
    agent.send_message(
        "go",
        on_tool_call=lambda info: heard.append((info.name, info.args)),
        on_message=lambda message: messages.append(message.text),
    )
    assert heard == [("look", {"q": "Ada"})]
    assert "It is Ada." not in messages


def test_a_handed_over_chat_goes_on_with_the_other_agent_and_its_client_tools(home: Home) -> None:
    model = Scripted({"parent": [call("research", {})], "child": [LOOK, "I am the other one."]})
    place = home(model=model)
    agent = place.agent(research(looking("found")).handoff(), **PARENT)
    told = play(agent)
    assert told.result.text == "I am the other one."
    assert "found: Ada" in [each.invocation.result for each in told.of(ToolFinished)]


@pytest.mark.parametrize("outcome", ["raises", "is slow"])
def test_a_handler_that_fails_below_is_read_by_the_agent_below(home: Home, outcome: str) -> None:
    def look(q: str, ctx: ToolContext) -> str:
        if outcome == "raises":
            raise RuntimeError("no such person")
        while not ctx.cancelled:
            pass
        return "too late"

    below = tool("look").param("q", string()).handler(look)
    place, agent = asking(home, LOOK, "Nobody.", below=research(below.timeout(0.05) if outcome == "is slow" else below))
    told = play(agent)
    [finished] = inside(told, ToolFinished)
    assert finished.invocation.status == "failed"
    assert ("no such person" if outcome == "raises" else "longer than 0.05 s") in finished.invocation.result
    assert told.result.text == "Asked."
    assert place.model.requests[-1].model == "parent"
