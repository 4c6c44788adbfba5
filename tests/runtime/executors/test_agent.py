"""Tools of type `agent`: a chat below the chat, whose end is the result of the call; which agents, and how many."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentkit.runtime.budgets import Limits
from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import ModelRequest
from agentkit.runtime.records import BudgetRecord, ChatRecord, RunRecord
from agentkit.testing import call, error, finish, gate
from agentkit.wire import (
    CreateAgentRequest,
    RunAgentRequest,
)
from tests.runtime.bench_executor import BenchExecutor, bench_tool
from tests.runtime.executors.asking import (
    CHILD,
    GRANDCHILD,
    agent_tool,
    ask,
    asked_with,
    at_rest,
    begun,
    below,
    child,
    log,
    only_call,
)
from tests.runtime.playing import OWNER, REPORT, client_tool, invocations, playing, texts

# -- asked and answered ----------------------------------------------------------------------------------------------


async def test_the_childs_last_text_is_the_result() -> None:
    scripts = {"model": [ask("Who is Ada?"), "So it is."], "child": ["A countess."]}
    async with playing(scripts=scripts, tools=[agent_tool()]) as play:
        await play.say()
        made = await only_call(play)
        assert (made["status"], made["result"], made["type"]) == ("completed", "A countess.", "agent")
        (chat,) = [await each.chat() for each in await below(play)]
        assert made["execution_id"] == chat["id"] and chat["parent_id"] == play.chat_id
        assert chat["parent_invocation_id"] == made["id"] and chat["active_run"]["tool_invocation_id"] == made["id"]
        assert texts(chat, "user") == ["Who is Ada?"] and texts(chat) == ["A countess."]
        assert (chat["name"], chat["status"]) == ("helper", "idle")
        whole = await play.chat()
        assert texts(whole) == ["", "So it is."]
        assert [each["id"] for each in whole["children"]] == [chat["id"]]
        assert play.model.requests[-1].messages[-1].text == "A countess."
        await at_rest(play)
        play.model.assert_complete()


@pytest.mark.requirement("sub-agent:result")
@pytest.mark.parametrize(
    ("more", "handed_in", "result"),
    [
        pytest.param({}, {"result": "42"}, "42", id="plain"),
        pytest.param({}, {"result": "42", "note": 1}, '{"result":"42","note":1}', id="more-than-plain"),
        pytest.param({"output_schema": REPORT}, {"title": "T", "pages": 2}, '{"title":"T","pages":2}', id="schema"),
    ],
)
async def test_what_finish_hands_in_is_the_result(more: Any, handed_in: Any, result: str) -> None:
    scripts = {"model": [ask(), "ok"], "child": [call("finish", handed_in)]}
    async with playing(scripts=scripts, tools=[agent_tool(child(**more))]) as play:
        await play.say()
        made = await only_call(play)
        assert (made["status"], made["result"], made["data"]) == ("completed", result, handed_in)
        assert "finish" in [tool.name for tool in asked_with(play, "child")[0].tools]
        assert "finish" not in [tool.name for tool in asked_with(play, "model")[0].tools]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"message": "hello"}, "hello", id="message"),
        pytest.param({"input": "hello"}, "hello", id="input"),
        pytest.param({"city": "Paris"}, '{"city":"Paris"}', id="other-name"),
        pytest.param({"message": "hello", "n": 1}, '{"message":"hello","n":1}', id="two"),
        pytest.param({}, "{}", id="none"),
    ],
)
async def test_the_arguments_are_the_first_message(arguments: Any, message: str) -> None:
    tool = agent_tool(agent={"input_schema": {"type": "object"}})
    async with playing(scripts={"model": [call("ask", arguments), "ok"], "child": ["ok"]}, tools=[tool]) as play:
        await play.say()
        assert (await only_call(play))["status"] == "completed"
        assert asked_with(play, "child")[0].messages[0].text == message


async def test_what_misses_the_schema_begins_nothing() -> None:
    async with playing(scripts={"model": [call("ask", {"message": 7}), "ok"]}, tools=[agent_tool()]) as play:
        await play.say()
        made = await only_call(play)
        assert made["status"] == "failed" and "message:" in made["result"]
        assert await below(play) == []


async def test_a_child_that_fails_fails_the_call() -> None:
    scripts = {"model": [ask(), "ok"], "child": [error("the lines are down")]}
    async with playing(scripts=scripts, tools=[agent_tool()]) as play:
        await play.say()
        made = await only_call(play)
        assert (made["status"], made["result"]) == ("failed", "the sub-agent failed: the lines are down")


async def test_the_childs_context_is_the_parents_with_its_own_defaults() -> None:
    given = child(context=[{"name": "tenant", "required": True}, {"name": "tone", "default": "dry"}])
    async with playing(scripts={"model": [ask(), "ok"], "child": ["ok"]}, tools=[agent_tool(given)]) as play:
        await play.say(context={"tenant": "acme"})
        await play.idle()
        (chat,) = [await each.chat() for each in await below(play)]
        assert chat["context"] == {"tenant": "acme", "tone": "dry"}
    async with playing(scripts={"model": [ask(), "ok"]}, tools=[agent_tool(given)]) as play:
        await play.say()
        made = await only_call(play)
        assert made["status"] == "failed" and "'tenant' is required" in made["result"]


async def test_an_agent_that_comes_along_without_a_model_uses_that_of_its_parent() -> None:
    tool = agent_tool({"system_prompt": "Be brief."})
    async with playing(ask(), "brief", "ok", tools=[tool]) as play:
        await play.say()
        assert (await only_call(play))["result"] == "brief"
        assert play.model.requests[1].system_prompt == "Be brief."


async def test_children_side_by_side_up_to_the_cap_and_the_others_in_line() -> None:
    gates = [gate() for _ in range(5)]
    answers = [[each, f"done {number}"] for number, each in enumerate(gates)]
    steps = [[ask(f"job {number}") for number in range(5)], "all"]
    async with playing(
        scripts={"model": steps, "child": answers}, tools=[agent_tool()], limits=Limits(parallel_tools=2)
    ) as play:
        await play.say()
        chats = await begun(play, 5)
        await gates[1].reached.wait()
        assert not gates[2].reached
        statuses = [(await each.chat())["status"] for each in chats]
        assert statuses.count("busy") == 2
        for each in gates:
            each.open()
        chat = await play.idle()
        assert sorted(each["result"] for each in invocations(chat)) == [f"done {number}" for number in range(5)]
        assert {each["status"] for each in invocations(chat)} == {"completed"}
        play.model.assert_complete()


async def test_an_answer_too_large_is_cut_and_its_whole_is_a_file() -> None:
    scripts = {"model": [ask(), "ok"], "child": [finish("0123456789" * 100)]}
    async with playing(scripts=scripts, tools=[agent_tool()], limits=Limits(result_chars=50)) as play:
        await play.say()
        made = await only_call(play)
        assert made["status"] == "completed" and made["result"].startswith("0123456789" * 5 + "\n\n[characters 0 to 50")
        (file,) = made["attachments"]
        assert file["filename"] == f"{made['id']}.result.txt"
        found = await play.platform.files.read_uri(file["uri"])
        assert found is not None and found[0] == b"0123456789" * 100
        await at_rest(play)


async def test_a_finished_child_may_be_talked_to_and_the_settled_call_stays() -> None:
    scripts = {"model": [ask(), "ok"], "child": ["first", "second"]}
    async with playing(scripts=scripts, tools=[agent_tool()]) as play:
        await play.say()
        made = await only_call(play)
        seen = len(await log(play))
        (chat,) = await below(play)
        await play.platform.chats.run(
            OWNER, RunAgentRequest.parse({"chat_id": chat.chat_id, "input": {"text": "and then?"}})
        )
        await chat.until(lambda now: texts(now)[-1] == "second" and now["status"] == "idle")
        (again,) = invocations(await play.chat())
        assert again == made
        assert len(await log(play)) == seen


# -- stored agents ---------------------------------------------------------------------------------------------------


async def test_a_stored_agent_is_asked_at_the_version_of_the_message() -> None:
    agents = {"local/helper": child(description="Helps with what nobody knows.")}
    scripts = {"model": [ask(), "ok"], "child": ["the first"]}
    async with playing(scripts=scripts, agents=agents, tools=[agent_tool("local/helper")]) as play:
        await play.say()
        made = await only_call(play)
        assert made["result"] == "the first"
        (offered,) = [tool for tool in asked_with(play, "model")[0].tools if tool.name == "ask"]
        assert offered.description == "Helps with what nobody knows."
        assert offered.parameters["required"] == ["message"]
        (chat,) = [await each.chat() for each in await below(play)]
        stored = await play.platform.agents.by_name(OWNER, "local", "helper")
        assert (chat["agent_id"], chat["agent_version_id"]) == (stored["id"], stored["version_id"])


@pytest.mark.parametrize(
    ("agent", "code", "says"),
    [
        pytest.param({"ref": "local/nobody"}, "not_found", "tool 'ask': agent 'local/nobody' not found", id="unknown"),
        pytest.param({"ref": "local/helper@v0"}, "not_found", "has no version 'v0'", id="version"),
        pytest.param({"id": "nothing"}, "not_found", "agent 'nothing' not found", id="id"),
        pytest.param({"ref": "a b"}, "invalid_request", "white space", id="no-reference"),
        pytest.param({}, "validation_error", "needs ref or id or config", id="nothing"),
        pytest.param({"ref": "local/helper", "config": {}}, "invalid_request", "not both", id="both"),
        pytest.param({"config": {"tools": 5}}, "validation_error", "its agent: tools", id="no-agent"),
        pytest.param(
            {"config": {"tools": [client_tool(), client_tool()]}}, "invalid_request", "two tools", id="bad-agent"
        ),
        pytest.param(
            {"config": {"tools": [agent_tool("local/nobody")]}},
            "not_found",
            "tool 'ask': tool 'ask': agent 'local/nobody'",
            id="below",
        ),
    ],
)
async def test_an_agent_that_is_none_is_refused_at_the_start(agent: Any, code: str, says: str) -> None:
    async with playing("never", agents={"local/helper": CHILD}) as play:
        play.config["tools"] = [{"name": "ask", "type": "agent", "agent": agent}]
        with pytest.raises(Fault, match=says) as caught:
            await play.say()
        assert caught.value.code == code


async def test_definitions_in_definitions_have_an_end() -> None:
    nested: dict[str, Any] = dict(CHILD)
    for _ in range(40):
        nested = child(tools=[agent_tool(nested)])
    async with playing("never", tools=[agent_tool(nested)]) as play:
        with pytest.raises(Fault, match="16 deep at most"):
            await play.say()


async def test_an_agent_deleted_meanwhile_fails_the_call() -> None:
    reached = gate()
    scripts = {"model": [[reached, ask()], "ok"]}
    async with playing(scripts=scripts, agents={"local/helper": CHILD}, tools=[agent_tool("local/helper")]) as play:
        await play.say()
        await reached.reached.wait()
        stored = await play.platform.agents.by_name(OWNER, "local", "helper")
        await play.platform.agents.delete(OWNER, stored["id"])
        reached.open()
        made = await only_call(play)
        assert made["status"] == "failed" and "not found" in made["result"]


async def test_another_owners_agent_does_not_exist() -> None:
    async with playing("never") as play:
        request = CreateAgentRequest.parse({"name": "helper", "namespace": "eve", "version": CHILD})
        await play.platform.agents.create("eve", request)
        play.config["tools"] = [agent_tool("eve/helper")]
        with pytest.raises(Fault, match="agent 'eve/helper' not found"):
            await play.say()


# -- without end -----------------------------------------------------------------------------------------------------


def recursing(agents: int = 1) -> dict[str, Any]:
    """Stored agents of which each asks the next, and the last the first."""
    return {
        f"local/a{number}": {
            "core_app": {"ref": f"scripted/a{number}"},
            "tools": [agent_tool(f"local/a{(number + 1) % agents}")],
        }
        for number in range(agents)
    }


async def test_an_agent_that_asks_itself_the_same_is_told_at_once() -> None:
    scripts = {"a0": [ask("go on"), "enough"]}
    async with playing(scripts=scripts, agents=recursing()) as play:
        await play.say("go on", agent="local/a0", agent_config=None)
        made = await only_call(play)
        assert made["status"] == "failed" and "asked this very question already" in made["result"]
        assert await below(play) == []


async def test_agents_that_ask_each_other_the_same_in_a_ring_are_told() -> None:
    scripts = {"a0": [ask("round"), "enough"], "a1": [ask("round"), "no"], "a2": [ask("round"), "no"]}
    async with playing(scripts=scripts, agents=recursing(3)) as play:
        await play.say("round", agent="local/a0", agent_config=None)
        await play.idle()
        told = [each.messages[-1].text for each in asked_with(play, "a2") if each.messages[-1].role == "tool"]
        assert len(told) == 1 and "asked this very question already" in told[0]
        play.model.assert_complete()


@pytest.mark.requirement("sub-agent:depth")
async def test_an_agent_that_asks_itself_ever_new_things_ends_at_the_depth_limit() -> None:
    numbers = iter(range(100))

    def more(request: ModelRequest) -> Any:
        if request.messages[-1].role == "tool":
            return f"told: {request.messages[-1].text[:30]}"
        return ask(f"question {next(numbers)}")

    async with playing(scripts={"a0": [more] * 20}, agents=recursing(), limits=Limits(depth=3)) as play:
        await play.say("go", agent="local/a0", agent_config=None)
        made = await only_call(play)
        assert made["status"] == "completed"
        chats = await play.platform._store.read(lambda tx: tx.find(ChatRecord))
        assert sorted(each.depth for each in chats) == [0, 1, 2, 3]
        deepest = max(chats, key=lambda each: each.depth)
        (refused,) = invocations(await play.platform.chats.get(OWNER, deepest.id))
        assert refused["status"] == "failed" and "sub-agents nest 3 deep at most" in refused["result"]


# -- budgets ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("sub-agent:budget")
async def test_model_calls_count_for_the_whole_tree() -> None:
    scripts = {
        "model": [ask("one"), ask("two"), "never"],
        "child": [call("look", {"q": "a"}), "one done", "two done"],
    }
    tools = [agent_tool(child(tools=[bench_tool("look", http={"url": "http://127.0.0.1/"})]))]
    async with playing(scripts=scripts, executors=[BenchLook()], tools=tools, limits=Limits(turns=5)) as play:
        await play.say()
        chat = await play.idle()
        assert [each["result"] for each in invocations(chat)] == ["one done", "two done"]
        assert chat["active_run"]["error"] == "the run and its sub-agents asked the model 5 times, which is the limit"
        (budget,) = await play.platform._store.read(lambda tx: tx.find(BudgetRecord))
        assert (budget.turns, budget.tool_calls, budget.id) == (5, 3, chat["active_run"]["id"])
        runs = await play.platform._store.read(lambda tx: tx.find(RunRecord))
        assert [each.budget_id for each in runs] == [None, budget.id, budget.id]


async def test_a_child_that_reaches_the_limit_ends_and_so_does_the_tree() -> None:
    scripts = {"model": [ask()], "child": [ask()], "grandchild": [call("look", {"q": "a"})] * 9}
    expert = {**GRANDCHILD, "tools": [bench_tool("look", http={"url": "http://127.0.0.1/"})]}
    tools = [agent_tool(child(tools=[agent_tool(expert)]))]
    async with playing(scripts=scripts, executors=[BenchLook()], tools=tools, limits=Limits(turns=6)) as play:
        await play.say()
        chat = await play.idle()
        (made,) = invocations(chat)
        limit = "the run and its sub-agents asked the model 6 times, which is the limit"
        assert made["result"] == f"the sub-agent failed: {limit}" and chat["active_run"]["error"] == limit
        assert len(play.model.requests) == 6


async def test_tool_calls_count_for_the_whole_tree() -> None:
    scripts = {"model": [ask(), "never"], "child": [[call("look", {"q": str(n)}) for n in range(4)], "done", "more"]}
    tools = [agent_tool(child(tools=[bench_tool("look", http={"url": "http://127.0.0.1/"})]))]
    async with playing(scripts=scripts, executors=[BenchLook()], tools=tools, limits=Limits(tool_calls=4)) as play:
        await play.say()
        (made,) = invocations(await play.idle())
        assert "asked for 5 tool calls; the limit is 4" in made["result"]


class BenchLook(BenchExecutor):
    """Answers whatever it is asked."""

    async def execute(self, call: Any, desk: Any) -> Any:
        return await super().execute(_with_do(call), desk)


def _with_do(call: Any) -> Any:
    return replace(call, arguments={"do": "look", **call.arguments})
