"""What the browser tests look at: servers with a refund agent, its tool's ledger, and short ways to begin a chat."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.client.hostile import Request, Wire, hostile
from tests.runtime.serving import BARE, KEY, listening

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 15.0
REFUND: dict[str, Any] = {
    "order": "A-1042",
    "amount": 149.9,
    "currency": "EUR",
    "to_card": True,
    "reason": "The kettle arrived with a cracked lid.",
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "description": "The number of the order"},
        "amount": {"type": "number", "minimum": 0, "maximum": 500},
        "currency": {"type": "string", "enum": ["EUR", "USD", "GBP"]},
        "to_card": {"type": "boolean", "description": "Back to the card, else as a voucher"},
        "reason": {"type": "string", "maxLength": 2000},
    },
    "required": ["order", "amount", "currency"],
}


@dataclass
class Ledger:
    """A shop's payment service: what it was told to do, in order. It may keep one caller waiting for ever."""

    url: str = ""
    entries: list[dict[str, Any]] = field(default_factory=list)
    answer: Any = field(default_factory=lambda: {"refund": "rf_77", "status": "paid"})
    is_stuck: bool = False

    def play(self, request: Request, wire: Wire) -> None:
        self.entries.append(request.json)
        if self.is_stuck:
            wire.stay()
        wire.json(self.answer)

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def tool(self, **more: Any) -> dict[str, Any]:
        """The tool that writes into it, after a person agreed."""
        schema = more.pop("input_schema", SCHEMA)
        return {
            "name": "refund",
            "display_name": "Refund an order",
            "description": "Pays an order back to the customer.",
            "type": "http",
            "require_approval": True,
            "http": {"url": f"{self.url}/refunds", "method": "POST", "input_schema": schema},
            **more,
        }

    def until(self, count: int) -> None:
        """Waits for so many entries."""
        until = time.monotonic() + STOP_SECONDS
        while len(self.entries) < count:
            assert time.monotonic() < until, f"{len(self.entries)} of {count} refunds were asked for"
            time.sleep(0.01)


@contextmanager
def ledger() -> Generator[Ledger]:
    """A ledger on a free port."""
    found = Ledger()
    with hostile(found.play) as server:
        found.url = server.url
        yield found


def post(url: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
    """The bare answer of a POST that must go well."""
    headers = {**BARE, **({"Authorization": f"Bearer {key}"} if key else {})}
    response = httpx.post(f"{url}{path}", json={} if body is None else body, headers=headers, timeout=10)
    assert response.status_code == 200, response.text
    return response.json()


def begin(url: str, *tools: dict[str, Any], text: str = "hi", key: str | None = None, **config: Any) -> str:
    """Sends a message to the scripted agent; the chat's id."""
    agent = {"core_app": {"ref": "scripted/model"}, "name": "Refund desk", "tools": list(tools), **config}
    body = {"agent_config": agent, "input": {"text": text}}
    return str(post(url, "/agents/run", body, key=key)["assistant_message"]["chat_id"])


def make_key(url: str, name: str, *scopes: str, groups: tuple[str, ...] = ()) -> str:
    """A key for a person, made with the configured one."""
    body = {"name": name, "scopes": list(scopes), **({"groups": list(groups)} if groups else {})}
    return str(post(url, "/apikeys", body, key=KEY)["key"])


def eventually(look: Callable[[], Any]) -> Any:
    """What `look` finds, once it is something."""
    until = time.monotonic() + STOP_SECONDS
    while not (found := look()):
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.01)
    return found


# -- servers that are killed ---------------------------------------------------------------------------------------


@dataclass
class Place:
    """A port, a database, and who serves there now: a process that is killed and followed by another one."""

    db: Path
    port: int
    key: str
    allows: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *steps: Any) -> None:
        """A server whose model says these steps: a text, or `{"name": ..., "arguments": ...}` for a call."""
        command = [sys.executable, "-m", "tests.console.server", str(self.db), str(self.port), json.dumps(steps)]
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "CONSOLE_KEY": self.key, "CONSOLE_ALLOWS": self.allows}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        assert ready and self.process.stdout.readline(), "the server did not start"

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.process.stdout is not None:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
            self.process.stdout.close()
            self.process = None


@contextmanager
def place(folder: Path, *, key: str = "", allows: str = "") -> Generator[Place]:
    """A place for servers, one after the other."""
    with listening() as listener:
        port = listener.getsockname()[1]
    found = Place(folder / "agentkit.db", port, key, allows)
    try:
        yield found
    finally:
        found.kill()
