"""Servers that are not there, die, hang, flood and lie: a call that fails with a sentence, and nothing left behind."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

import anyio
import pytest

from agentkit.runtime.executors import ToolFailure
from agentkit.runtime.faults import Fault
from agentkit.runtime.mcp.calls import Unavailable
from tests.runtime.mcp.calling import Calling, Desk, calling, execution, lines, odd, one

pytestmark = pytest.mark.heavy


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that waits for its parent to take note of its end does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pid: int) -> None:
    """Waits for the end of a process."""
    with anyio.fail_after(10):
        while is_alive(pid):
            await anyio.sleep(0.01)


async def failure(at: Calling, name: str, *, desk: Desk | None = None, **arguments: object) -> ToolFailure:
    with pytest.raises(ToolFailure) as raised:
        await at.call(name, desk=desk, **arguments)
    return raised.value


# -- not there -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "told", "passes"),
    [
        pytest.param(["/no/such/command"], "command '/no/such/command' is not on this machine", False, id="command"),
        pytest.param({"command": [sys.executable], "cwd": "/no/such/folder"}, "folder '/no/such/", False, id="folder"),
        pytest.param([sys.executable, "-c", "raise SystemExit(3)"], "it ended with exit code 3", True, id="exits"),
        pytest.param([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], "by signal 9", True, id="killed"),
        pytest.param("http://127.0.0.1:9/mcp", "nobody answers at 127.0.0.1:9", True, id="port"),
    ],
)  # fmt: skip
async def test_a_server_that_is_not_there_refuses_the_whole_and_fails_the_call(
    spec: object, told: str, passes: bool
) -> None:
    async with calling({"odd": spec}) as at:
        with pytest.raises(Fault) as refused:
            await at.bound(one("*"))
        assert refused.value.code == ("unavailable" if passes else "not_configured")  # a client tries a 503 again
        assert "'odd'" in refused.value.detail and told in refused.value.detail
        hint = {"type": "object", "properties": {"q": {"type": "string"}}}
        (tool,) = await at.bound({"name": "t", "type": "mcp", "mcp": {**one("find")["mcp"], "input_schema": hint}})
        assert tool.mcp is not None and tool.mcp.input_schema == hint
        with pytest.raises(ToolFailure) as failed:
            await at.executor.execute(execution(tool, {}), at.desk)
        assert told in failed.value.text
        assert (failed.value.had_effect, failed.value.is_transient) == (False, passes)


@pytest.mark.parametrize("mode", ["deaf", "mute"])
async def test_a_server_that_does_not_answer_is_given_up_in_time(tmp_path: Path, mode: str) -> None:
    async with calling({"odd": odd(mode, cwd=tmp_path, start_seconds=0.5)}) as at:
        with anyio.fail_after(10), pytest.raises(Fault, match=r"the MCP server 'odd' did not answer in 0\.5 s"):
            await at.bound(one("*"))


async def test_after_three_failures_in_a_row_calls_fail_at_once_with_when_it_is_tried_again(tmp_path: Path) -> None:
    async with calling({"odd": odd("crash", cwd=tmp_path)}) as at:
        for _ in range(3):
            with pytest.raises(Unavailable, match=r"exit code 3$"):
                await at.servers["odd"].listing()
        with anyio.fail_after(0.5), pytest.raises(Unavailable, match=r"3 times in a row; it is tried again in 1 s"):
            await at.servers["odd"].listing()
        (tool,) = await at.bound(one("echo"))
        with pytest.raises(ToolFailure) as failed:
            await at.executor.execute(execution(tool, {}), at.desk)
        assert failed.value.retry_after_seconds is not None and 0 < failed.value.retry_after_seconds <= 1


async def test_a_server_that_comes_up_later_is_used_then(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    async with calling({"odd": {"command": [sys.executable, str(script)], "cwd": str(tmp_path)}}) as at:
        (early,) = await at.bound(one("echo"))
        assert early.mcp is not None and early.mcp.input_schema == {"type": "object"}
        script.write_text((Path(__file__).with_name("oddserver.py")).read_text())
        assert (await at.call("echo", text="hi")).text == "hi"
        assert at.executor.is_stale(early)  # so its schema is filled in before the next model call


async def test_a_missing_secret_is_named_when_the_server_is_needed(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path, env={"TOKEN": "${{secrets.ODD}}"})}) as at:
        with pytest.raises(Fault, match="needs the secret 'ODD', and there is none; set it with") as refused:
            await at.bound(one("*"))
        assert refused.value.code == "requirements_not_met"
        assert [each["key"] for each in refused.value.members["errors"]] == ["ODD"]


# -- dies ----------------------------------------------------------------------------------------------------------


async def test_a_call_that_dies_has_an_unknown_outcome_and_is_not_made_again(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        failed = await failure(at, "die")
        assert failed.text.startswith("unknown outcome: the connection to the MCP server 'odd' ended")
        assert failed.had_effect is None
        assert lines(tmp_path, "calls") == ["die"]
        assert (await at.call("echo", text="back")).text == "back"
    assert len(lines(tmp_path, "starts")) == 2


async def test_an_idempotent_call_that_dies_is_made_once_more_on_a_new_connection(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        assert (await at.call("die_once")).text == "alive"
    assert (lines(tmp_path, "calls"), len(lines(tmp_path, "starts"))) == (["die_once"] * 2, 2)


async def test_it_is_made_once_more_only(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        assert (await failure(at, "die_always")).is_transient
    assert lines(tmp_path, "calls") == ["die_always"] * 2


async def test_the_tool_itself_has_the_last_word_on_whether_it_may_be_made_again(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        (careful,) = await at.bound(one("die_once", idempotent=False))
        with pytest.raises(ToolFailure, match="unknown outcome"):
            await at.executor.execute(execution(careful, {}), at.desk)
    assert lines(tmp_path, "calls") == ["die_once"]


async def test_a_server_that_was_killed_between_calls_is_started_anew(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        pid = int((await at.call("pid")).text)
        os.kill(pid, signal.SIGKILL)
        await gone(pid)
        with anyio.fail_after(10):
            while (told := await self_told(at)) in (str(pid), None):
                await anyio.sleep(0.01)
        assert told is not None and is_alive(int(told))


async def self_told(at: Calling) -> str | None:
    """The process that answers; None: the call went out before the end of the one before was noticed."""
    try:
        return (await at.call("pid")).text
    except ToolFailure as failed:
        assert "unknown outcome: the connection" in failed.text
        return None


async def test_calls_beside_one_that_kills_the_server_fail_too_and_none_hangs(tmp_path: Path) -> None:
    ends: list[str] = []
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        await at.call("echo", text="up")

        async def slow() -> None:
            ends.append((await failure(at, "slow", pause=60)).text)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(slow)
            await anyio.wait_all_tasks_blocked()
            await failure(at, "die")
    assert len(ends) == 5
    assert all(text.startswith("unknown outcome") for text in ends)


# -- hangs ---------------------------------------------------------------------------------------------------------


async def test_a_call_that_hangs_is_cancelled_at_the_server_and_the_next_one_works(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        await at.call("echo", text="up")
        with anyio.move_on_after(0.3) as patience:
            await at.call("hang")
        assert patience.cancelled_caught
        assert (await at.call("echo", text="still there")).text == "still there"
    assert len(lines(tmp_path, "cancelled")) == 1
    assert len(lines(tmp_path, "starts")) == 1


async def test_calls_go_on_side_by_side(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        await at.call("echo", text="up")
        with anyio.fail_after(3):
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(lambda: at.call("slow", pause=0.5))


# -- floods --------------------------------------------------------------------------------------------------------


async def test_a_flood_of_notifications_comes_to_few_tells_and_the_result_comes_through(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        began = anyio.current_time()
        assert (await at.call("flood", count=1_000)).text == "flooded"
        took = anyio.current_time() - began
    assert took > 1.5  # 3,000 of them, 1,000 a second
    assert 1 <= len(at.desk.told) <= took / 0.1 + 2


async def test_a_shouting_server_is_logged_up_to_a_limit_and_without_its_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="agentkit.mcp")
    spec = odd(cwd=tmp_path, env={"TOKEN": "${{secrets.ODD}}"})
    async with calling({"odd": spec}, secrets={"ODD": "s3cr3t-value"}) as at:
        assert (await at.call("shout")).text == "shouted"
    heard = [each.getMessage() for each in caplog.records if "line" in each.getMessage()]
    assert 90 <= len(heard) <= 110
    assert any("more lines are left out" in each for each in heard)
    assert heard[0].endswith("line 0 ***")
    assert "s3cr3t-value" not in caplog.text


async def test_a_line_without_an_end_ends_the_connection(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        assert "unknown outcome" in (await failure(at, "endless_line")).text
        assert (await at.call("echo", text="back")).text == "back"


async def test_what_is_no_message_is_passed_over(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        assert (await at.call("garbage")).text == "after garbage"


async def test_a_tool_list_without_an_end_is_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with calling({"odd": odd("pages", cwd=tmp_path)}) as at:
        assert len((await at.servers["odd"].listing()).tools) == 1_000
    async with calling({"odd": odd("fat", cwd=tmp_path)}) as at:
        assert 9 <= len((await at.servers["odd"].listing()).tools) <= 10
    assert caplog.text.count("are left out") == 2


# -- lies ----------------------------------------------------------------------------------------------------------


async def test_a_result_that_misses_the_output_schema_fails_and_says_so(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        failed = await failure(at, "lie")
    assert "Invalid structured content returned by tool lie: 'one' is not of type 'integer'" in failed.text
    assert "On instance" not in failed.text


async def test_answers_that_are_no_mcp_fail_the_call(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        assert "answered what the protocol does not allow" in (await failure(at, "not_mcp")).text
        assert (await at.call("echo", text="still there")).text == "still there"
    async with calling({"odd": odd("no-list", cwd=tmp_path)}) as at:
        with pytest.raises(Fault, match="answered what the protocol does not allow"):
            await at.bound(one("*"))


async def test_an_error_of_the_protocol_is_told_in_its_words(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        assert (await failure(at, "refuse")).text == "the MCP server 'odd' says: there is no such tool"


# -- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("mcp:nothing-left")
async def test_leaving_ends_the_server_and_everything_that_it_started(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        pids = [int((await at.call("pid")).text), int((await at.call("child")).text)]
        assert all(map(is_alive, pids))
    for pid in pids:
        await gone(pid)


async def test_a_server_that_does_not_want_to_end_is_made_to(tmp_path: Path) -> None:
    async with calling({"odd": odd("stays", cwd=tmp_path)}) as at:
        pid = int((await at.call("pid")).text)
        began = anyio.current_time()
    assert anyio.current_time() - began < 6
    await gone(pid)


async def test_leaving_while_cancelled_ends_it_all_the_same(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with calling({"odd": odd(cwd=tmp_path)}) as at:
            pid = int((await at.call("pid")).text)
            scope.cancel()
            await at.call("hang")
    await gone(pid)


async def test_leaving_while_a_server_starts_ends_it_too(tmp_path: Path) -> None:
    refused: list[str] = []
    async with anyio.create_task_group() as group, calling({"odd": odd("mute", cwd=tmp_path)}) as at:

        async def bind() -> None:
            with pytest.raises(Fault) as fault:
                await at.bound(one("*"))
            refused.append(fault.value.detail)

        group.start_soon(bind)
        with anyio.fail_after(10):
            while not lines(tmp_path, "starts"):
                await anyio.sleep(0.01)
    assert refused == ["tool 't': the MCP server 'odd' is closed: the runtime stops"]
    await gone(int(lines(tmp_path, "starts")[0]))
