"""A turn, from the message to its end: text, reasoning, tools, output; the same from every client."""

from __future__ import annotations

import json
import threading
from itertools import accumulate, pairwise
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from agentkit import (
    MessageChanged,
    OutputPartial,
    ReasoningDelta,
    RunFinished,
    RunStarted,
    Runtime,
    TextDelta,
    ToolCalled,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    UsageError,
    integer,
    string,
    tool,
)
from agentkit.errors import OutputError, RunFailedError
from agentkit.runtime.answers import Limits
from agentkit.testing import Scripted, Signal, call, error, finish, gate, think
from tests.client.conftest import Home
from tests.client.ways import AGENT, Dictated, finishing, play


class Report(BaseModel):
    summary: str
    temp_c: float


def weather(handler: Any) -> Any:
    return tool("get_weather").describe("Weather").param("city", string("City")).handler(handler)


# -- text ----------------------------------------------------------------------------------------------------------


def test_a_turn_tells_its_beginning_its_text_and_its_end(home: Home) -> None:
    told = play(home("It is 18 degrees in Paris.").agent(), "Weather?")
    assert told.kinds()[0] == "run_started"
    assert told.end.outcome == "completed"
    assert told.result.text == "It is 18 degrees in Paris."
    assert told.result.output is None


def test_every_event_carries_a_rising_number_and_the_chat(home: Home) -> None:
    agent = home("Hello.").agent()
    told = play(agent)
    assert [event.seq for event in told.events] == list(range(1, len(told.events) + 1))
    assert told.end.chat_id == agent.chat_id
    assert told.end.run_id and {event.run_id for event in told.events[-3:]} == {told.end.run_id}


def test_text_deltas_joined_are_the_message(home: Home) -> None:
    text = "Ünïcode 🌦 and a line separator \u2028 stay whole, whatever a delta's size. " * 3
    pieces = [text[place : place + 11] for place in range(0, len(text), 11)]
    model = Dictated(*({"response": piece} for piece in pieces))
    told = play(home(model=model).agent(), then=lambda event: model.go_on())
    deltas = told.of(TextDelta)
    assert len(deltas) > 3
    assert "".join(event.text for event in deltas) == text == told.result.text
    assert [event.snapshot for event in deltas] == list(accumulate(event.text for event in deltas))


def test_reasoning_is_told_apart_from_the_answer(home: Home) -> None:
    told = play(home([think("Paris is in France."), "It is warm."]).agent())
    assert "".join(event.text for event in told.of(ReasoningDelta)) == "Paris is in France."
    assert "".join(event.text for event in told.of(TextDelta)) == "It is warm."
    assert told.result.text == "It is warm."


def test_a_second_turn_goes_on_in_the_same_chat(home: Home) -> None:
    place = home("One.", "Two.")
    agent = place.agent()
    first = play(agent, "first")
    second = play(agent, "second")
    assert (first.result.text, second.result.text) == ("One.", "Two.")
    assert first.end.chat_id == second.end.chat_id
    assert first.end.run_id != second.end.run_id
    assert set(first.messages()).isdisjoint(second.messages())
    assert [text for role, text in place.last_request() if role != "system"] == ["first", "One.", "second"]


def test_after_a_reset_the_next_message_starts_a_new_chat(home: Home) -> None:
    place = home("One.", "Two.")
    agent = place.agent()
    before = play(agent, "first").end.chat_id
    agent.reset()
    assert agent.chat_id is None
    assert play(agent, "second").end.chat_id != before
    assert [text for role, text in place.last_request() if role != "system"] == ["second"]


def test_send_message_returns_the_last_message_and_calls_back(home: Home) -> None:
    agent = home("It is warm.").agent()
    messages: list[Any] = []
    chats: list[Any] = []
    events: list[Any] = []
    last = agent.send_message("Weather?", on_message=messages.append, on_chat=chats.append, on_event=events.append)
    assert last.content[0].text == "It is warm."
    assert messages[-1].id == last.id and messages[-1].get("status") == "ready"
    assert chats[-1].status == "idle"
    assert isinstance(events[-1], RunFinished)


def test_a_failing_model_fails_the_turn_with_its_reason(home: Home) -> None:
    told = play(home(error("the model is on fire")).agent())
    assert told.end.outcome == "failed"
    assert isinstance(told.error, RunFailedError)
    assert "the model is on fire" in str(told.error)
    assert told.error.chat_id == told.end.chat_id


def test_a_message_that_is_no_text_is_refused_with_the_way_out(home: Home) -> None:
    agent = home().agent()
    with pytest.raises(UsageError, match="files="):
        agent.run(b"bytes")


def test_a_message_with_half_a_surrogate_pair_is_refused_before_it_is_sent(home: Home) -> None:
    agent = home().agent()
    with pytest.raises(UsageError, match="surrogate"):
        agent.run("half \ud83c of a flag")


# -- client tools --------------------------------------------------------------------------------------------------


def test_a_handler_runs_here_and_the_model_reads_its_result(home: Home) -> None:
    place = home(call("get_weather", {"city": "Paris"}), "It is 18.")
    told = play(place.agent(weather(lambda args: {"city": args["city"], "temp_c": 18})))
    assert told.result.text == "It is 18."
    assert ("tool", '{"city":"Paris","temp_c":18}') in place.last_request()
    kinds = told.kinds()
    assert kinds.index("tool_called") < kinds.index("tool_started") < kinds.index("tool_finished")
    assert [event.invocation.status for event in told.of(ToolFinished)] == ["completed"]


def test_an_async_handler_is_awaited(home: Home) -> None:
    async def handle(args: dict[str, Any]) -> str:
        await anyio.sleep(0)
        return f"sunny in {args['city']}"

    place = home(call("get_weather", {"city": "Rome"}), "Sunny.")
    told = play(place.agent(weather(handle)))
    assert told.result.text == "Sunny."
    assert ("tool", "sunny in Rome") in place.last_request()


def test_handlers_of_one_answer_run_at_the_same_time(home: Home) -> None:
    both = threading.Barrier(2)

    def handle(args: dict[str, Any]) -> int:
        return both.wait(timeout=5) * 0 + 1  # passes only when the other is here too

    place = home([call("get_weather", {"city": "A"}), call("get_weather", {"city": "B"})], "Done.")
    told = play(place.agent(weather(handle)))
    assert told.result.text == "Done."
    assert [text for role, text in place.last_request() if role == "tool"] == ["1", "1"]


@pytest.mark.requirement("turn:handler-error")
def test_a_handler_that_raises_becomes_a_result_and_its_siblings_go_on(home: Home) -> None:
    def handle(args: dict[str, Any]) -> str:
        if args["city"] == "Atlantis":
            raise LookupError("no such city")
        return "fine"

    place = home([call("get_weather", {"city": "Atlantis"}), call("get_weather", {"city": "Rome"})], "Half done.")
    told = play(place.agent(weather(handle)))
    assert told.result.text == "Half done."
    results = [text for role, text in place.last_request() if role == "tool"]
    assert json.loads(results[0]) == {"error": "LookupError: no such city"}
    assert results[1] == "fine"
    assert sorted(str(event.invocation.status) for event in told.of(ToolFinished)) == ["completed", "failed"]


def test_arguments_that_miss_the_schema_never_reach_the_handler(home: Home) -> None:
    called: list[Any] = []
    place = home(call("get_weather", {"town": 7}), "Sorry.")
    told = play(place.agent(weather(called.append)))
    assert told.result.text == "Sorry."
    assert called == []
    (result,) = [text for role, text in place.last_request() if role == "tool"]
    assert "city" in result


def test_arguments_that_are_no_json_become_an_error_the_model_reads(home: Home) -> None:
    called: list[Any] = []
    place = home(call("get_weather", raw='{"city": "Par'), "Sorry.")
    told = play(place.agent(weather(called.append)))
    assert told.result.text == "Sorry."
    assert called == []


def test_an_unknown_tool_becomes_an_error_the_model_reads(home: Home) -> None:
    place = home(call("launch_rocket", {}), "I cannot.")
    told = play(place.agent(weather(lambda args: "fine")))
    assert told.result.text == "I cannot."
    (result,) = [text for role, text in place.last_request() if role == "tool"]
    assert "launch_rocket" in result


@pytest.mark.parametrize(
    "value", [b"bytes", float("nan"), object(), "half \ud83c"], ids=["bytes", "nan", "object", "surrogate"]
)
def test_a_result_that_json_cannot_carry_becomes_an_error_the_model_reads(home: Home, value: Any) -> None:
    place = home(call("get_weather", {"city": "Rome"}), "Sorry.")
    told = play(place.agent(weather(lambda args: value)))
    assert told.result.text == "Sorry."
    (result,) = [text for role, text in place.last_request() if role == "tool"]
    assert "JSON cannot carry" in json.loads(result)["error"]


def test_an_error_text_that_utf8_cannot_carry_still_answers_the_call(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "agentkit.tools")  # a test report travels as UTF-8, with what was logged in it

    def handle(args: dict[str, Any]) -> None:
        raise OSError("no such file: \udcff")

    place = home(call("get_weather", {"city": "Rome"}), "Sorry.")
    told = play(place.agent(weather(handle)))
    assert told.result.text == "Sorry."
    (result,) = [text for role, text in place.last_request() if role == "tool"]
    assert "no such file" in json.loads(result)["error"]


def test_a_handler_that_asks_for_ctx_can_tell_its_progress(home: Home) -> None:
    def handle(args: dict[str, Any], ctx: Any) -> str:
        ctx.progress("half way", fraction=0.5, data={"rows": 3})
        return ctx.invocation_id

    place = home(call("get_weather", {"city": "Rome"}), "Done.")
    told = play(place.agent(weather(handle)))
    (progress,) = told.of(ToolProgress)
    (started,) = told.of(ToolStarted)
    assert (progress.message, progress.fraction, progress.data) == ("half way", 0.5, {"rows": 3})
    assert progress.invocation_id == started.invocation.id
    assert told.events.index(started) < told.events.index(progress)
    assert ("tool", started.invocation.id) in place.last_request()


def test_a_handler_that_takes_too_long_fails_and_the_turn_goes_on(home: Home) -> None:
    release, told_off = threading.Event(), Signal()

    def handle(args: dict[str, Any], ctx: Any) -> str:
        release.wait(10)
        if ctx.cancelled:
            told_off.set()
        return "too late"

    place = home(call("get_weather", {"city": "Rome"}), "It took too long.")
    try:
        told = play(place.agent(weather(handle), tool_timeout_seconds=0.05))
    finally:
        release.set()
    assert told.result.text == "It took too long."
    (result,) = [text for role, text in place.last_request() if role == "tool"]
    assert "longer than 0.05 s" in json.loads(result)["error"]
    told_off.wait_sync()


def test_a_result_that_comes_after_its_time_is_ignored(home: Home) -> None:
    release, returned, thinking = threading.Event(), Signal(), gate()

    def handle(args: dict[str, Any]) -> str:
        release.wait(10)
        returned.set()
        return "too late"

    def go_on(event: Any) -> None:
        if event.kind == "tool_finished":
            release.set()
            returned.wait_sync()
            thinking.open()

    place = home(call("get_weather", {"city": "Rome"}), [thinking, "It took too long."])
    told = play(place.agent(weather(handle), tool_timeout_seconds=0.05), then=go_on)
    assert told.result.text == "It took too long."
    assert "too late" not in str(place.last_request())


def test_an_async_handler_that_takes_too_long_fails_and_the_turn_goes_on(home: Home) -> None:
    ended = Signal()

    async def handle(args: dict[str, Any]) -> str:
        try:
            await anyio.sleep(10)
        finally:
            ended.set()
        return "too late"

    place = home(call("get_weather", {"city": "Rome"}), "It took too long.")
    told = play(place.agent(weather(handle), tool_timeout_seconds=0.05))
    assert told.result.text == "It took too long."
    ended.wait_sync(timeout_seconds=2)


def test_the_same_call_gets_the_same_idempotency_key_and_another_gets_another(home: Home) -> None:
    keys: list[tuple[str, str]] = []

    def handle(args: dict[str, Any], ctx: Any) -> str:
        keys.append((args["city"], ctx.idempotency_key))
        return "ok"

    place = home([call("get_weather", {"city": "A"}), call("get_weather", {"city": "B"})], "Done.")
    play(place.agent(weather(handle)))
    assert len({key for _, key in keys}) == 2


def test_on_tool_call_hears_of_each_client_call_once(home: Home) -> None:
    place = home([call("get_weather", {"city": "A"}), call("get_weather", {"city": "B"})], "Done.")
    heard: list[Any] = []
    place.agent(weather(lambda args: "ok")).send_message("go", on_tool_call=heard.append)
    assert [(each.name, each.args) for each in heard] == [
        ("get_weather", {"city": "A"}),
        ("get_weather", {"city": "B"}),
    ]


def test_a_tool_without_a_handler_is_answered_by_hand(home: Home) -> None:
    place = home(call("get_weather", {"city": "Rome"}), "It is 25.")
    agent = place.agent(tool("get_weather").describe("w").param("city", string("City")).build())
    heard: list[Any] = []

    def answer(event: Any) -> None:
        if event.kind == "tool_awaited":
            heard.append(event.invocation.function.name)
            agent.submit_tool_result(event.invocation.id, {"temp_c": 25})

    told = play(agent, then=answer)
    assert heard == ["get_weather"]
    assert told.result.text == "It is 25."
    assert ("tool", '{"temp_c":25}') in place.last_request()


def test_events_come_in_the_order_in_which_things_happen(home: Home) -> None:
    place = home(["Let me look.", call("get_weather", {"city": "Rome"})], "It is 25.")
    told = play(place.agent(weather(lambda args: 25)))
    (called,), (started,), (finished,) = told.of(ToolCalled), told.of(ToolStarted), told.of(ToolFinished)
    first, second = told.messages().values()
    places = [
        told.events.index(each)
        for each in (
            told.of(RunStarted)[0],
            next(event for event in told.of(TextDelta) if event.message_id == first.id),
            called,
            started,
            finished,
            next(event for event in told.of(TextDelta) if event.message_id == second.id),
            [event for event in told.of(MessageChanged) if event.message.id == second.id][-1],
            told.end,
        )
    ]
    assert places == sorted(places)


# -- output --------------------------------------------------------------------------------------------------------


def test_a_typed_output_comes_back_as_that_type(home: Home) -> None:
    agent = home(finish({"summary": "warm", "temp_c": 25})).agent(output_type=Report)
    assert agent.run("Weather?") == Report(summary="warm", temp_c=25)


@pytest.mark.parametrize(
    ("kind", "value"), [(int, 42), (list[str], ["a", "b"]), (bool, True)], ids=["int", "list", "bool"]
)
def test_an_output_that_is_no_object_is_unwrapped(home: Home, kind: Any, value: Any) -> None:
    assert home(finish(value)).agent(output_type=kind).run("go") == value


def test_an_output_that_misses_its_schema_is_handed_back_to_the_model(home: Home) -> None:
    place = home(finish({"summary": "warm"}), finish({"summary": "warm", "temp_c": 25}))
    assert place.agent(output_type=Report).run("Weather?") == Report(summary="warm", temp_c=25)
    assert any("temp_c" in text for role, text in place.last_request() if role == "tool")


def test_an_output_that_stays_wrong_fails_the_run(home: Home) -> None:
    place = home(finish({"summary": 1}), finish({"summary": 2}), limits=Limits(output_attempts=2))
    with pytest.raises(RunFailedError, match="summary"):
        place.agent(output_type=Report).run("Weather?")


def test_an_agent_that_never_hands_in_its_output_is_an_error(home: Home) -> None:
    place = home("Just words.", "Still just words.")
    with pytest.raises((OutputError, RunFailedError), match=r"(?i)result|words"):
        place.agent(output_type=Report).run("Weather?")


def test_without_an_output_type_a_run_without_output_returns_none(home: Home) -> None:
    assert home("Just words.").agent().run("Weather?") is None


def test_the_output_of_one_turn_is_not_that_of_the_next(home: Home) -> None:
    agent = home(finish({"summary": "warm", "temp_c": 25}), "Just words.", "Just words.").agent(
        output_schema={"type": "object", "properties": {"summary": {"type": "string"}}}, internal_tools={"finish": True}
    )
    assert agent.run("one")["summary"] == "warm"
    assert agent.run("two") is None


def test_the_output_grows_while_it_is_written(home: Home) -> None:
    words = [f"word{number} " for number in range(20)]
    model = Dictated(*finishing('{"summary": "', *words, 'end", "temp_c": 25}'))
    told = play(home(model=model).agent(output_type=Report), then=lambda event: model.go_on())
    partials = [event.partial for event in told.of(OutputPartial)]
    assert partials[-1] == {"summary": "".join(words) + "end", "temp_c": 25} == told.result.output.model_dump()
    assert len(partials) > 5
    summaries = [each.get("summary", "") for each in partials]
    assert all(later.startswith(earlier) for earlier, later in pairwise(summaries))


def test_an_output_type_of_a_stored_agent_parses_what_it_hands_in(home: Home) -> None:
    schema = Report.model_json_schema()
    agents = {
        "acme/reporter": {
            "core_app": {"ref": "scripted/model"},
            "output_schema": schema,
            "internal_tools": {"finish": True},
        }
    }
    place = home(finish({"summary": "warm", "temp_c": 25}), agents=agents)
    agent = place.client.agent("acme/reporter", output_type=Report)
    assert agent.run("Weather?") == Report(summary="warm", temp_c=25)


def test_tools_given_to_a_stored_agent_run_here(home: Home) -> None:
    adder = tool("add").describe("Adds").param("a", integer("a")).param("b", integer("b")).handler(lambda a, b: a + b)
    agents = {"acme/adder": {"core_app": {"ref": "scripted/model"}, "tools": [dict(adder.spec)]}}
    place = home(call("add", {"a": 2, "b": 3}), "Five.", agents=agents)
    told = play(place.client.agent("acme/adder", tools=[adder]))
    assert told.result.text == "Five."
    assert ("tool", "5") in place.last_request()


# -- what is no Exception ------------------------------------------------------------------------------------------


class Unstoppable(BaseException):
    """Not for a model to read."""


@pytest.mark.parametrize("way", ["memory-sync", "socket-sync"])
def test_what_a_handler_raises_beyond_exceptions_ends_the_turn_in_the_caller(way: str, home: Home) -> None:
    place = home(call("get_weather", {"city": "Rome"}), "Sorry.")
    with pytest.raises(Unstoppable, match="out of the handler"):
        place.agent(weather(_unstoppable)).run("go")


async def test_what_a_handler_raises_beyond_exceptions_ends_the_async_turn_in_the_caller() -> None:
    script = Scripted([call("get_weather", {"city": "Rome"}), "Sorry."])
    async with Runtime(models={"scripted": script}, environ={}) as runtime, runtime.async_client() as client:
        with pytest.raises(Unstoppable, match="out of the handler"):
            await client.agent({**AGENT, "tools": [weather(_unstoppable)]}).run("go")


def _unstoppable(args: dict[str, Any]) -> None:
    raise Unstoppable("out of the handler")


def test_a_result_that_the_platform_does_not_take_is_told_to_the_model(home: Home) -> None:
    place = home(call("get_weather", {"city": "Paris"}), "Too much of it.")
    told = play(place.agent(weather(lambda args: "rain " * (3 << 20))))
    assert told.result.text == "Too much of it."
    [(_, read)] = [each for each in place.last_request() if each[0] == "tool"]
    assert read.startswith('{"error":"the result of this call was not taken: HTTP 413') and "larger than" in read
