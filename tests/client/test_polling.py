"""Without a stream: polling comes to the same end, and tells the same story with fewer steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from agentkit import ApprovalRequested, MessageChanged, ToolFinished, string, tool
from agentkit.errors import ConfigError, RunFailedError
from agentkit.protocol.events import LinkChanged
from agentkit.testing import call, error, finish, gate
from tests.client.conftest import Home
from tests.client.ways import WAYS, Desk, desk, play

POLLING = {"stream": False, "poll_seconds": 0.02}


@pytest.fixture(params=WAYS)
def home(request: pytest.FixtureRequest) -> Iterator[Home]:
    """Desks whose clients poll."""
    with ExitStack() as stack:

        def open_(*steps: Any, **options: Any) -> Desk:
            return stack.enter_context(desk(str(request.param), *steps, client=POLLING, **options))

        yield open_


def weather(handler: Any) -> Any:
    return tool("get_weather").describe("Weather").param("city", string("City")).handler(handler)


def test_a_polled_turn_never_opens_a_stream_and_ends_with_the_answer(home: Home) -> None:
    told = play(home("It is 18.").agent())
    assert told.result.text == "It is 18."
    assert "".join(told.texts().values()) == "It is 18."
    assert [each.state for each in told.of(LinkChanged)] == ["polling", "down"]


def test_polled_client_tools_run_and_are_told_once(home: Home) -> None:
    def handle(args: dict[str, Any]) -> str:
        if args["city"] == "Atlantis":
            raise LookupError("no such city")
        return "fine"

    place = home([call("get_weather", {"city": "Atlantis"}), call("get_weather", {"city": "Rome"})], "Half done.")
    told = play(place.agent(weather(handle)))
    assert told.result.text == "Half done."
    assert sorted(str(event.invocation.status) for event in told.of(ToolFinished)) == ["completed", "failed"]
    kinds = told.kinds()
    assert kinds.index("tool_called") < kinds.index("tool_started") < kinds.index("tool_finished")
    assert [kind for kind in kinds if kind == "run_started"] == ["run_started"]


def test_polled_output_is_handed_back_as_it_was_handed_in(home: Home) -> None:
    assert home(finish(42)).agent(output_type=int).run("go") == 42


def test_polled_failure_says_why(home: Home) -> None:
    with pytest.raises(RunFailedError, match="on fire"):
        home(error("the model is on fire")).agent().run("go")


def test_a_polled_approval_is_asked_for_and_answered(home: Home) -> None:
    paid: list[int] = []
    pay = tool("pay").describe("Pays").require_approval().handler(lambda args: paid.append(1) or "paid")
    agent = home(call("pay"), "Paid.").agent(pay)

    def answer(event: Any) -> None:
        if isinstance(event, ApprovalRequested):
            assert paid == []
            agent.approve(event.interrupt.resource_id)

    told = play(agent, then=answer)
    assert (paid, told.result.text) == ([1], "Paid.")
    assert len(told.of(ApprovalRequested)) == 1


def test_a_polled_approval_can_be_left_and_taken_up(home: Home) -> None:
    pay = tool("pay").describe("Pays").require_approval().handler(lambda args: "paid")
    agent = home(call("pay"), "Paid.").agent(pay)
    told = play(agent, when_parked="return")
    (waiting,) = told.result.pending
    agent.reject(waiting.resource_id, "no")
    assert agent.resume().text() == "Paid."


def test_a_polled_turn_is_stopped(home: Home) -> None:
    agent = home(["One.", gate()]).agent()
    with agent.stream("go") as turn:
        for event in turn:
            if event.kind == "run_started":
                turn.stop()
        assert event.outcome == "canceled"


def test_the_second_polled_turn_waits_for_its_own_answer(home: Home) -> None:
    agent = home("One.", "Two.").agent()
    assert [play(agent, "a").result.text, play(agent, "b").result.text] == ["One.", "Two."]


def test_polling_can_be_asked_for_one_turn_alone(home: Home) -> None:
    place = home("One.")
    streaming = place.another_client(stream=True)
    told = play(streaming.agent({"core_app": {"ref": "scripted/model"}}), stream=False)
    assert "live" not in [each.state for each in told.of(LinkChanged)]


def test_nothing_is_told_twice_however_often_it_is_fetched(home: Home) -> None:
    slow = gate()
    place = home(["One. ", slow])
    polled: list[Any] = []

    def watch(event: Any) -> None:
        polled.append(event)
        if isinstance(event, MessageChanged) and event.message.role == "assistant":
            slow.open()

    told = play(place.agent(), then=watch)
    messages = [event.message for event in told.of(MessageChanged)]
    assert all(messages[n] != messages[n - 1] for n in range(1, len(messages)))


def test_an_interval_that_is_none_is_refused() -> None:
    from agentkit import inference

    with pytest.raises(ConfigError, match="poll_interval_ms"):
        inference(api_key="inf_x", poll_interval_ms=0)
