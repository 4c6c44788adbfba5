"""Tools of type `agent`: a chat below the chat, whose end is the call's result, and the chat that is handed over."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit.runtime import children
from agentkit.runtime.budgets import Limits
from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import ModelRequest
from agentkit.runtime.records import BudgetRecord, ChatRecord, InvocationRecord, RunRecord
from agentkit.testing import call, error, finish, gate, hang
from agentkit.wire import CreateAgentRequest, Decide, RejectTool, ResolveInterrupt, RunAgentRequest, ToolType
from tests.runtime.bench_executor import BenchExecutor, bench_tool
from tests.runtime.playing import OWNER, REPORT, Play, client_tool, invocations, playing, texts

CHILD: dict[str, Any] = {"core_app": {"ref": "scripted/child"}, "name": "helper"}
GRANDCHILD: dict[str, Any] = {"core_app": {"ref": "scripted/grandchild"}, "name": "expert"}


def agent_tool(config: Mapping[str, Any] | str = CHILD, *, name: str = "ask", agent: Any = None, **more: Any) -> Any:
    """A tool that asks this agent: one that comes along, or a stored one by reference."""
    asked = {"ref": config} if isinstance(config, str) else {"config": dict(config)}
    return {"name": name, "type": "agent", "agent": {**asked, **(agent or {})}, **more}


def ask(message: str = "please", **more: Any) -> Any:
    return call("ask", {"message": message}, **more)


def child(**more: Any) -> dict[str, Any]:
    return {**CHILD, **more}


async def only_call(play: Play) -> dict[str, Any]:
    """The one call of the chat, once its run is over."""
    (made,) = invocations(await play.idle())
    return made


async def below(play: Play, *, parent_id: str | None = None) -> list[Play]:
    """The chats of sub-agents, in the order they began."""
    wanted = parent_id or play.chat_id
    found = await play.platform._store.read(lambda tx: tx.find(ChatRecord, parent_id=wanted))
    return [Play(play.platform, play.model, {}, each.id) for each in found]


async def begun(play: Play, count: int = 1) -> list[Play]:
    """The sub-agents' chats, as soon as there are so many."""
    with anyio.fail_after(10):
        async with aclosing(await play.platform.chats.watch(OWNER, str(play.chat_id))) as frames:
            async for _ in frames:
                if len(found := await below(play)) >= count:
                    return found
    raise AssertionError("unreachable")


async def log(play: Play, chat_id: str | None = None) -> list[Any]:
    """Everything that was told of a chat."""
    return await play.platform._store.read(lambda tx: tx.events(chat_id or str(play.chat_id)))


def asked_with(play: Play, model: str) -> list[ModelRequest]:
    return [each for each in play.model.requests if each.model == model]


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
        assert await play.platform._store.read(lambda tx: tx.wakes()) == []
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
        assert await play.platform._store.read(lambda tx: tx.wakes()) == []


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
        pytest.param({}, "invalid_request", "name the agent", id="nothing"),
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
    from dataclasses import replace

    return replace(call, arguments={"do": "look", **call.arguments})


# -- people ----------------------------------------------------------------------------------------------------------


def paying(**more: Any) -> dict[str, Any]:
    """A child with a tool that a person approves."""
    return child(tools=[client_tool("pay", approval=True, **more)])


PAY = call("pay", {"q": "Ann"})


async def parked(play: Play) -> dict[str, Any]:
    """The chat once it waits for a person."""
    return await play.until(lambda chat: chat["status"] == "awaiting_input")


@asynccontextmanager
async def parked_below(depth: int = 1, **more: Any) -> AsyncGenerator[tuple[Play, dict[str, Any]]]:
    """A chat that waits for an approval so deep below; and the question."""
    config: dict[str, Any] = paying(**more)
    for _ in range(depth - 1):
        config = {"core_app": {"ref": "scripted/between"}, "tools": [agent_tool(config)]}
    scripts = {
        "model": [ask("pay"), "over"],
        "between": [ask("pay")] * (depth - 1) + ["paid"] * 9,
        "child": [PAY, "ok"],
    }
    async with playing(scripts=scripts, tools=[agent_tool(config)]) as play:
        await play.say()
        chat = await parked(play)
        (asked,) = chat["pending_interrupts"]
        yield play, asked


@pytest.mark.requirement("sub-agent:approvals-surface")
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("by", ["call", "interrupt"])
async def test_an_approval_below_parks_the_whole_line_and_carries_it_on(depth: int, by: str) -> None:
    async with parked_below(depth) as (play, asked):
        chat = await play.chat()
        assert (chat["active_run"]["state"], chat["active_run"]["interrupt_reason"]) == (
            "input_required",
            "tool_approval",
        )
        assert (asked["meta"]["tool_name"], asked["meta"]["arguments"]) == ("pay", {"q": "Ann"})
        (made,) = invocations(chat)
        assert made["status"] == "in_progress" and made["id"] != asked["resource_id"]
        chats = await play.platform._store.read(lambda tx: tx.find(ChatRecord))
        assert {each.status for each in chats} == {"awaiting_input"} and len(chats) == depth + 1
        if by == "call":
            await play.platform.chats.invoke(OWNER, asked["resource_id"], Decide(), by="ada")
        else:
            allow = ResolveInterrupt.parse({"decision": "allow"})
            await play.platform.chats.resolve(OWNER, asked["id"], allow, by="ada")
        chat = await play.chat()
        assert (chat["status"], chat["active_run"]["state"], chat["pending_interrupts"]) == ("busy", "working", [])
        await play.answer(asked["resource_id"], "paid Ann")  # the client runs it, wherever it was asked for
        chat = await play.idle()
        assert invocations(chat)[0]["status"] == "completed" and texts(chat)[-1] == "over"
        assert [each["result"] for each in invocations(await play.platform.chats.get(OWNER, asked["chat_id"]))] == [
            "paid Ann"
        ]


async def test_a_rejection_below_goes_to_the_child() -> None:
    async with parked_below() as (play, asked):
        await play.platform.chats.reject(OWNER, asked["resource_id"], RejectTool(reason="we owe nothing"), by="ada")
        assert (await only_call(play))["result"] == "ok"
        assert asked_with(play, "child")[-1].messages[-1].text == "the user rejected this call: we owe nothing"


async def test_an_approval_below_that_nobody_gives_expires_and_carries_all_on() -> None:
    async with parked_below(approval_timeout=0.5) as (play, _):
        assert (await only_call(play))["result"] == "ok"
        assert asked_with(play, "child")[-1].messages[-1].text == "nobody approved this call in time"


async def test_the_parent_goes_on_listening_while_only_one_of_two_children_waits() -> None:
    both = [agent_tool(paying()), agent_tool({"core_app": {"ref": "scripted/busy"}}, name="other")]
    open_gate = gate()
    scripts = {
        "model": [[ask("pay"), call("other", {"message": "work"})], "over"],
        "child": [PAY, "ok"],
        "busy": [[open_gate, "worked"]],
    }
    async with playing(scripts=scripts, tools=both) as play:
        await play.say()
        chat = await play.until(lambda chat: chat["pending_interrupts"])
        assert (chat["status"], chat["active_run"]["state"]) == ("busy", "working")
        open_gate.open()
        chat = await parked(play)
        await play.platform.chats.invoke(OWNER, chat["pending_interrupts"][0]["resource_id"], Decide(), by="ada")
        await play.answer(chat["pending_interrupts"][0]["resource_id"], "paid")
        assert [each["result"] for each in invocations(await play.idle())] == ["ok", "worked"]


async def test_watchers_of_the_parent_hear_of_questions_below_as_they_come_and_go() -> None:
    async with parked_below(2) as (play, asked):
        await play.platform.chats.invoke(OWNER, asked["resource_id"], Decide(), by="ada")
        await play.answer(asked["resource_id"], "paid")
        await play.idle()
        told = [
            (frame.data["status"], [each["id"] for each in frame.data["pending_interrupts"]])
            for frame in await log(play)
            if frame.name == "chats"
        ]
        assert ("awaiting_input", [asked["id"]]) in told
        assert told.index(("awaiting_input", [asked["id"]])) < len(told) - 1
        assert told[-1] == ("idle", [])
        assert ("awaiting_input", []) not in told


async def test_a_client_tool_below_counts_as_waiting_for_the_client() -> None:
    scripts = {"model": [ask(), "over"], "child": [call("look", {"q": "a"}), "seen"]}
    async with playing(scripts=scripts, tools=[agent_tool(child(tools=[client_tool()]))]) as play:
        await play.say()
        (chat,) = await begun(play)
        waiting = await chat.waits_for("awaiting_input")
        assert (await play.platform.chats.status(OWNER, str(play.chat_id)))["status"] == "awaiting_input"
        assert (await play.chat())["status"] == "busy"
        await play.answer(waiting["id"])
        assert (await only_call(play))["result"] == "seen"


# -- stopped ---------------------------------------------------------------------------------------------------------


async def test_stopping_the_parent_stops_everything_below() -> None:
    halted = hang()
    middle = {**CHILD, "tools": [agent_tool(GRANDCHILD)]}
    scripts = {"model": [ask(), "never"], "child": [ask(), "never"], "grandchild": [["half an ans", halted]]}
    async with playing(scripts=scripts, tools=[agent_tool(middle)]) as play:
        await play.say()
        await halted.reached.wait()
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        runs = await play.platform._store.read(lambda tx: tx.find(RunRecord))
        assert [each.state for each in runs] == ["canceled"] * 3
        made = await play.platform._store.read(lambda tx: tx.find(InvocationRecord))
        assert [each.status for each in made] == ["cancelled"] * 2
        await halted.left.wait()  # and its model call with it
        (one,) = await below(play)
        (two,) = await below(play, parent_id=one.chat_id)
        assert texts(await two.chat()) == ["half an ans"]
        ends = [frame.data["data"]["state"] for frame in await log(play) if _is_child(frame, "agent_runs")]
        assert ends.count("canceled") == 2
        assert await play.platform._store.read(lambda tx: tx.wakes()) == []


async def test_stopping_a_parked_parent_withdraws_the_questions_below() -> None:
    async with parked_below(2) as (play, _):
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        chat = await play.chat()
        assert (chat["status"], chat["pending_interrupts"]) == ("idle", [])
        runs = await play.platform._store.read(lambda tx: tx.find(RunRecord))
        assert {each.state for each in runs} == {"canceled"}


async def test_stopping_only_the_child_fails_the_call_with_a_sentence() -> None:
    halted = hang()
    async with playing(scripts={"model": [ask(), "alas"], "child": [halted]}, tools=[agent_tool()]) as play:
        await play.say()
        await halted.reached.wait()
        (chat,) = await below(play)
        await play.platform.chats.stop(OWNER, str(chat.chat_id))
        made = await only_call(play)
        assert (made["status"], made["result"]) == ("failed", children.STOPPED)
        assert texts(await play.chat())[-1] == "alas"


async def test_a_message_that_interrupts_the_child_fails_the_call_and_one_in_its_queue_waits() -> None:
    halted, later = hang(), gate()
    scripts = {"model": [ask(), "alas"], "child": [halted, [later, "to a person"], "to the next"]}
    async with playing(scripts=scripts, tools=[agent_tool()]) as play:
        await play.say()
        await halted.reached.wait()
        (chat,) = await below(play)
        send: dict[str, Any] = {"chat_id": chat.chat_id, "input": {"text": "no, this"}}
        await play.platform.chats.run(OWNER, RunAgentRequest.parse({**send, "on_busy": "interrupt"}))
        assert (await only_call(play))["result"] == children.STOPPED
        later.open()
        await chat.until(lambda now: texts(now)[-1] == "to a person" and now["status"] == "idle")
        assert invocations(await play.chat())[0]["result"] == children.STOPPED


async def test_a_message_in_the_childs_queue_waits_until_the_call_is_answered() -> None:
    first = gate()
    scripts = {"model": [ask(), "ok"], "child": [[first, "the answer"], "to a person"]}
    async with playing(scripts=scripts, tools=[agent_tool()]) as play:
        await play.say()
        await first.reached.wait()
        (chat,) = await below(play)
        await play.platform.chats.run(
            OWNER, RunAgentRequest.parse({"chat_id": chat.chat_id, "input": {"text": "and me"}})
        )
        first.open()
        assert (await only_call(play))["result"] == "the answer"
        await chat.until(lambda now: texts(now)[-1] == "to a person")


async def test_a_child_out_of_time_is_stopped() -> None:
    halted = hang()
    scripts = {"model": [ask(), "alas"], "child": [halted]}
    async with playing(scripts=scripts, tools=[agent_tool(timeout=0.2)]) as play:
        await play.say()
        made = await only_call(play)
        assert (made["status"], made["result"]) == (
            "failed",
            "the sub-agent had no answer within 0.2 s; it was stopped",
        )
        await halted.left.wait()
        (chat,) = await below(play)
        assert (await chat.chat())["active_run"]["state"] == "canceled"
        assert await play.platform._store.read(lambda tx: tx.wakes()) == []


async def test_a_childs_time_stands_still_while_a_person_is_asked() -> None:
    scripts = {"model": [ask(), "over"], "child": [PAY, "paid"]}
    async with playing(scripts=scripts, tools=[agent_tool(paying(), timeout=0.3)]) as play:
        await play.say()
        chat = await parked(play)
        await anyio.sleep(0.7)  # longer than it may take
        (asked,) = (await play.chat())["pending_interrupts"]
        await play.platform.chats.reject(OWNER, asked["resource_id"], RejectTool(reason="no"), by="ada")
        assert chat["status"] == "awaiting_input" and (await only_call(play))["result"] == "paid"


async def test_deleting_the_parent_deletes_everything_below() -> None:
    async with parked_below(2) as (play, _):
        await play.platform.chats.delete(OWNER, str(play.chat_id))
        for kind in (ChatRecord, RunRecord, InvocationRecord, BudgetRecord):
            assert await play.platform._store.read(lambda tx, kind=kind: tx.find(kind)) == []
        assert await play.platform._store.read(lambda tx: tx.wakes()) == []


async def test_deleting_only_the_child_fails_the_call() -> None:
    halted = hang()
    async with playing(scripts={"model": [ask(), "alas"], "child": [halted]}, tools=[agent_tool()]) as play:
        await play.say()
        await halted.reached.wait()
        (chat,) = await below(play)
        await play.platform.chats.delete(OWNER, str(chat.chat_id))
        assert (await only_call(play))["status"] == "failed"


# -- told above ------------------------------------------------------------------------------------------------------


def _is_child(frame: Any, event: str) -> bool:
    return frame.name == "child" and frame.data["event"] == event


@pytest.mark.requirement("sub-agent:events")
async def test_everything_of_a_child_is_told_above_in_the_same_order() -> None:
    middle = {**CHILD, "tools": [agent_tool(GRANDCHILD)]}
    scripts = {"model": [ask(), "over"], "child": [ask(), "told"], "grandchild": ["deep"]}
    async with playing(scripts=scripts, tools=[agent_tool(middle)]) as play:
        await play.say()
        made = await only_call(play)
        (one,) = await below(play)
        (two,) = await below(play, parent_id=one.chat_id)
        told = await log(play)
        for depth, chat, call_id in ((1, one, made["id"]), (2, two, made["id"])):
            own = [(each.name, each.data) for each in await log(play, chat.chat_id) if each.name != "child"]
            above = [each.data for each in told if each.name == "child" and each.data["chat_id"] == chat.chat_id]
            assert [(each["event"], each["data"]) for each in above] == own
            assert {(each["depth"], each["invocation_id"]) for each in above} == {(depth, call_id)}
        (inner,) = invocations(await one.chat())
        between = [each.data for each in await log(play, one.chat_id) if each.name == "child"]
        assert {(each["depth"], each["invocation_id"], each["chat_id"]) for each in between} == {
            (1, inner["id"], two.chat_id)
        }
        ended = [index for index, each in enumerate(told) if _is_child(each, "chats")][-1]
        settled = next(
            index
            for index, each in enumerate(told)
            if each.name == "chat_messages"
            and any(made["status"] == "completed" for made in each.data["tool_invocations"])
        )
        assert ended < settled


async def test_what_a_child_says_is_told_above_while_it_says_it() -> None:
    mid = gate()
    scripts = {"model": [ask(), "over"], "child": [["half ", mid, "whole"]]}
    async with playing(scripts=scripts, tools=[agent_tool()]) as play:
        await play.say()
        heard: list[Any] = []
        with anyio.fail_after(10):
            async with aclosing(await play.platform.chats.watch(OWNER, str(play.chat_id))) as frames:
                async for frame in frames:
                    if frame.name == "child":
                        heard.append(frame)
                    if mid.reached:
                        mid.open()
                    if frame.name == "chats" and frame.data["status"] == "idle":
                        break
        deltas = [each for each in heard if each.data["event"] == "delta"]
        assert deltas and {each.id for each in deltas} == {None}
        assert "".join(each.data["data"]["delta"].get("response") or "" for each in deltas).endswith("whole")
        grown = [each.data["data"]["content"] for each in heard if each.data["event"] == "chat_messages"]
        assert grown[-1][0]["text"] == "half whole"


async def test_progress_of_a_childs_tool_is_told_above() -> None:
    async def slowly(call: Any, desk: Any) -> Any:
        await desk.progress(call, "half")
        from agentkit.runtime.executors import Produced

        return Produced("done")

    scripts = {"model": ["hello", ask(), "over"], "child": [call("work", {"do": "slowly"}), "ok"]}
    tools = [agent_tool(child(tools=[bench_tool()]))]
    async with playing(scripts=scripts, executors=[BenchExecutor(slowly=slowly)], tools=tools) as play:
        await play.say()
        await play.idle()
        heard: list[Any] = []
        with anyio.fail_after(10):
            async with aclosing(await play.platform.chats.watch(OWNER, str(play.chat_id), after=0)) as frames:
                await anext(frames)
                await play.say()
                async for frame in frames:
                    if frame.name == "child" and frame.data["event"] == "tool_progress":
                        heard.append(frame.data["data"]["message"])
                    if frame.name == "chats" and frame.data["status"] == "idle" and heard:
                        break
        assert heard == ["half"]


async def test_who_comes_later_is_shown_the_children_at_work() -> None:
    scripts = {"model": [ask(), "over"], "child": [["some ", gate(), "more"], "never"]}
    mid = scripts["child"][0][1]
    async with playing(scripts=scripts, tools=[agent_tool()]) as play:
        await play.say()
        await mid.reached.wait()
        shown: list[Any] = []
        with anyio.fail_after(10):
            async with aclosing(await play.platform.chats.watch(OWNER, str(play.chat_id))) as frames:
                async for frame in frames:
                    shown.append(frame)
                    if frame.id is not None:
                        break
        assert [each.name for each in shown if each.name] == ["chats", "chat_messages", "child", "child"]
        assert [each.data["event"] for each in shown if each.name == "child"] == ["chats", "chat_messages"]
        assert shown[-1].data["data"]["content"][0]["text"] == "some "
        mid.open()
        await play.idle()


# -- handed over -----------------------------------------------------------------------------------------------------


def handing(config: Mapping[str, Any] | str, name: str = "transfer") -> dict[str, Any]:
    return agent_tool(config, name=name, agent={"handoff": True})


@pytest.mark.requirement("sub-agent:handoff")
async def test_the_other_agent_has_the_chat_from_then_on() -> None:
    billing = {"core_app": {"ref": "scripted/billing"}, "name": "billing", "system_prompt": "You bill."}
    scripts = {
        "model": [call("transfer", {"reason": "money"}), "never"],
        "billing": ["You owe 5.", "Still 5."],
    }
    async with playing(scripts=scripts, tools=[handing({**billing, "tools": [client_tool("refund")]})]) as play:
        await play.say("what do I owe?")
        chat = await play.idle()
        (made,) = invocations(chat)
        assert (made["status"], made["result"]) == ("completed", "handed over to billing")
        assert texts(chat) == ["", "You owe 5."] and await below(play) == []
        asked = asked_with(play, "billing")[0]
        assert asked.system_prompt == "You bill." and [tool.name for tool in asked.tools][:1] == ["refund"]
        assert [each.text for each in asked.messages if each.role == "user"] == ["what do I owe?"]
        await play.say("sure?")  # with the agent that this client knows, as SDKs do
        assert texts(await play.idle())[-1] == "Still 5."
        play.config["system_prompt"] = "Another one"
        play.model._left["model"] = ["I am new here."]
        await play.say("hello?")
        assert texts(await play.idle())[-1] == "I am new here."


async def test_a_chat_goes_round_a_ring_of_agents() -> None:
    agents = {
        "local/a": {"core_app": {"ref": "scripted/a"}, "name": "a", "tools": [handing("local/b")]},
        "local/b": {"core_app": {"ref": "scripted/b"}, "name": "b", "tools": [handing("local/a")]},
    }
    scripts = {"a": [call("transfer", {}), "a again", "a still"], "b": [call("transfer", {})]}
    async with playing(scripts=scripts, agents=agents) as play:
        await play.say(agent="local/a", agent_config=None)
        chat = await play.idle()
        assert [each["result"] for each in invocations(chat)] == ["handed over to b", "handed over to a"]
        assert texts(chat)[-1] == "a again"
        stored = await play.platform.agents.by_name(OWNER, "local", "a")
        assert chat["agent_id"] == stored["id"]
        await play.say(agent="local/a", agent_config=None)
        assert texts(await play.idle())[-1] == "a still"


async def test_the_output_is_what_the_new_agent_promises() -> None:
    writer = {"core_app": {"ref": "scripted/writer"}, "name": "writer", "output_schema": REPORT}
    scripts = {
        "model": [call("transfer", {})],
        "writer": [finish({"title": "T"}), finish({"title": "T", "pages": 3})],
    }
    async with playing(scripts=scripts, tools=[handing(writer)]) as play:
        await play.say()
        chat = await play.idle()
        assert chat["output"] == {"title": "T", "pages": 3}
        assert [each["status"] for each in invocations(chat)] == ["completed", "failed", "completed"]


async def test_what_was_asked_for_with_the_hand_over_is_done_first() -> None:
    other = {"core_app": {"ref": "scripted/other"}, "name": "other"}
    steps = [[call("transfer", {}), call("look", {"q": "a"}), call("transfer", {}), call("look", {"q": "b"})]]
    async with playing(scripts={"model": steps, "other": ["mine now"]}, tools=[handing(other), client_tool()]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        await play.until(lambda chat: [each["status"] for each in invocations(chat)].count("completed") == 1)
        for each in invocations(await play.chat()):
            if each["status"] == "awaiting_input":
                await play.answer(each["id"])
        chat = await play.idle()
        made = invocations(chat)
        assert waiting["status"] == "awaiting_input" and texts(chat)[-1] == "mine now"
        assert sorted(each["status"] for each in made) == ["completed", "completed", "completed", "failed"]
        assert "handed over to another agent already" in next(e["result"] for e in made if e["status"] == "failed")


async def test_a_sub_agent_hands_its_own_chat_over() -> None:
    expert = {**GRANDCHILD}
    scripts = {"model": [ask(), "over"], "child": [call("transfer", {})], "grandchild": [finish("from the expert")]}
    async with playing(scripts=scripts, tools=[agent_tool(child(tools=[handing(expert)]))]) as play:
        await play.say()
        assert (await only_call(play))["result"] == "from the expert"
        assert len(await below(play)) == 1


# -- crashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["claimed", "working", "parked", "large"])
async def test_after_a_restart_it_goes_on_and_there_is_one_child(tmp_path: Path, when: str) -> None:
    """Closing without an end is what a kill leaves: the rows, and nothing that was in memory."""
    db = tmp_path / "chats.db"
    halted = hang()
    config = paying() if when == "parked" else CHILD
    scripts: dict[str, Any] = {"model": [ask()], "child": [PAY if when == "parked" else halted]}
    async with playing(scripts=scripts, tools=[agent_tool(config)], db=db) as play:
        await play.say()
        if when == "parked":
            await parked(play)
        else:
            await halted.reached.wait()
        chat_id, given = play.chat_id, play.config
        if when == "claimed":  # as it was before the child began: another process had claimed the call, and died
            await play.platform._store.write(lambda tx: _as_if_claimed(tx, str(chat_id)))
    answers: dict[str, Any] = {"claimed": ["done"], "working": ["done"], "parked": ["done"], "large": ["x" * 100]}
    limits = Limits(result_chars=60 if when == "large" else 50_000)
    scripts = {"model": ["over"], "child": answers[when]}
    async with playing(scripts=scripts, db=db, limits=limits) as play:
        play.chat_id, play.config = chat_id, given
        if when == "parked":
            (asked,) = (await parked(play))["pending_interrupts"]
            await play.platform.chats.reject(OWNER, asked["resource_id"], RejectTool(reason="no"), by="ada")
        made = await only_call(play)
        assert made["status"] == "completed" and made["result"].startswith("x" if when == "large" else "done")
        (chat,) = await below(play)
        assert made["execution_id"] == chat.chat_id
        assert texts(await play.chat())[-1] == "over"


def _as_if_claimed(tx: Any, chat_id: str) -> None:
    """Takes the child away, and gives the call to a process that is gone."""
    (call_,) = tx.find(InvocationRecord, chat_id=chat_id)
    for kind in (RunRecord,):
        for each in tx.find(kind, chat_id=call_.execution_id):
            tx.delete(each)
    child_chat = tx.get(ChatRecord, call_.execution_id)
    tx.clear_wake(child_chat.id)
    tx.delete(child_chat)
    tx.update(call_.but(execution_id=None, engine_id="gone"))
    tx.wake(f"tool:{call_.id}")


async def test_the_transaction_that_begins_a_child_may_come_twice() -> None:
    """A store that says no after it did it: what began is not begun again."""
    async with playing(scripts={"model": [ask(), "ok"], "child": ["once", "twice"]}, tools=[agent_tool()]) as play:
        store = play.platform._store
        write = store.write
        failed: list[bool] = []

        async def write_and_say_no(change: Callable[[Any], Any]) -> Any:
            done = await write(change)
            found = await store.read(lambda tx: tx.find(InvocationRecord))
            if not failed and found and found[0].type is ToolType.AGENT and found[0].execution_id:
                failed.append(True)
                from agentkit.errors import StoreError

                raise StoreError("the disk is slow")
            return done

        store.write = write_and_say_no  # type: ignore[method-assign]
        await play.say()
        assert (await only_call(play))["result"] == "once"
        assert failed and len(await below(play)) == 1
        assert json.dumps((await play.chat())["children"][0]["id"])
