"""`agentkit mcp`: an agent over stdio and HTTP for the SDK's client, and the list of a server's tools."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp import Client, StdioServerParameters

from agentkit import inference
from tests.cli.console import Console, command, wait_for_line

AGENT = """
import os
from agentkit import tool

@tool
def add(a: int, b: int) -> dict:
    "Adds two numbers."
    print("adding")
    os.system("echo from a child")
    return {"sum": a + b}

agent = {"name": "Sum It", "description": "Adds.", "core_app": "offline/extract", "tools": [add]}
"""
TIME = f"{sys.executable} -m mcp_server_time --local-timezone UTC"

pytestmark = pytest.mark.heavy


@asynccontextmanager
async def over_stdio(console: Console, *arguments: str, mode: str = "auto") -> AsyncGenerator[Client]:
    program, *rest = command("mcp", "serve", *arguments)
    parameters = StdioServerParameters(
        command=program, args=rest, cwd=console.folder, env={**console.environ, "PATH": console.environ["PATH"]}
    )
    with anyio.fail_after(50):
        async with Client(parameters, mode=mode, cache=None) as client:
            yield client


@pytest.mark.asyncio_only  # the process is the same
@pytest.mark.parametrize("mode", [pytest.param("legacy", marks=pytest.mark.thorough), "auto"])
async def test_an_agent_in_python_is_served_with_its_tools_over_stdio(console: Console, mode: str) -> None:
    (console.folder / "team.py").write_text(AGENT)
    async with over_stdio(console, "--agent", "team:agent", "--tools", mode=mode) as client:
        tools = {each.name: each for each in (await client.list_tools()).tools}
        assert set(tools) == {"ask_sum_it", "add"}
        assert tools["ask_sum_it"].description == "Adds."
        assert (await client.call_tool("add", {"a": 1, "b": 2})).structured_content == {"sum": 3}
        result = await client.call_tool("ask_sum_it", {"message": "add a=1 and b=2"})
        assert not result.is_error and result.structured_content["chat_id"]


@pytest.mark.asyncio_only
@pytest.mark.thorough
async def test_a_file_and_a_stored_agent_are_served_too(console: Console, there: Console) -> None:
    (console.folder / "helper.json").write_text(json.dumps({"core_app": {"ref": "offline/extract"}}))
    async with over_stdio(console, "--agent", "helper.json") as client:
        assert [each.name for each in (await client.list_tools()).tools] == ["ask_helper"]
    with inference(base_url=there.environ["AGENTKIT_BASE_URL"]) as api:
        stored = api.agents.store({"core_app": {"ref": "offline/extract"}, "description": "Kept."}, name="kept")
    reference = f"{stored.namespace}/{stored.name}"
    async with over_stdio(there, "--agent", reference, "--base-url", there.environ["AGENTKIT_BASE_URL"]) as client:
        (found,) = (await client.list_tools()).tools
        assert (found.name, found.description) == ("ask_kept", "Kept.")
        assert not (await client.call_tool("ask_kept", {"message": "hello"})).is_error


@pytest.mark.asyncio_only
async def test_it_listens_for_http_on_this_machine(console: Console) -> None:
    (console.folder / "helper.json").write_text(json.dumps({"core_app": {"ref": "offline/extract"}}))
    with console.start("mcp", "serve", "--agent", "helper.json", "--http", "127.0.0.1:0") as process:
        line = await anyio.to_thread.run_sync(wait_for_line, process, "MCP at ")
        url = line.partition("MCP at ")[2].partition(";")[0]
        async with Client(url, cache=None) as client:
            assert [each.name for each in (await client.list_tools()).tools] == ["ask_helper"]
            assert not (await client.call_tool("ask_helper", {"message": "hello"})).is_error
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.thorough)],
    ids=["ctrl-c", "sigterm"],
)
def test_a_signal_ends_it_although_nobody_closes_stdin(console: Console, number: signal.Signals, code: int) -> None:
    (console.folder / "helper.json").write_text(json.dumps({"core_app": {"ref": "offline/extract"}}))
    with console.start("mcp", "serve", "--agent", "helper.json") as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 1
        process.send_signal(number)
        assert process.wait(20) == code


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        pytest.param(["--agent", "gone.json"], 2, "'gone.json' cannot be read", id="no file"),
        pytest.param(["--agent", "bad.json"], 2, "'bad.json' is no JSON", id="no json"),
        pytest.param(["--agent", "no_such_module:agent"], 2, "'no_such_module' cannot be imported", id="no module"),
        pytest.param(["--agent", "json:agent"], 2, "the module 'json' has no 'agent'", id="no name"),
        pytest.param(["--agent", "me/nobody"], 2, "there is no agent 'me/nobody'", id="no agent"),
        pytest.param(["--agent", "a/b", "--http", "8000"], 2, "is no HOST:PORT", id="no host"),
        pytest.param(["--agent", "a/b", "--http", "0.0.0.0:8000"], 1, "others could use the agent", id="open door"),
        pytest.param(["--agent", "a/b", "--db", "x", "--base-url", "http://h"], 2, "give one", id="both"),
    ],
)
def test_what_cannot_be_served_is_told_in_a_sentence(
    console: Console, arguments: list[str], code: int, told: str
) -> None:
    (console.folder / "bad.json").write_text("{")
    done = console.quick("mcp", "serve", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr and "Traceback" not in done.stderr


def test_a_servers_tools_are_listed(console: Console) -> None:
    done = console.run("mcp", "list", TIME)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[:2] for row in rows] == [["get_current_time", "reads"], ["convert_time", "reads"]]
    records = console.quick("mcp", "list", TIME, "--json")
    found: list[dict[str, Any]] = json.loads(records.stdout)
    assert found[0]["input_schema"]["required"] == ["timezone"]


@pytest.mark.parametrize(
    ("server", "code", "told"),
    [
        pytest.param("/no/such/server", 5, "is not on this machine", id="command"),
        pytest.param("http://127.0.0.1:9/mcp", 5, "nobody answers at 127.0.0.1:9", id="url"),
        pytest.param(" ", 1, "a command is a line of text", id="nothing"),
    ],
)
def test_a_server_that_is_not_there_is_told_in_a_sentence(console: Console, server: str, code: int, told: str) -> None:
    done = console.quick("mcp", "list", server)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr and "Traceback" not in done.stderr


def test_nothing_is_left_of_it(console: Console) -> None:
    (console.folder / "helper.json").write_text(json.dumps({"core_app": {"ref": "offline/extract"}}))
    done = subprocess.run(
        command("mcp", "serve", "--agent", "helper.json"), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=50, cwd=console.folder, env=dict(console.environ), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    console.wait_until_nothing_is_left()
    assert [str(each) for each in Path(console.folder).iterdir()] == [str(console.folder / "helper.json")]
