"""`read_result`: what was too long to be given at once is read page by page, and nothing else is."""

from __future__ import annotations

import re
from typing import Any

import pytest

from agentkit.runtime.budgets import Limits
from agentkit.runtime.executors import Execution, Produced, ToolDesk, ToolFile
from agentkit.runtime.files import file_id_in
from agentkit.testing import call
from tests.runtime.bench_executor import BenchExecutor, bench_tool
from tests.runtime.playing import OWNER, Play, invocations, playing

WHOLE = "".join(f"line {number:05} é\n" for number in range(200))  # 2,600 characters
LIMITS = Limits(result_chars=1_000)
NEXT = re.compile(
    r"\n\n\[characters (\d+) to (\d+) of (\d+)"
    r"(?:; read on with read_result\(id=\"(\w+)\", offset=(\d+)\)|: the end)\]$"
)


async def produce(call: Execution, desk: ToolDesk) -> Produced:
    return Produced(WHOLE)


def reads_on(request: Any) -> Any:
    """The call that the last result asks for; the end of the run where it is whole."""
    last = request.messages[-1].text
    found = NEXT.search(last)
    assert found is not None, last[-200:]
    return call("read_result", {"id": found[4], "offset": int(found[5])}) if found[4] else "read"


def bench() -> dict[str, Any]:
    return {"executors": [BenchExecutor(long=produce)], "tools": [bench_tool()], "limits": LIMITS}


def names(play: Play, request: int) -> set[str]:
    return {tool.name for tool in play.model.requests[request].tools}


async def test_a_model_reads_a_long_result_to_its_end_without_losing_a_character() -> None:
    async with playing(call("work", {"do": "long"}), *[reads_on] * 6, **bench()) as play:
        await play.say()
        made = invocations(await play.idle())
        pages = [each["result"] for each in made]
        assert {each["status"] for each in made} == {"completed"}
        assert "".join(NEXT.sub("", page) for page in pages) == WHOLE
        assert all(len(page) <= LIMITS.result_chars for page in pages[1:])
        assert pages[-1].endswith(f"of {len(WHOLE)}: the end]")
        assert all(not each["attachments"] for each in made[1:])


async def test_it_is_offered_from_the_first_cut_on() -> None:
    async with playing(call("work", {"do": "short"}), call("work", {"do": "long"}), "ok", **bench()) as play:
        await play.say()
        await play.idle()
        assert ["read_result" in names(play, number) for number in range(3)] == [False, False, True]


async def test_it_can_be_switched_off() -> None:
    config = {**bench(), "internal_tools": {"results": False}}
    async with playing(call("work", {"do": "long"}), "ok", **config) as play:
        await play.say()
        await play.idle()
        assert "read_result" not in names(play, 1)


async def test_the_models_own_id_of_the_call_names_it_too() -> None:
    steps = [call("work", {"do": "long"}, id="call_a"), call("read_result", {"id": "call_a", "offset": 2_587}), "ok"]
    async with playing(*steps, **bench()) as play:
        await play.say()
        read = invocations(await play.idle())[-1]
        assert read["result"] == WHOLE[2_587:] + "\n\n[characters 2587 to 2600 of 2600: the end]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"id": "nobody"}, "no result of this chat with the id 'nobody' was cut", id="unknown"),
        pytest.param({"id": "call_b"}, "no result of this chat with the id 'call_b' was cut", id="not-cut"),
        pytest.param({"id": "call_a", "offset": 9_999}, "offset 9999 is behind its end", id="behind"),
        pytest.param({"id": "call_a", "offset": -1}, "offset: -1 is less than the minimum of 0", id="before"),
        pytest.param({"id": "inf://files/x"}, "no result of this chat", id="a-file"),
    ],
)
async def test_what_is_none_of_this_chats_results_is_not_read(arguments: dict[str, Any], said: str) -> None:
    made = [call("work", {"do": "long"}, id="call_a"), call("work", {"do": "short"}, id="call_b")]
    async with playing(made, call("read_result", arguments), "ok", **bench()) as play:
        await play.say()
        read = invocations(await play.idle())[-1]
        assert read["status"] == "failed" and said in read["result"]


async def test_another_chats_results_are_not_read() -> None:
    ids: list[str] = []
    steps = [call("work", {"do": "long"}), "ok"]
    steps += [call("work", {"do": "long"}), lambda request: call("read_result", {"id": ids[0]}), "ok"]
    async with playing(*steps, **bench()) as play:
        await play.say()
        ids += [each["id"] for each in invocations(await play.idle())]
        play.chat_id = None
        await play.say()
        read = invocations(await play.idle())[-1]
        assert (read["status"], read["result"]) == ("failed", f"no result of this chat with the id {ids[0]!r} was cut")


async def test_a_result_whose_file_was_deleted_says_so() -> None:
    ids: list[str] = []
    steps = [call("work", {"do": "long"}), "ok", lambda request: call("read_result", {"id": ids[0]}), "ok"]
    async with playing(*steps, **bench()) as play:
        await play.say()
        (made,) = invocations(await play.idle())
        ids.append(made["id"])
        (file,) = made["attachments"]
        await play.platform.files.delete(OWNER, file_id_in(file["uri"]))
        await play.say()
        read = invocations(await play.idle())[-1]
        assert (read["status"], read["result"]) == ("failed", f"the whole result {ids[0]!r} was deleted")


async def test_a_file_that_a_tool_calls_like_one_is_not_read() -> None:
    async def fake(call: Execution, desk: ToolDesk) -> Produced:
        kept = await desk.keep(call.owner, b"not a result", filename="other.result.txt", content_type="text/plain")
        return Produced("made a file", files=[ToolFile(kept.uri, kept.content_type, "other.result.txt")])

    config = {**bench(), "executors": [BenchExecutor(fake=fake)]}
    async with playing(call("work", {"do": "fake"}), "ok", **config) as play:
        await play.say()
        await play.idle()
        assert "read_result" not in names(play, 1)
