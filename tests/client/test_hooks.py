"""Hooks as Python functions, in every way to reach a platform."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit import HookPayload, HookResponse, RunCanceledError, RunFailedError, UsageError, string, tool
from agentkit.testing import call, error, finish
from tests.client.ways import WAYS, desk
from tests.runtime.playing import REPORT

pytestmark = pytest.mark.heavy

LOOK = call("look", {"q": "a"})


def looking(seen: list[Any]) -> Any:
    """A client tool that notes what it was asked."""

    def look(args: Any) -> str:
        seen.append(args["q"])
        return "a tree"

    return tool("look").param("q", string("What")).handler(look)


def results(agent: Any) -> list[tuple[str, str | None]]:
    """The tool calls of the chat: status and result."""
    messages = agent.get_chat().chat_messages
    return [(str(each.status), each.result) for message in messages for each in message.tool_invocations]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_run_is_told_from_its_start_to_its_end(way: str) -> None:
    told: list[tuple[str, Any]] = []

    def note(event: HookPayload) -> None:
        told.append((str(event.event), event.data))

    seen: list[Any] = []
    with desk(way, LOOK, "Done.") as on:
        agent = on.agent(looking(seen))
        names = ["start", "tool_call", "tool_result", "turn_complete", "error", "complete", "idle"]
        for name in names:
            agent.on(f"agent.{name}", note)
        agent.send_message("Look around")
    assert [event.removeprefix("agent.") for event, _ in told] == [
        "start", "tool_call", "tool_result", "turn_complete", "turn_complete", "complete", "idle",
    ]  # fmt: skip
    data = dict(told)
    assert data["agent.start"] == {"text": "Look around"}
    assert (data["agent.tool_call"]["tool_name"], data["agent.tool_call"]["arguments"]) == ("look", {"q": "a"})
    assert (data["agent.tool_result"]["status"], data["agent.tool_result"]["result"]) == ("completed", "a tree")
    assert data["agent.turn_complete"]["text"] == "Done."
    assert data["agent.complete"]["state"] == "completed"
    assert seen == ["a"]


def test_an_async_function_is_awaited(way: str) -> None:
    async def deny(event: HookPayload) -> HookResponse:
        return HookResponse(decision="deny", reason="not today")

    seen: list[Any] = []
    with desk(way, LOOK, "Then not.") as on:
        agent = on.agent(looking(seen))
        agent.on("agent.tool_call", deny)
        agent.send_message("go")
        assert results(agent) == [("failed", '{"error":"a hook denied this call: not today"}')]
    assert seen == []


def test_a_message_is_changed_before_it_is_sent(way: str) -> None:
    with desk(way, "Hi.") as on:
        agent = on.agent()
        agent.on("agent.start", lambda event: {"override": event.data["text"].upper()})
        agent.on("agent.start", lambda event: {"inject": {"content": f"({len(event.data['text'])} letters)"}})
        agent.send_message("hello")
        assert on.last_request() == [("user", "HELLO\n\n(5 letters)")]


def test_a_message_may_be_held_back(way: str) -> None:
    with desk(way, "never", "Hi.") as on:
        agent = on.agent()
        answers: list[Any] = [{"decision": "deny", "reason": "too rude"}]
        agent.on("agent.start", lambda event: answers.pop() if answers else None)
        with pytest.raises(RunCanceledError, match="not sent: too rude"):
            agent.send_message("hello")
        assert on.model.requests == []
        assert agent.send_message("please").text == "never"  # and the agent is free again


def test_the_arguments_and_the_result_of_a_call_are_replaced(way: str) -> None:
    seen: list[Any] = []
    with desk(way, LOOK, "Done.") as on:
        agent = on.agent(looking(seen))
        agent.on("agent.tool_call", lambda event: {"override": {"q": event.data["arguments"]["q"] + "b"}})
        agent.on("agent.tool_call", lambda event: {"override": {"q": event.data["arguments"]["q"] + "c"}})
        agent.on("agent.tool_result", lambda event: {"override": {"trees": 1}})
        agent.send_message("go")
        assert results(agent) == [("completed", '{"trees":1}')]
    assert seen == ["abc"]


def test_arguments_that_do_not_fit_do_not_reach_the_handler(way: str) -> None:
    seen: list[Any] = []
    with desk(way, LOOK, "Done.") as on:
        agent = on.agent(looking(seen))
        agent.on("agent.tool_call", lambda event: {"override": {"q": 7}})
        agent.send_message("go")
        [(status, result)] = results(agent)
    assert (status, seen) == ("failed", [])
    assert result is not None and "q" in result


def test_a_result_is_withheld(way: str) -> None:
    with desk(way, LOOK, "Done.") as on:
        agent = on.agent(looking([]))
        agent.on("agent.tool_result", lambda event: {"decision": "deny", "reason": "private"})
        agent.send_message("go")
        assert results(agent) == [("failed", '{"error":"a hook withheld the result: private"}')]


def test_a_hook_that_raises_denies_the_call_and_the_model_reads_it(way: str) -> None:
    def broken(event: HookPayload) -> None:
        raise ValueError("no rule for this")

    seen: list[Any] = []
    with desk(way, LOOK, "Done.") as on:
        agent = on.agent(looking(seen))
        agent.on("agent.tool_call", broken)
        agent.send_message("go")
        [(status, result)] = results(agent)
    assert (status, seen) == ("failed", [])
    assert result == '{"error":"a hook failed, so the call was not made: ValueError: no rule for this"}'


@pytest.mark.parametrize("event", ["agent.start", "agent.tool_result", "agent.turn_complete", "agent.complete"])
def test_what_another_hook_raises_is_raised_to_the_caller(way: str, event: str) -> None:
    async def broken(event: HookPayload) -> None:
        raise ValueError("no rule for this")

    with desk(way, LOOK, "Done.") as on:
        agent = on.agent(looking([]))
        agent.on(event, broken)
        with pytest.raises(ValueError, match="no rule for this"):
            agent.send_message("go")


@pytest.mark.parametrize("event", ["agent.tool_call", "agent.tool_result", "agent.turn_complete"])
def test_a_hook_stops_the_run(way: str, event: str) -> None:
    with desk(way, LOOK, ["Still here.", LOOK], ["Still here.", LOOK], "never") as on:
        agent = on.agent(looking([]))
        agent.on(event, lambda event: {"decision": "stop"})
        with pytest.raises(RunCanceledError):
            agent.run("go")


def test_a_run_that_fails_is_told(way: str) -> None:
    told: list[Any] = []
    with desk(way, error("the provider is down")) as on:
        agent = on.agent()
        agent.on("agent.error", lambda event: told.append(event.data))
        agent.on("agent.complete", lambda event: told.append("complete"))
        with pytest.raises(RunFailedError):
            agent.send_message("go")
    assert told == [{"state": "failed", "error": "the provider is down"}]


def test_the_output_is_told_when_the_run_is_complete(way: str) -> None:
    told: list[Any] = []
    with desk(way, finish({"title": "T", "pages": 1})) as on:
        agent = on.agent(output_schema=REPORT, internal_tools={"finish": True})
        agent.on("agent.complete", lambda event: told.append(event.data["output"]))
        agent.run("go")
    assert told == [{"title": "T", "pages": 1}]


def test_on_is_a_decorator_too() -> None:
    with desk("memory-sync", LOOK, "Done.") as on:
        agent = on.agent(looking([]))

        @agent.on("agent.tool_call")
        def refuse(event: HookPayload) -> dict[str, Any]:
            return {"decision": "deny", "reason": event.data["tool_name"]}

        assert refuse(HookPayload(data={"tool_name": "x"})) == {"decision": "deny", "reason": "x"}
        agent.send_message("go")
        assert results(agent)[0][0] == "failed"


def test_an_event_that_a_client_does_not_see_is_refused() -> None:
    with desk("memory-sync") as on, pytest.raises(UsageError, match="the platform asks"):
        on.agent().on("agent.turn_start", lambda event: None)


@pytest.mark.parametrize("answer", [{"decision": "suspend"}, "yes", {"inject": 7}], ids=["suspend", "text", "inject"])
def test_an_answer_that_means_nothing_is_an_error(answer: Any) -> None:
    with desk("memory-sync", "never") as on:
        agent = on.agent()
        agent.on("agent.start", lambda event: answer)
        with pytest.raises(UsageError, match=r"a hook on agent\.start"):
            agent.send_message("go")
