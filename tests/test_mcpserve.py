"""Agents and client tools over MCP, with the SDK's own client in both generations of the protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp_types
import pytest
from mcp import Client

from agentkit import Runtime, tool
from agentkit.errors import UsageError
from agentkit.mcpserve import McpOffer, OfferedAgent
from agentkit.protocol import api
from agentkit.testing import Scripted, call, finish, hang
from agentkit.tools.context import MCP_KEY, ToolContext
from agentkit.wire import UnknownOutcome

pytestmark = pytest.mark.heavy

MODES = pytest.mark.parametrize("mode", ["legacy", "auto"])
REPORT = {"type": "object", "properties": {"pages": {"type": "integer"}}, "required": ["pages"]}
DONE: list[str] = []


@tool
def pay(amount: int) -> str:
    """Pays."""
    DONE.append(str(amount))
    return f"paid {amount}"


@tool
async def add(a: int, b: int) -> dict[str, int]:
    """Adds two numbers."""
    return {"sum": a + b}


@tool
def fail() -> str:
    """Fails."""
    raise ValueError("no luck")


CAREFUL = pay.require_approval()


@pytest.fixture(autouse=True)
def nothing_paid() -> None:
    DONE.clear()


def says(action: str, content: Any = None) -> Callable[..., Any]:
    """A person who always answers this; `asked` on it has the questions."""

    async def answer(context: Any, params: Any) -> mcp_types.ElicitResult:
        answer.asked.append(params.message)  # type: ignore[attr-defined]
        return mcp_types.ElicitResult(action=action, content=content)  # type: ignore[arg-type]

    answer.asked = []  # type: ignore[attr-defined]
    return answer


@asynccontextmanager
async def offered(
    *steps: Any, mode: str, person: Any = None, own: tuple[Any, ...] = (), **config: Any
) -> AsyncGenerator[Client]:
    """A client of an agent whose model says these steps."""
    definition = {"core_app": {"ref": "scripted/model"}, **config}
    schema = config.get("output_schema")
    async with Runtime(models={"scripted": Scripted(steps)}, environ={}) as runtime:
        agent = OfferedAgent("helper", definition, "Helps.", schema)
        offer = McpOffer(runtime.async_client(), agents=[agent], tools=own)
        async with Client(offer.server(), mode=mode, elicitation_callback=person, cache=None) as client:
            yield client


def texts(result: mcp_types.CallToolResult) -> list[str]:
    return [part.text for part in result.content if isinstance(part, mcp_types.TextContent)]


@MODES
async def test_an_agent_is_a_tool_that_takes_a_message_and_goes_on_with_a_chat(mode: str) -> None:
    async with offered("It is one.", "It is two.", mode=mode) as client:
        (found,) = (await client.list_tools()).tools
        assert (found.name, found.description, found.input_schema["required"]) == ("ask_helper", "Helps.", ["message"])
        first = await client.call_tool("ask_helper", {"message": "one?"})
        chat_id = first.structured_content["chat_id"]
        assert texts(first) == ["It is one.", f"chat_id: {chat_id}"]
        second = await client.call_tool("ask_helper", {"message": "two?", "chat_id": chat_id})
        assert second.structured_content == {"text": "It is two.", "chat_id": chat_id}


@MODES
async def test_an_output_schema_is_the_tools_and_its_output_structured_content(mode: str) -> None:
    config: dict[str, Any] = {"output_schema": REPORT, "internal_tools": {"finish": True}}
    async with offered(finish({"pages": 3}), "I would rather not.", mode=mode, **config) as client:
        (found,) = (await client.list_tools()).tools
        assert found.output_schema == REPORT
        assert (await client.call_tool("ask_helper", {"message": "go"})).structured_content == {"pages": 3}


@MODES
async def test_steps_are_told_as_progress(mode: str) -> None:
    told: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    async with offered(call("add", {"a": 1, "b": 2}), "Three.", mode=mode, tools=[add]) as client:
        result = await client.call_tool("ask_helper", {"message": "1 + 2?"}, progress_callback=hear)
    assert texts(result)[0] == "Three."
    assert [message for _, message in told][:2] == ["calls add", "add is done"]
    assert [number for number, _ in told] == sorted({number for number, _ in told})


@MODES
@pytest.mark.parametrize(
    ("person", "paid", "heard"),
    [
        pytest.param(says("accept", {"allow": True}), ["5"], "paid 5", id="allowed"),
        pytest.param(
            says("accept", {"allow": False, "reason": "too much"}), [], "too much", id="rejected with a reason"
        ),
        pytest.param(says("accept", {}), [], "rejected", id="accepted without a word"),
        pytest.param(says("decline"), [], "rejected", id="declined"),
        pytest.param(says("cancel"), [], "rejected", id="dismissed"),
        pytest.param(None, [], "nobody can be asked", id="nobody there"),
    ],
)
async def test_what_the_agent_asks_people_is_asked_through_the_client(
    mode: str, person: Any, paid: list[str], heard: str
) -> None:
    steps = [call("pay", {"amount": 5}), lambda request: f"I heard: {request.messages[-1].text}"]
    async with offered(*steps, mode=mode, person=person, tools=[CAREFUL]) as client:
        result = await client.call_tool("ask_helper", {"message": "pay 5"})
    assert paid == DONE
    assert heard in texts(result)[0]
    if person is not None:
        assert person.asked[-1] == 'Allow pay with {"amount": 5}?'


@MODES
async def test_a_run_that_fails_is_an_error_with_its_reason(mode: str) -> None:
    async with offered(mode=mode) as client:  # a model with nothing to say
        result = await client.call_tool("ask_helper", {"message": "go"})
    assert result.is_error and texts(result)[0]


@MODES
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param({}, "`message` is a text", id="no message"),
        pytest.param({"message": "x", "chat_id": 5}, "`message` is a text", id="chat_id is a number"),
        pytest.param({"message": "x", "chat_id": "nowhere"}, "404", id="no such chat"),
    ],
)
async def test_bad_arguments_are_told(mode: str, arguments: dict[str, Any], told: str) -> None:
    async with offered("hi", mode=mode) as client:
        result = await client.call_tool("ask_helper", arguments)
        assert result.is_error and told in texts(result)[0]
        assert "there is no tool 'nothing'; there are ask_helper" in texts(await client.call_tool("nothing", {}))[0]


@MODES
async def test_a_call_that_is_given_up_stops_the_run(mode: str) -> None:
    gate = hang()
    async with offered(gate, mode=mode) as client, anyio.create_task_group() as group:

        async def ask() -> None:
            await client.call_tool("ask_helper", {"message": "go"})

        group.start_soon(ask)
        await gate.reached.wait()
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await gate.left.wait()


@MODES
async def test_client_tools_are_offered_one_by_one(mode: str) -> None:
    async with offered(mode=mode, own=(add, fail)) as client:
        tools = {each.name: each for each in (await client.list_tools()).tools}
        assert set(tools) == {"ask_helper", "add", "fail"}
        assert tools["add"].description == "Adds two numbers."
        result = await client.call_tool("add", {"a": 1, "b": 2})
        assert (texts(result), result.structured_content) == (['{"sum":3}'], {"sum": 3})
        wrong = await client.call_tool("add", {"a": "x", "b": 2})
        assert wrong.is_error and "'x' is not of type 'integer'" in texts(wrong)[0]
        assert texts(await client.call_tool("fail", {})) == ["ValueError: no luck"]


@MODES
@pytest.mark.parametrize(
    ("person", "paid"),
    [(says("accept", {"allow": True}), ["7"]), (says("decline"), []), (None, [])],
    ids=["allowed", "declined", "nobody there"],
)
async def test_a_tool_that_needs_approval_is_asked_for_too(mode: str, person: Any, paid: list[str]) -> None:
    async with offered(mode=mode, person=person, own=(CAREFUL,)) as client:
        result = await client.call_tool("pay", {"amount": 7})
    assert paid == DONE
    assert result.is_error is not bool(paid)


@MODES
async def test_who_allowed_a_call_did_not_allow_it_a_second_time(mode: str) -> None:
    script = Scripted([call("pay", {"amount": 7}), "Done."])
    async with Runtime(models={"scripted": script}, environ={}) as runtime:
        client = runtime.async_client()
        asked: list[str] = []

        async def slow(context: Any, params: Any) -> mcp_types.ElicitResult:
            asked.append(params.message)
            if len(asked) == 1:  # somebody was faster, began the call, and died
                (first,) = (await client.interrupts.list()).items
                await client.interrupts.approve(first.id)
                died = UnknownOutcome(attempt=1, note="it died")
                await client._transport.send(api.UNKNOWN_OUTCOME.call(died, invocation_id=first.resource_id))
            return mcp_types.ElicitResult(action="accept", content={"allow": True})

        definition = {
            "core_app": {"ref": "scripted/model"},
            "tools": [CAREFUL.build()],
        }  # no handler here: another program runs it
        offer = McpOffer(client, agents=[OfferedAgent("helper", definition, "Helps.")])
        async with Client(offer.server(), mode=mode, elicitation_callback=slow, cache=None) as program:
            await program.call_tool("ask_helper", {"message": "Pay."})
        again = [
            each for each in (await client.interrupts.list(status="all")).items if each.meta.get("unknown_outcome")
        ]
    assert [each.decision for each in again] == ["rejected"]
    assert (DONE, len(asked)) == ([], 1)


@MODES
@pytest.mark.parametrize("bad", ["", 7, "x" * 256, "a\nb"])
async def test_a_handler_has_the_key_of_the_call_as_the_client_gives_it(mode: str, bad: Any) -> None:
    keys: list[str] = []

    @tool
    def note(ctx: ToolContext) -> str:
        """Notes the key."""
        keys.append(ctx.idempotency_key)
        return "noted"

    async with offered(mode=mode, own=(note,)) as client:
        for meta in ({MCP_KEY: "k-1"}, {MCP_KEY: "k-1"}, None, {MCP_KEY: bad}):
            await client.call_tool("note", {}, meta=meta)
    assert keys[:2] == ["k-1", "k-1"]
    assert len(set(keys)) == 3 and all(len(each) == 64 for each in keys[2:])


async def test_two_tools_of_one_name_are_refused() -> None:
    async with Runtime(environ={}) as runtime:
        client = runtime.async_client()
        with pytest.raises(UsageError, match="one name"):
            McpOffer(client, agents=[OfferedAgent("a", "x/a"), OfferedAgent("a", "x/b")])
        with pytest.raises(UsageError, match="one name"):
            McpOffer(client, tools=[add, add])
