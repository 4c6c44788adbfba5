"""Agents with many tools: searched, listed, and called by name, with all that is true of the tool that is called."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentkit.runtime.executors.internal.ranking import rank, words
from agentkit.runtime.faults import Fault
from agentkit.testing import call
from agentkit.wire import Decide
from tests.runtime.bench_executor import BenchExecutor, bench_tool
from tests.runtime.playing import ADA, OWNER, Play, client_tool, invocations, playing, texts

META = {"internal_tools": {"meta": True, "plan": False, "memory": False, "widget": False}}


def tool(name: str, description: str, **parameters: str) -> dict[str, Any]:
    properties = {each: {"type": "string", "description": said} for each, said in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": []}
    return {"name": name, "description": description, "type": "client", "client": {"input_schema": schema}}


TOOLS = [
    tool("send_mail", "Sends a letter to somebody", address="Who gets it", subject="What it is about"),
    tool("listInvoices", "Lists the bills of a customer", customer="Whose"),
    tool("convert_currency", "Converts an amount of money", amount="How much", to="The currency wanted"),
    tool("get_weather", "Tells today's weather of a city", city="Where"),
]


def via(name: str, arguments: Any = None) -> Any:
    return call("execute_tool", {"name": name, "arguments": {} if arguments is None else arguments})


async def results(play: Play) -> list[tuple[str, str, str]]:
    """Name, status and result of every call, once the run is over."""
    return [(each["function"]["name"], each["status"], each["result"]) for each in invocations(await play.idle())]


async def told(arguments: dict[str, Any], *, name: str = "search_tools", tools: list[Any] = TOOLS) -> Any:
    async with playing(call(name, arguments), "ok", tools=tools, **META) as play:
        await play.say()
        ((_, status, result),) = await results(play)
        return json.loads(result) if status == "completed" and result.startswith("{") else (status, result)


# -- looking for tools -----------------------------------------------------------------------------------------------


async def test_the_model_is_told_of_three_tools_in_place_of_all() -> None:
    async with playing("ok", tools=TOOLS, **META) as play:
        await play.say()
        await play.idle()
        assert [each.name for each in play.model.requests[0].tools] == ["search_tools", "list_tools", "execute_tool"]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("mail", "send_mail"),
        ("write a letter", "send_mail"),
        ("invoice", "listInvoices"),
        ("bills of customers", "listInvoices"),
        ("currencies", "convert_currency"),
        ("CITY", "get_weather"),
        ("what is it about", "send_mail"),
    ],
)
async def test_a_search_finds_by_name_description_and_parameters(query: str, first: str) -> None:
    found = await told({"query": query})
    assert found["tools"][0]["name"] == first
    assert found["tools"][0]["parameters"]["type"] == "object"


async def test_a_search_gives_as_many_as_are_wanted_and_says_how_many_there_are() -> None:
    tools = [tool(f"count_{number}", "Counts sheep") for number in range(30)]
    found = await told({"query": "sheep"}, tools=tools)
    assert ([each["name"] for each in found["tools"]], found["found"]) == ([f"count_{n}" for n in range(5)], 30)
    assert len((await told({"query": "sheep", "limit": 2}, tools=tools))["tools"]) == 2
    assert len((await told({"query": "sheep", "limit": 100}, tools=tools))["tools"]) == 20


async def test_a_search_without_a_hit_says_how_to_go_on() -> None:
    assert await told({"query": "zebra"}) == ("completed", "no tool fits 'zebra'; list_tools shows all 4")


async def test_a_list_is_of_all_or_of_one_category() -> None:
    tools = [*TOOLS, bench_tool("work")]
    listed = await told({}, name="list_tools", tools=tools)
    assert listed["categories"] == ["client", "http"]
    assert [each["name"] for each in listed["tools"]] == [each["name"] for each in tools]
    assert "parameters" not in listed["tools"][0]
    some = await told({"category": "http"}, name="list_tools", tools=tools)
    assert [each["name"] for each in some["tools"]] == ["work"]
    none = await told({"category": "magic"}, name="list_tools", tools=tools)
    assert none == ("failed", "there is no category 'magic'; categories: client, http")


# -- calling them ----------------------------------------------------------------------------------------------------


async def test_what_is_executed_is_a_call_of_the_tool_and_the_history_stays_the_models() -> None:
    bench = BenchExecutor()
    async with playing(via("work", {"do": "sweep"}), "swept", executors=[bench], tools=[bench_tool()], **META) as play:
        await play.say()
        (made,) = invocations(await play.idle())
        assert (made["type"], made["function"]) == ("http", {"name": "work", "arguments": {"do": "sweep"}})
        assert (made["status"], made["result"]) == ("completed", "did sweep")
        assert [(each.tool.name, each.arguments) for each in bench.calls] == [("work", {"do": "sweep"})]
        asked, answered = play.model.requests[1].messages[-2:]
        assert [(each.name, each.arguments) for each in asked.calls] == [
            ("execute_tool", {"name": "work", "arguments": {"do": "sweep"}})
        ]
        assert (answered.call_id, answered.text) == (asked.calls[0].id, "did sweep")


async def test_a_client_gets_the_tool_by_its_own_name() -> None:
    async with playing(via("look", {"q": "a"}), "seen", tools=[client_tool()], **META) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        assert (waiting["type"], waiting["function"]["name"]) == ("client", "look")
        await play.answer(waiting["id"])
        assert texts(await play.idle()) == ["", "seen"]


async def test_the_tools_own_schema_counts() -> None:
    async with playing(via("look", {"q": 3}), via("look"), "ok", tools=[client_tool()], **META) as play:
        await play.say()
        first, second = await results(play)
        assert first[:2] == second[:2] == ("look", "failed")
        assert "q: 3 is not of type 'string'" in first[2] and "'q' is a required property" in second[2]


async def test_the_tools_own_approval_counts_and_edited_arguments_are_what_the_model_sees() -> None:
    bench = BenchExecutor()
    tools = [bench_tool(require_approval=True)]
    async with playing(via("work", {"do": "burn"}), "ok", executors=[bench], tools=tools, **META) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_approval")
        assert waiting["function"] == {"name": "work", "arguments": {"do": "burn"}}
        assert bench.calls == []
        await play.platform.approvals.invoke(OWNER, waiting["id"], Decide.parse({"arguments": {"do": "sweep"}}), by=ADA)
        assert await results(play) == [("work", "completed", "did sweep")]
        assert play.model.requests[1].messages[-2].calls[0].arguments["arguments"] == {"do": "sweep"}


async def test_arguments_written_as_text_once_more_are_read() -> None:
    async with playing(via("look", '{"q": "a"}'), "ok", tools=[client_tool()], **META) as play:
        await play.say()
        assert (await play.waits_for("awaiting_input"))["function"]["arguments"] == {"q": "a"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"name": "lok", "arguments": {}}, "there is no tool 'lok'; did you mean look?", id="close"),
        pytest.param(
            {"name": "fly", "arguments": {}}, "there is no tool 'fly'; look for one with search_tools", id="far"
        ),
        pytest.param({"name": "search_tools"}, "'search_tools' is no tool to execute; call it itself", id="internal"),
        pytest.param({"name": "look", "arguments": "{"}, "arguments: '{' is not of type 'object'", id="no-json"),
        pytest.param({"name": "look", "arguments": [1]}, "arguments: [1] is not of type 'object'", id="list"),
        pytest.param({"arguments": {}}, "'name' is a required property", id="no-name"),
    ],
)
async def test_what_names_no_tool_is_answered(arguments: dict[str, Any], said: str) -> None:
    async with playing(call("execute_tool", arguments), "ok", tools=[client_tool()], **META) as play:
        await play.say()
        ((name, status, result),) = await results(play)
        assert (name, status) == ("execute_tool", "failed") and said in result


async def test_a_tool_that_is_called_directly_all_the_same_is_run() -> None:
    async with playing(call("look", {"q": "a"}), call("fly"), "ok", tools=[client_tool()], **META) as play:
        await play.say()
        await play.answer((await play.waits_for("awaiting_input"))["id"])
        looked, flew = await results(play)
        assert looked == ("look", "completed", "found")
        assert flew == ("fly", "failed", "there is no tool 'fly'; search_tools and list_tools tell what there is")


async def test_it_is_off_unless_it_is_switched_on() -> None:
    async with playing(via("look", {"q": "a"}), "ok", tools=[client_tool()]) as play:
        await play.say()
        ((name, status, result),) = await results(play)
        assert (name, status) == ("execute_tool", "failed") and "tools: look" in result
        assert "look" in [each.name for each in play.model.requests[0].tools]


async def test_tools_of_its_names_are_refused() -> None:
    async with playing("never", tools=[client_tool("list_tools")], **META) as play:
        with pytest.raises(Fault, match="two tools are called 'list_tools'"):
            await play.say()


# -- the order -------------------------------------------------------------------------------------------------------


def test_words_are_those_of_names_in_any_style() -> None:
    assert list(words("getHTTPFiles send_e-mails2 Grüße boss")) == [
        "get", "http", "file", "send", "e", "mail", "2", "gr", "üß", "e", "boss",
    ]  # fmt: skip


def test_equals_stay_in_their_order_and_rare_words_count_more() -> None:
    documents = [{"file a": 1.0}, {"file b": 1.0}, {"file b": 1.0}, {"nothing": 1.0}]
    assert rank("file", documents) == [0, 1, 2]
    assert rank("file a", documents) == [0, 1, 2]
    assert rank("b file", documents)[:2] == [1, 2]
    assert rank("", documents) == rank("!", documents) == rank("x", []) == []


def test_the_beginning_of_a_word_counts_less_than_the_word() -> None:
    assert rank("conv", [{"conversion": 1.0}, {"conv": 1.0}]) == [1, 0]
    assert rank("co", [{"conversion": 1.0}]) == []
