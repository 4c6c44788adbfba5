"""The reference server `@modelcontextprotocol/server-everything`, over stdio and over streamable HTTP."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit import mcp_server
from agentkit.runtime.executors import Answered
from tests.conformance.official import HOME, NODE, _install
from tests.runtime.mcp.calling import Desk, calling, execution

PACKAGE = "@modelcontextprotocol/server-everything@2026.8.31"  # raise it by hand, so that a release breaks no build
TOOLS = {
    *("echo", "get-annotated-message", "get-env", "get-resource-links", "get-resource-reference"),
    *("get-roots-list", "get-structured-content", "get-sum", "get-tiny-image", "gzip-file-as-resource"),
    *("simulate-research-query", "toggle-simulated-logging", "toggle-subscriber-updates"),
    *("trigger-elicitation-request", "trigger-long-running-operation", "trigger-sampling-request"),
    "trigger-url-elicitation",
}

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning"),  # see test_http.py
]


@pytest.fixture(scope="module")
def program() -> list[str]:
    """The command that starts the server. Skips where node is missing, or the package cannot be had (in CI: fails)."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed here")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(map(int, version.lstrip("v").split(".")[:2])) < NODE:
        pytest.skip(f"node {version} is too old")
    home = HOME / PACKAGE.replace("/", "-").removeprefix("@").replace("@", "-")
    quiet = ["--no-audit", "--no-fund", "--silent", "--cache", str(HOME / "npm")]
    _install(home, lambda target: [npm, "install", "--prefix", str(target), *quiet, PACKAGE], what=PACKAGE)
    return [node, str(home / "node_modules" / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js")]


@contextmanager
def over_http(program: list[str], folder: Path) -> Generator[str]:
    """The URL of the server, which listens on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"PATH": os.environ["PATH"], "PORT": str(port)}
    command = [*program, "streamableHttp"]
    with subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if b"listening on port" in line:
                    break
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest, program: list[str], tmp_path: Path) -> Generator[Mapping[str, Any]]:
    """The server's configuration, by transport."""
    more = {"sampling": True, "roots": [str(tmp_path)]}
    if request.param == "stdio":
        yield {"command": program, **more}
    else:
        with over_http(program, tmp_path) as url:
            yield {"url": url, **more}


async def test_its_tools_are_listed_and_called(server: Mapping[str, Any], tmp_path: Path) -> None:
    desk = Desk(answer=lambda meta: Answered(True, {"name": "Ada", "check": True}))
    async with calling({"everything": server}, desk=desk) as at:
        tools = {tool.mcp.tool_name: tool for tool in await at.bound(mcp_server("everything").build()) if tool.mcp}
        assert set(tools) == TOOLS

        async def call(name: str, **arguments: Any) -> Any:
            with anyio.fail_after(15):
                return await at.executor.execute(execution(tools[name], arguments), desk)

        assert (await call("echo", message="hi")).text == "Echo: hi"
        assert "42" in (await call("get-sum", a=20, b=22)).text
        assert (await call("get-structured-content", location="Chicago")).data["conditions"]
        assert (await call("get-tiny-image")).files[0].content_type == "image/png"
        assert "blob" in (await call("get-resource-links", count=2)).text.lower()
        assert tmp_path.as_uri() in (await call("get-roots-list")).text
        desk.told.clear()
        await call("trigger-long-running-operation", duration=1, steps=3)
        assert [told[1:] for told in desk.told if told[1] is not None] == [(1.0, 3.0), (2.0, 3.0), (3.0, 3.0)]
        assert "Ada" in (await call("trigger-elicitation-request")).text
        assert "blue" in (await call("trigger-sampling-request", prompt="Name a colour", maxTokens=20)).text
