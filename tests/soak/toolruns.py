"""Many runs of parallel tools at random latencies and failures, while their MCP server is killed again and again.

`python -m tests.soak.toolruns --runs 1000 --seed 1` prints the figures as JSON; exit 1 where it fails. Every invocation
must have exactly one terminal event in its chat's log, every run its end, and no process may be left.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import anyio

from agentkit.runtime.open import open_platform
from agentkit.runtime.platform import Platform
from agentkit.testing import Scripted, call
from agentkit.wire import RunAgentRequest

OWNER = "local"
PARALLEL = 8
AT_ONCE = 40  # runs
MOST_SECONDS = 1_200

MCP_SERVER = '''
"""An MCP server by hand: `slow(n)` answers after a while that depends on n, or fails."""
import json, os, sys, threading, time

lock = threading.Lock()
with open(os.path.join(sys.argv[1], str(os.getpid())), "w"):
    pass

def send(message):
    with lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\\n")
        sys.stdout.flush()

def slow(id, n):
    time.sleep(n % 7 * 0.01)
    if n % 5 == 0:
        send({"id": id, "result": {"content": [{"type": "text", "text": "no %d" % n}], "isError": True}})
    else:
        send({"id": id, "result": {"content": [{"type": "text", "text": "did %d" % n}]}})

TOOL = {"name": "slow", "inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}
for line in sys.stdin:
    asked = json.loads(line)
    id, params = asked.get("id"), asked.get("params") or {}
    match asked.get("method"):
        case "initialize":
            send({"id": id, "result": {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                                       "serverInfo": {"name": "slow", "version": "1"}}})
        case "tools/list":
            send({"id": id, "result": {"tools": [TOOL]}})
        case "tools/call":
            threading.Thread(target=slow, args=(id, params["arguments"]["n"]), daemon=True).start()
        case "ping":
            send({"id": id, "result": {}})
        case str(method) if id is not None:
            send({"id": id, "error": {"code": -32601, "message": "no " + method}})
'''

NUMBER: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@dataclass
class Report:
    """What came of it."""

    seed: int
    runs: int
    seconds: float = 0.0
    kills: int = 0
    model_calls: int = 0
    invocations: dict[str, int] = field(default_factory=dict[str, int])  # "kind status": how many
    failures: dict[str, int] = field(default_factory=dict[str, int])  # the first words of what the model read


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        number = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["n"]
        time.sleep(number % 6 * 0.01)
        if number % 11 == 0:
            self.close_connection = True  # without an answer
            return
        status = 503 if number % 4 == 0 else 422 if number % 9 == 0 else 200
        body = f"did {number}".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def _http_server() -> Generator[int]:
    server = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def agent(port: int) -> dict[str, Any]:
    """An agent with tools of four kinds."""
    return {
        "core_app": {"ref": "scripted/parent"},
        "tools": [
            {"name": "over_mcp", "type": "mcp", "mcp": {"server": "slow", "tool_name": "slow"}},
            {
                "name": "over_http",
                "type": "http",
                "retries": 1,
                "idempotent": True,
                "timeout": 10,
                "http": {"url": f"http://127.0.0.1:{port}/", "input_schema": NUMBER},
            },
            {
                "name": "ask",
                "type": "agent",
                "agent": {"config": {"core_app": {"ref": "scripted/child"}}, "input_schema": NUMBER},
            },
        ],
    }


async def soak(runs: int, *, seed: int, folder: Path, kill_pause: float = 1.5) -> Report:
    """Runs them. Raises AssertionError where an invocation has none or several ends."""
    chance, report = random.Random(seed), Report(seed, runs)
    (script := folder / "server.py").write_text(MCP_SERVER)
    (pids := folder / "pids").mkdir()
    names = ["over_mcp"] * 4 + ["over_http"] * 2 + ["ask", "memory_set"]

    def calls() -> list[Any]:
        chosen = [(name, chance.randrange(1_000_000)) for name in chance.sample(names, PARALLEL)]
        return [call(name, {"key": str(n), "value": n} if name == "memory_set" else {"n": n}) for name, n in chosen]

    plans = [calls() for _ in range(runs)]
    parent: list[Any] = [lambda request: plans.pop() if request.messages[-1].role == "user" else "done"] * (2 * runs)
    model = Scripted({"parent": parent, "child": ["well"] * (2 * runs)}, chunk_size=None)
    with _http_server() as port:
        async with open_platform(
            db=folder / "soak.db",
            providers={"scripted": model},
            environ={},
            synchronous="OFF",
            allow_hosts=[f"127.0.0.1:{port}"],
            mcp={"slow": [sys.executable, "-u", str(script), str(pids)]},
        ) as platform:
            began = time.monotonic()
            with anyio.fail_after(MOST_SECONDS):
                async with anyio.create_task_group() as group:
                    group.start_soon(_kill, pids, chance, kill_pause, report)
                    await _all(platform, runs, agent(port), report)
                    group.cancel_scope.cancel()
            report.seconds = round(time.monotonic() - began, 2)
            report.model_calls = len(model.requests)
    assert not [pid for pid in _pids(pids) if _is_alive(pid)], "an MCP server is left"
    return report


async def _all(platform: Platform, runs: int, config: dict[str, Any], report: Report) -> None:
    places = anyio.Semaphore(AT_ONCE)
    counts, told = Counter[str](), Counter[str]()

    async def one() -> None:
        async with places:
            await _run(platform, config, counts, told)

    async with anyio.create_task_group() as group:
        for _ in range(runs):
            group.start_soon(one)
    report.invocations, report.failures = dict(sorted(counts.items())), dict(told.most_common(12))
    assert sum(counts.values()) == runs * PARALLEL, counts


async def _run(platform: Platform, config: dict[str, Any], counts: Counter[str], told: Counter[str]) -> None:
    request = RunAgentRequest.parse({"agent_config": config, "input": {"text": "go"}})
    chat_id = (await platform.chats.run(OWNER, request))["assistant_message"]["chat_id"]
    frames = await platform.chats.watch(OWNER, chat_id, after=0)
    ends: dict[str, list[str]] = {}
    try:
        async for frame in frames:
            if frame.name == "chat_messages":
                for made in frame.data.get("tool_invocations") or ():
                    if made["status"] in ("completed", "failed", "cancelled"):
                        ends.setdefault(made["id"], []).append(made["status"] + str(made["result"]))
            if frame.name == "chats" and frame.data["status"] == "idle":
                break
    finally:
        await frames.aclose()
    chat = await platform.chats.get(OWNER, chat_id)
    assert chat["active_run"]["state"] == "completed", chat["active_run"]
    for message in chat["chat_messages"]:
        for made in message["tool_invocations"]:
            seen = set(ends.get(made["id"], ()))
            assert seen == {made["status"] + str(made["result"])}, (made, seen)
            counts[f"{made['type']} {made['status']}"] += 1
            if made["status"] == "failed":
                told[" ".join(made["result"].split()[:6])] += 1


async def _kill(pids: Path, chance: random.Random, pause: float, report: Report) -> None:
    while True:
        await anyio.sleep(chance.expovariate(1 / pause))
        for pid in _pids(pids):
            if _is_alive(pid):
                os.kill(pid, signal.SIGKILL)
                report.kills += 1


def _pids(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir()]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main() -> int:
    """Runs one soak."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.toolruns", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help=f"how many runs of {PARALLEL} tool calls [1000]")
    parser.add_argument("--kill-pause", type=float, default=1.5, help="seconds between kills, mean [1.5]")
    parser.add_argument("--seed", type=int, default=None, help="of the order of things [a random one, printed]")
    given = parser.parse_args()
    seed = random.randrange(1 << 30) if given.seed is None else given.seed
    print(f"toolruns: seed {seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="agentkit-toolruns-") as name:
        folder = Path(name).resolve()

        async def whole() -> Report:
            return await soak(given.runs, seed=seed, folder=folder, kill_pause=given.kill_pause)

        report = anyio.run(whole)
    print(json.dumps(asdict(report), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
