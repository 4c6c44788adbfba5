"""A shop's payment service with a ledger: what an HTTP tool does to the world, written down so that no crash undoes it.

The request's headers may ask for the caller's death: before anything is done, or after it is and before it is told.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["Ledger", "serve", "tool"]

SCHEMA: Final = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}


@dataclass(frozen=True, slots=True)
class Ledger:
    """One line per payment that was made: the amount, and the key that came with it."""

    path: Path

    def note(self, amount: str, key: str) -> None:
        """Writes a payment down, durably."""
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, f"{amount} {key}\n".encode())
            os.fsync(file)
        finally:
            os.close(file)

    def lines(self) -> list[str]:
        """The payments so far."""
        return self.path.read_text().splitlines() if self.path.exists() else []


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        amount = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["q"]
        fate, caller = self.headers["X-Fate"], int(self.headers["X-Caller"])
        if fate == "before":
            os.kill(caller, signal.SIGKILL)
            return
        Ledger(Path(self.headers["X-Ledger"])).note(amount, self.headers["Idempotency-Key"])
        if fate == "after":
            os.kill(caller, signal.SIGKILL)
            return
        said = f"paid {amount}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve() -> http.server.ThreadingHTTPServer:
    """The service on a free port of 127.0.0.1, listening."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    return server


def tool(port: int, **more: Any) -> dict[str, Any]:
    """The tool `pay`, which asks a person first; `more` are further fields of it."""
    headers = {name: f"${{{{secrets.{secret}}}}}" for name, secret in _HEADERS.items()}
    member = {"url": f"http://127.0.0.1:{port}/", "headers": headers, "input_schema": SCHEMA}
    return {"name": "pay", "type": "http", "require_approval": True, "http": member, **more}


_HEADERS: Final = {"X-Fate": "FATE", "X-Caller": "CALLER", "X-Ledger": "LEDGER"}


def secrets(*, ledger: Ledger, fate: str = "lives") -> dict[str, str]:
    """What the headers of a call are made of, in the process that makes it."""
    return {"FATE": fate, "CALLER": str(os.getpid()), "LEDGER": str(ledger.path)}
