"""`Scripted` says what the script says, in its order, and notices when it is asked for more or less."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from agentkit.errors import ModelError
from agentkit.protocol.deltas import Accumulator
from agentkit.runtime.ports import ModelMessage, ModelRequest
from agentkit.testing import Scripted, call, error, finish, gate, hang, think
from agentkit.wire import LLMDelta

HELLO = ModelRequest("any", "Be brief.", [ModelMessage("user", "hello there")])


async def answer(deltas: AsyncIterator[LLMDelta]) -> dict[str, Any]:
    """The whole answer, put together as every reader of the stream does it."""
    said = Accumulator()
    seq = 0
    async for delta in deltas:
        seq += 1
        said.apply(delta.to_wire(), seq)
    return said.snapshot()


async def test_text_reasoning_and_calls_come_in_the_order_of_the_step():
    script = Scripted([[think("hm"), "Let me look.", call("a", {"x": 1}), call("b")]])
    kinds = []
    async for delta in script.stream(HELLO):
        kinds += [name for name in ("reasoning", "response", "tool_calls", "usage") if delta.get(name)]
    assert list(dict.fromkeys(kinds)) == ["reasoning", "response", "tool_calls", "usage"]


async def test_the_deltas_of_a_step_fold_into_what_the_script_says():
    script = Scripted([["Let me look.", call("weather", {"city": "Paris"}), finish({"ok": True}, id="mine")]])
    said = await answer(script.stream(HELLO))
    assert said["response"] == "Let me look."
    first, second = said["tool_calls"]
    assert (first["id"], first["function"]) == ("call_1_0", {"name": "weather", "arguments": '{"city":"Paris"}'})
    assert (second["id"], second["function"]) == ("mine", {"name": "finish", "arguments": '{"ok":true}'})
    assert said["usage"]["stop_reason"] == "tool_calls"
    assert said["usage"]["prompt_tokens"] == 4


@pytest.mark.parametrize(("size", "pieces"), [(None, ["abcdefg"]), (3, ["abc", "def", "g"]), (100, ["abcdefg"])])
async def test_text_is_cut_into_deltas_of_the_chosen_size(size: int | None, pieces: list[str]):
    script = Scripted(["abcdefg"], chunk_size=size)
    assert [delta.response async for delta in script.stream(HELLO) if delta.response] == pieces


async def test_finish_wraps_what_is_no_object():
    said = await answer(Scripted([finish([1, 2])]).stream(HELLO))
    assert said["tool_calls"][0]["function"]["arguments"] == '{"result":[1,2]}'


async def test_raw_arguments_travel_as_they_are():
    said = await answer(Scripted([call("a", raw='{"x": ')]).stream(HELLO))
    assert said["tool_calls"][0]["function"]["arguments"] == '{"x": '


async def test_a_step_may_be_decided_when_the_model_is_asked():
    script = Scripted([lambda request: f"you said {request.messages[-1].text}"])
    assert (await answer(script.stream(HELLO)))["response"] == "you said hello there"
    assert script.requests == [HELLO]


async def test_an_error_step_raises_what_was_said_before_it_stands():
    script = Scripted([["partial", error("overloaded", retryable=True, status_code=503)]])
    said = []
    with pytest.raises(ModelError, match="overloaded") as caught:
        async for delta in script.stream(HELLO):
            said.append(delta.response)
    assert said == ["partial"]
    assert (caught.value.retryable, caught.value.status_code) == (True, 503)


async def test_a_request_beyond_the_script_fails_and_is_told_of():
    script = Scripted(["one"])
    await answer(script.stream(HELLO))
    with pytest.raises(ModelError, match=r"script of 'scripted' is over, but request 2 came \(user: 'hello there'\)"):
        await answer(script.stream(HELLO))
    with pytest.raises(AssertionError, match="1 requests more than the script"):
        script.assert_complete()


async def test_answers_that_were_not_asked_for_are_told_of():
    script = Scripted(["one", "two"])
    await answer(script.stream(HELLO))
    with pytest.raises(AssertionError, match="1 answers of the script were not asked for, next scripted: 'two'"):
        script.assert_complete()
    await answer(script.stream(HELLO))
    script.assert_complete()


async def test_each_model_name_may_have_a_script_of_its_own():
    script = Scripted({"parent": ["I am the parent"], "child": ["I am the child"]})
    child = ModelRequest("child", "", HELLO.messages)
    assert (await answer(script.stream(child)))["response"] == "I am the child"
    with pytest.raises(ModelError, match="no part for model 'uncle'"):
        await answer(script.stream(ModelRequest("uncle", "", HELLO.messages)))
    with pytest.raises(AssertionError, match="parent: 'I am the parent'"):
        script.assert_complete()


async def test_the_model_stops_at_a_gate_until_the_test_opens_it():
    stop = gate()
    script = Scripted([["before ", stop, "after"]], chunk_size=None)
    said: list[str] = []

    async def ask() -> None:
        async for delta in script.stream(HELLO):
            said.append(delta.response or "")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await stop.reached.wait()
            assert said == ["before "]
            stop.open()
    assert said == ["before ", "after", ""]


async def test_a_gate_is_opened_from_another_thread():
    stop = gate()
    script = Scripted([[stop, "after"]])

    def open_it() -> None:
        stop.reached.wait_sync(timeout_seconds=5)
        stop.open()

    thread = threading.Thread(target=open_it)
    thread.start()
    with anyio.fail_after(5):
        assert (await answer(script.stream(HELLO)))["response"] == "after"
    thread.join(5)


async def test_an_open_gate_holds_nobody_up():
    stop = gate()
    stop.open()
    with anyio.fail_after(5):
        assert (await answer(Scripted([[stop, "on"]]).stream(HELLO)))["response"] == "on"


async def test_a_hanging_model_waits_until_it_is_cancelled():
    stuck = hang()
    script = Scripted([stuck])

    async with anyio.create_task_group() as group:

        async def ask() -> None:
            await answer(script.stream(HELLO))

        group.start_soon(ask)
        await stuck.reached.wait()
        assert not stuck.left
        group.cancel_scope.cancel()
    assert stuck.left


async def test_waiting_for_a_signal_that_never_comes_ends_in_a_timeout():
    stuck = hang()
    with pytest.raises(TimeoutError):
        await stuck.reached.wait(timeout_seconds=0.01)
    with pytest.raises(TimeoutError, match=r"not given within 0\.01 s"):
        stuck.reached.wait_sync(timeout_seconds=0.01)
