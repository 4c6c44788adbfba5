"""The same small tool in every kind: `work(do)`, with a ledger of what really happened.

`do` is text, json, image, fail, hang or large. Behind each kind is the real thing: an HTTP server on loopback, an MCP
server as a process, an app in a worker, another agent, the platform's own tools.
"""

from __future__ import annotations

import http.server
import json
import sys
import threading
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import anyio

from agentkit.testing import call, finish, hang
from tests.apps.folders import write_app
from tests.runtime.playing import Play, invocations, playing

__all__ = ["KINDS", "LARGE", "PIXEL", "PROPERTIES", "Rig", "rigged"]

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # one pixel, PNG
)
LARGE = 200_000  # characters
SECRET = "sk-conformance-5a1f0c"
SCHEMA = {
    "type": "object",
    "properties": {"do": {"type": "string", "enum": ["text", "json", "image", "fail", "hang", "large"]}},
    "required": ["do"],
}
KINDS = ("client", "app", "agent", "http", "hook", "mcp", "internal")
PROPERTIES = (
    "text",
    "json",
    "image",
    "schema",
    "approval",
    "rejection",
    "failure",
    "timeout",
    "stop",
    "large",
    "siblings",
    "repeats",
    "restart",
    "secrets",
)
"""What the suite proves of every kind."""


@dataclass
class Rig:
    """One kind, running: the platform's options, the tool's definition, and what was really done."""

    kind: str
    tool: dict[str, Any]
    ledger: Callable[[], list[str]]
    options: dict[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)  # properties that the kind cannot have, and why
    child: dict[str, Any] = field(default_factory=dict)  # further scripts of the model

    def defined(self, **more: Any) -> dict[str, Any]:
        """The tool's definition."""
        return {**self.tool, **more}


# -- what is behind the kinds ----------------------------------------------------------------------------------------


class _Handler(http.server.BaseHTTPRequestHandler):
    """POST: does what the body's `do` says, or the body's `arguments.do`."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        do = body["arguments"]["do"] if "arguments" in body else body["do"]
        self.server.done.append(do)
        assert SECRET in str(self.headers) or "X-Webhook-Signature" in self.headers
        match do:
            case "json":
                self._answer(200, "application/json", json.dumps({"sum": 4, "parts": [1, 3]}).encode())
            case "image":
                self._answer(200, "image/png", b64decode(PIXEL))
            case "fail":
                self._answer(422, "text/plain", b"the shelf is empty")
            case "hang":
                self.server.released.wait(20)
                self.close_connection = True
            case "large":
                self._answer(200, "text/plain", b"x" * LARGE)
            case _:
                self._answer(200, "text/plain", b"swept the floor")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.done: list[str] = []
        self.released = threading.Event()


@contextmanager
def _http_server() -> Generator[_Server]:
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


MCP_SERVER = '''
"""An MCP server over stdio, by hand: one tool, `work`."""
import json, sys, threading

PIXEL, LARGE, LEDGER = sys.argv[1], int(sys.argv[2]), sys.argv[3]
SCHEMA = json.loads(sys.argv[4])
lock = threading.Lock()

def send(message):
    with lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\\n")
        sys.stdout.flush()

def work(id, do):
    with open(LEDGER, "a") as ledger:
        ledger.write(do + "\\n")
    text = lambda words: [{"type": "text", "text": words}]
    if do == "json":
        found = {"sum": 4, "parts": [1, 3]}
        send({"id": id, "result": {"content": text(json.dumps(found)), "structuredContent": found}})
    elif do == "image":
        send({"id": id, "result": {"content": [{"type": "image", "data": PIXEL, "mimeType": "image/png"}]}})
    elif do == "fail":
        send({"id": id, "result": {"content": text("the shelf is empty"), "isError": True}})
    elif do == "large":
        send({"id": id, "result": {"content": text("x" * LARGE)}})
    elif do != "hang":
        send({"id": id, "result": {"content": text("swept the floor")}})

for line in sys.stdin:
    asked = json.loads(line)
    id, params = asked.get("id"), asked.get("params") or {}
    match asked.get("method"):
        case "initialize":
            send({"id": id, "result": {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                                       "serverInfo": {"name": "work", "version": "1"}}})
        case "tools/list":
            send({"id": id, "result": {"tools": [{"name": "work", "description": "Works", "inputSchema": SCHEMA}]}})
        case "tools/call":
            work(id, params["arguments"]["do"])
        case "ping":
            send({"id": id, "result": {}})
        case str(method) if id is not None:
            send({"id": id, "error": {"code": -32601, "message": "no " + method}})
'''

APP = """
import time
from base64 import b64decode
from pathlib import Path
from typing import Any, Literal
from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, File

class In(BaseAppInput):
    do: Literal["text", "json", "image", "fail", "hang", "large"]
    ledger: str = ""

class Out(BaseAppOutput):
    result: str = ""
    sum: int = 0
    parts: list[int] = []
    image: File | None = None

class App(BaseApp):
    def run(self, app_input: In) -> Out:
        with open(app_input.ledger, "a") as ledger:
            ledger.write(app_input.do + "\\n")
        match app_input.do:
            case "json":
                return Out(sum=4, parts=[1, 3])
            case "image":
                Path("a.png").write_bytes(b64decode(PIXEL))
                return Out(image=File(path=str(Path("a.png").absolute())))
            case "fail":
                raise ValueError("the shelf is empty")
            case "hang":
                time.sleep(60)
            case "large":
                return Out(result="x" * LARGE)
        return Out(result="swept the floor")
"""


def _lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


# -- the kinds -------------------------------------------------------------------------------------------------------


def _http(folder: Path, server: _Server) -> Rig:
    config = {"url": f"http://127.0.0.1:{server.server_port}/work", "input_schema": SCHEMA}
    auth = {"auth": {"type": "bearer", "secret": "WORK_KEY"}}
    return Rig("http", {"name": "work", "type": "http", "http": {**config, **auth}}, lambda: list(server.done))


def _hook(folder: Path, server: _Server) -> Rig:
    config = {"url": f"http://127.0.0.1:{server.server_port}/work", "input_schema": SCHEMA, "secret": "WORK_KEY"}
    return Rig("hook", {"name": "work", "type": "hook", "hook": config}, lambda: list(server.done))


def _mcp(folder: Path, server: _Server) -> Rig:
    script, ledger = folder / "mcp_server.py", folder / "ledger"
    script.write_text(MCP_SERVER)
    command = [sys.executable, "-u", str(script), PIXEL, str(LARGE), str(ledger), json.dumps(SCHEMA)]
    return Rig(
        "mcp",
        {"name": "work", "type": "mcp", "mcp": {"server": "works", "tool_name": "work"}},
        lambda: _lines(ledger),
        {"mcp": {"works": {"command": command, "env": {"WORK_KEY": "${{secrets.WORK_KEY}}"}}}},
    )


def _app(folder: Path, server: _Server) -> Rig:
    ledger = folder / "ledger"
    head = f"PIXEL = {PIXEL!r}\nLARGE = {LARGE}\n"
    manifest = """
        name: works
        namespace: local
        kernel: python-3.11
        required_secrets:
          - key: WORK_KEY
    """
    app = write_app(folder / "app", dedent(APP), head=head, manifest=manifest)
    return Rig(
        "app",
        {"name": "work", "type": "app", "app": {"ref": "local/works", "fixed_input": {"ledger": str(ledger)}}},
        lambda: _lines(ledger),
        {"apps": {"local/works": app}},
    )


def _agent(folder: Path, server: _Server) -> Rig:
    done: list[str] = []

    def child(request: Any) -> Any:
        do = request.messages[0].text
        if do not in SCHEMA["properties"]["do"]["enum"]:  # type: ignore[index]
            do = json.loads(do)["do"]
        done.append(do)
        match do:
            case "json":
                return finish({"result": json.dumps({"sum": 4, "parts": [1, 3]})})
            case "fail":
                raise RuntimeError("the shelf is empty")
            case "hang":
                return hang()
            case "large":
                return finish({"result": "x" * LARGE})
            case _:
                return finish({"result": "swept the floor"})

    config = {"core_app": {"ref": "scripted/child"}, "name": "worker"}
    return Rig(
        "agent",
        {"name": "work", "type": "agent", "agent": {"config": config, "input_schema": SCHEMA}},
        lambda: list(done),
        child={"child": [child] * 40},
        left_out={"image": "a sub-agent answers with text or an output", "secrets": "its model's key is not its own"},
    )


def _client(folder: Path, server: _Server) -> Rig:
    return Rig(
        "client",
        {"name": "work", "type": "client", "client": {"input_schema": SCHEMA}},
        list,
        left_out={
            "timeout": "the client that runs it has the clock",
            "restart": "it runs in another process; its result is taken whenever it comes",
            "secrets": "the client has its own",
            "large": "what a client sends is its own choice",
            "siblings": "a client runs its calls as it likes",
        },
    )


def _internal(folder: Path, server: _Server) -> Rig:
    never = "it only changes rows of the chat, in the transaction that settles it"
    return Rig(
        "internal",
        {},
        list,
        left_out={
            "image": never,
            "timeout": never,
            "stop": never,
            "large": never,
            "restart": never,
            "secrets": never,
            "siblings": never,
            "approval": "it touches nothing outside of the chat",
            "rejection": "it touches nothing outside of the chat",
            "json": "its results are text for the model",
        },
    )


_RIGS: Mapping[str, Callable[[Path, _Server], Rig]] = {
    "client": _client,
    "app": _app,
    "agent": _agent,
    "http": _http,
    "hook": _hook,
    "mcp": _mcp,
    "internal": _internal,
}


@contextmanager
def rigged(kind: str, folder: Path) -> Generator[Rig]:
    """The kind's rig; what is behind it runs while entered."""
    with _http_server() as server:
        rig = _RIGS[kind](folder, server)
        rig.options |= {
            "secrets": {"WORK_KEY": SECRET},
            "allow_hosts": [f"127.0.0.1:{server.server_port}"],
        }
        yield rig


@asynccontextmanager
async def at_work(rig: Rig, *steps: Any, **more: Any) -> AsyncGenerator[Play]:
    """A chat whose agent has the tool; the model says the steps."""
    options = {**rig.options, **more}
    tools = [rig.defined(**options.pop("tool", {}))] if rig.tool else []
    scripts = {"model": [*steps], **rig.child}
    async with AsyncExitStack() as stack:
        play = await stack.enter_async_context(playing(scripts=scripts, tools=tools, **options))
        if rig.kind == "client":
            group = await stack.enter_async_context(anyio.create_task_group())
            group.start_soon(_answering, play)
            stack.callback(group.cancel_scope.cancel)
        yield play


def work(do: str = "text", **more: Any) -> Any:
    """The model's call of the tool."""
    return call("work", {"do": do, **more})


async def _answering(play: Play) -> None:
    """The client of client tools: answers what waits for it, as soon as it does."""
    answered: set[str] = set()
    while True:
        await anyio.sleep(0.005)
        if play.chat_id is None:
            continue
        for each in invocations(await play.chat()):
            if each["status"] == "awaiting_input" and each["id"] not in answered:
                answered.add(each["id"])
                await _answer(play, each["id"], each["function"]["arguments"]["do"])


async def _answer(play: Play, invocation_id: str, do: str) -> None:
    match do:
        case "hang":
            return
        case "json":
            await play.answer(invocation_id, json.dumps({"sum": 4, "parts": [1, 3]}))
        case "fail":
            await play.answer(invocation_id, "the shelf is empty", failed=True)
        case "image":
            file = {"uri": f"data:image/png;base64,{PIXEL}", "content_type": "image/png"}
            await play.answer(invocation_id, "drawn", attachments=[file])
        case _:
            await play.answer(invocation_id, "swept the floor")
