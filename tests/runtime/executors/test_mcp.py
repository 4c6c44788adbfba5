"""Tools of MCP servers: how they are bound, what their results become, and what servers may ask for meanwhile."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit import mcp_server, mcp_tool
from agentkit.errors import ToolDefinitionError
from agentkit.runtime.executors import Answered, Produced, ToolFailure
from agentkit.runtime.faults import Fault
from agentkit.runtime.mcp.listing import free_name, usable_schema
from agentkit.wire import AgentTool, InterruptReason
from tests.runtime.mcp.calling import Calling, Desk, calling, execution, lines, odd, one
from tests.runtime.mcp.oddserver import PIXEL

pytestmark = pytest.mark.heavy


def by_name(tools: Any) -> dict[str, AgentTool]:
    return {tool.name: tool for tool in tools}


# -- binding -------------------------------------------------------------------------------------------------------


async def test_one_tool_gets_the_schema_the_description_and_the_hints_of_the_server(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        (tool,) = await at.bound(mcp_tool("say", server="odd", tool_name="echo").build())
        (own,) = await at.bound(mcp_tool("say", "odd", "echo").describe("Mine.").build())
    assert tool.mcp is not None
    assert (tool.name, tool.description, own.description) == ("say", "Says it again.", "Mine.")
    assert tool.mcp.input_schema == {
        "type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]
    }  # fmt: skip
    assert tool.mcp.get("annotations") == {"readOnlyHint": True}
    assert at.executor.is_idempotent(execution(tool, {}))


async def test_a_server_stands_for_all_its_tools_under_names_that_models_take(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        plain = await at.bound(mcp_server("odd", prefix="").build())
        prefixed = await at.bound(mcp_server("odd", only=["echo", "9 lives"]).timeout(7).build())
    names = [tool.name for tool in plain]
    assert len(set(names)) == len(names)
    assert names[:6] == ["echo", "wipe", "wipe_nothing_", "_9_lives", "_9-lives", "lie"]
    assert [tool.name for tool in prefixed] == ["odd_echo", "odd_9_lives"]
    assert {tool.timeout for tool in prefixed} == {7}
    assert [tool.mcp.tool_name for tool in prefixed if tool.mcp] == ["echo", "9 lives"]
    assert by_name(plain)["wipe"].display_name == "Wipe all"


@pytest.mark.requirement("mcp:annotations")
@pytest.mark.parametrize(
    ("approval", "asked"),
    [
        pytest.param(None, {"wipe": True, "wipe_nothing_": False, "echo": False, "die": False}, id="the server's word"),
        pytest.param("always", {"wipe": True, "wipe_nothing_": True, "echo": True, "die": True}, id="always"),
        pytest.param("never", {"wipe": False, "wipe_nothing_": False, "echo": False, "die": False}, id="never"),
    ],
)
async def test_who_has_to_allow_what(tmp_path: Path, approval: Any, asked: dict[str, bool]) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        tools = by_name(await at.bound(mcp_server("odd", approval=approval, prefix="").build()))
        strict = by_name(await at.bound(mcp_server("odd", approval=approval, prefix="").require_approval().build()))
    assert {name: tools[name].require_approval for name in asked} == asked
    assert all(tool.require_approval for tool in strict.values())


async def test_schemas_that_are_none_let_any_arguments_through(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        tools = by_name(await at.bound(mcp_server("odd", prefix="").build()))
    for name in ("_9_lives", "_9-lives"):
        mcp = tools[name].mcp
        assert mcp is not None and mcp.input_schema == {"type": "object"}
    assert "tool '9 lives' of the MCP server 'odd': any arguments are let through" in caplog.text


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        pytest.param(one("echo", server="elsewhere"), "no MCP server 'elsewhere'; there are odd", id="server"),
        pytest.param(one("ehco"), "the MCP server 'odd' has no tool 'ehco'; it has echo, wipe", id="tool"),
        pytest.param(mcp_server("odd", only=["ehco"]).build(), "has no tool 'ehco'", id="only"),
        pytest.param(one(""), "`mcp` names a `server` and a `tool_name`", id="no tool"),
        pytest.param({"name": "t", "type": "mcp"}, "`mcp` names a `server` and a `tool_name`", id="no config"),
    ],
)
async def test_what_could_never_work_is_refused_with_what_there_is(tmp_path: Path, tool: Any, told: str) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        with pytest.raises(Fault) as refused:
            await at.bound(tool)
    assert told in refused.value.detail


async def test_without_any_server_the_way_to_configure_one_is_told() -> None:
    async with calling({}) as at:
        with pytest.raises(Fault, match=r"none is configured \(Runtime\(mcp=\.\.\.\)\)"):
            await at.bound(one("echo"))


@pytest.mark.requirement("mcp:list-changed")
async def test_tools_are_stale_when_the_server_says_so_until_they_are_bound_again(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        before = await at.bound(mcp_server("odd").build())
        (other,) = await at.bound(one("echo"))
        assert not at.executor.is_stale(before[0])
        await at.call("more_tools")
        with anyio.fail_after(5):
            while not at.executor.is_stale(before[0]):
                await anyio.sleep(0.01)
        after = await at.bound(mcp_server("odd").build())
        assert {tool.name for tool in after} - {tool.name for tool in before} == {"odd_extra0"}
        assert not at.executor.is_stale(after[0])
        assert at.executor.is_stale(other)
    assert len(lines(tmp_path, "lists")) == 2  # as often as there was something new


async def test_tools_that_were_bound_before_a_restart_are_not_stale_after_it(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        (tool,) = await at.bound(one("echo"))
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        assert not at.executor.is_stale(tool)  # nobody asked the server yet
        await at.bound(one("echo"))
        assert not at.executor.is_stale(tool)  # and it has the same tools


def test_builders_say_what_they_mean_and_refuse_the_rest() -> None:
    built = mcp_server("my.server", only=["a"], approval="always", prefix="m_").build()
    assert (built["name"], built["type"]) == ("my_server", "mcp")
    told = {"server": "my.server", "tool_name": "*", "only": ["a"], "approval": "always", "prefix": "m_"}
    assert built["mcp"] == told
    wrong: Any = mcp_server
    for call in (lambda: wrong(""), lambda: wrong("s", approval="maybe"), lambda: wrong("s", only="a")):
        with pytest.raises(ToolDefinitionError):
            call()
    with pytest.raises(ToolDefinitionError, match="the server knows the parameters"):
        mcp_server("s").param("q", {"type": "string"}).build()


def test_names_are_made_to_fit_and_stay_apart() -> None:
    assert free_name("get weather (v2)", ()) == "get_weather_v2_"
    assert free_name("日本", ()) == "_"
    assert free_name("", ()) == "tool"
    long = free_name("x" * 100, ())
    assert (len(long), free_name("x" * 100, [long])) == (64, f"{'x' * 62}_2")
    assert free_name("1st", ["_1st", "_1st_2"]) == "_1st_3"


def test_a_schema_is_an_object_or_any_object() -> None:
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(20_000):
        deep = {"type": "object", "properties": {"x": deep}}
    assert usable_schema(deep, what="tool 'x'") == {"type": "object"}
    assert usable_schema({"type": "array"}, what="tool 'x'") == {"type": "object"}
    assert usable_schema({"properties": {"a": {}}}, what="tool 'x'") == {"type": "object", "properties": {"a": {}}}


# -- results -------------------------------------------------------------------------------------------------------


async def test_text_is_text_and_everything_else_a_file_or_a_word(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        got = await at.call("parts")
    assert got.text == "look\na note\n[a.pdf](https://files.example/a.pdf)\n[row](db://row/1)"
    assert [(file.uri, file.content_type) for file in got.files] == [
        ("inf://files/t-1.png", "image/png"),
        ("inf://files/t-2.wav", "audio/wav"),
        ("inf://files/t-3.zip", "application/zip"),
        ("https://files.example/a.pdf", ""),
    ]
    assert at.desk.kept["t-1.png"] == ("image/png", base64.b64decode(PIXEL))
    assert at.desk.kept["t-3.zip"] == ("application/zip", b"\x00\x01\x02")


async def test_structured_content_is_data_and_text_where_there_is_no_other(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        assert await at.call("data") == Produced('{"n":1}', {"n": 1}, [])
        assert (await at.call("bad_base64")).text == "[image left out: it is not base64]"


@pytest.mark.parametrize(
    ("name", "told", "data"),
    [
        pytest.param("fail", "no such city", {"city": "Atlantis"}, id="with words"),
        pytest.param("fail_silently", "the tool reports an error, and says nothing about it", None, id="without"),
    ],
)
async def test_an_error_of_the_tool_is_a_failure_in_its_words(tmp_path: Path, name: str, told: str, data: Any) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        with pytest.raises(ToolFailure) as failed:
            await at.call(name)
    assert (failed.value.text, failed.value.data, failed.value.is_transient) == (told, data, False)


async def test_a_child_is_told_its_secret_and_none_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ours")
    spec = odd(cwd=tmp_path, env={"TOKEN": "${{secrets.ODD}}"})
    async with calling({"odd": spec}, secrets={"ODD": "t0ken", "OTHER": "0ther"}) as at:
        environ = (await at.call("environ")).data
    assert environ["TOKEN"] == "t0ken"
    assert not {"sk-ours", "0ther"} & set(environ.values())


# -- what servers ask for ------------------------------------------------------------------------------------------


async def test_progress_and_log_lines_are_told(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        await at.call("progress")
        assert at.desk.told == [("step 1", 1.0, 2.0), ("step 2", 2.0, 2.0)]
        await at.call("log")
        assert at.desk.told[2:] == [("half way", None, None)]


@pytest.mark.parametrize(
    ("answered", "heard"),
    [
        pytest.param(Answered(True, {"name": "Ada"}), {"action": "accept", "content": {"name": "Ada"}}, id="accept"),
        pytest.param(Answered(False, None, "no"), {"action": "decline"}, id="decline"),
    ],
)
async def test_a_form_is_filled_in_by_a_person(tmp_path: Path, answered: Answered, heard: Any) -> None:
    desk = Desk(answer=lambda meta: answered)
    async with calling({"odd": odd(cwd=tmp_path)}, desk=desk) as at:
        assert json.loads((await at.call("ask")).text) == heard
    ((reason, meta, schema),) = desk.asked
    assert (reason, meta) == (InterruptReason.CONFIRMATION, {"message": "Who?", "server": "odd"})
    assert schema == {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


async def test_a_url_is_shown_to_a_person(tmp_path: Path) -> None:
    desk = Desk(answer=lambda meta: Answered(True))
    async with calling({"odd": odd(cwd=tmp_path)}, desk=desk) as at:
        assert json.loads((await at.call("open")).text) == {"action": "accept"}
    assert desk.asked[0][1:] == ({"message": "Sign in", "server": "odd", "url": "https://sign.example/in"}, None)


async def test_a_question_is_over_with_its_call(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:  # nobody answers
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                await at.call("ask")

            group.start_soon(ask)
            with anyio.fail_after(10):
                await at.desk.is_asking.wait()
            group.cancel_scope.cancel()
        answering = Desk(answer=lambda meta: Answered(True, {"name": "Bo"}))
        assert "Bo" in (await at.call("ask", desk=answering)).text


async def test_nobody_is_asked_about_the_call_of_another_chat(tmp_path: Path) -> None:
    async with calling({"odd": odd(cwd=tmp_path)}) as at:
        await at.call("echo", text="up")
        mine, theirs = Desk(answer=lambda meta: Answered(True, {"name": "Ada"})), Desk()
        async with anyio.create_task_group() as group:

            async def hang() -> None:
                await at.call("hang", chat="chat2", desk=theirs)

            group.start_soon(hang)
            await anyio.wait_all_tasks_blocked()
            refused = json.loads((await at.call("ask", desk=mine)).text)
            group.cancel_scope.cancel()
    assert refused == {"code": -32600, "message": "it is not clear which call asks"}
    assert (mine.asked, theirs.asked) == ([], [])


async def test_the_model_answers_servers_that_may_ask_it_and_no_others(tmp_path: Path) -> None:
    servers = {"odd": odd(cwd=tmp_path), "trusted": odd(cwd=tmp_path, sampling=True)}
    async with calling(servers) as at:
        assert "Sampling not supported" in (await at.call("sample")).text
        assert not at.desk.sampled
        said = json.loads((await at.call("sample", server="trusted")).text)
    assert said["content"] == {"type": "text", "text": "blue"}
    (request,) = at.desk.sampled
    assert (request.system_prompt, request.messages[0].text) == ("Be brief.", "Name a colour")
    assert request.settings == {"max_tokens": 20}


async def test_servers_are_told_of_their_roots_and_no_others(tmp_path: Path) -> None:
    servers = {"odd": odd(cwd=tmp_path), "rooted": odd(cwd=tmp_path, roots=[str(tmp_path)])}
    async with calling(servers) as at:
        assert "List roots not supported" in (await at.call("roots")).text
        told = json.loads((await at.call("roots", server="rooted")).text)
    assert told["roots"] == [{"uri": tmp_path.as_uri(), "name": tmp_path.name}]


# -- a real one ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("mcp:real-server")
async def test_the_time_server_tells_the_time() -> None:
    command = [sys.executable, "-m", "mcp_server_time", "--local-timezone", "Europe/Amsterdam"]
    async with calling({"time": command}) as at:
        tools = by_name(await at.bound(mcp_server("time").build()))
        assert set(tools) == {"time_get_current_time", "time_convert_time"}
        asked = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        got = await _execute(at, tools["time_convert_time"], asked)
        assert json.loads(got.text)["time_difference"] == "+9.0h"
        with pytest.raises(ToolFailure, match="Atlantis"):
            await _execute(at, tools["time_get_current_time"], {"timezone": "Atlantis"})
        assert at.executor.is_idempotent(execution(tools["time_convert_time"], {}))


async def _execute(at: Calling, tool: AgentTool, arguments: dict[str, Any]) -> Produced:
    with anyio.fail_after(15):
        return await at.executor.execute(execution(tool, arguments), at.desk)
