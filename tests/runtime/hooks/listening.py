"""A webhook on loopback that answers hooks as a test says, and keeps what it was told."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from agentkit.testing import Signal

__all__ = ["LOOPBACK", "Listener", "Told", "hook", "listening"]

LOOPBACK = ["127.0.0.1"]


@dataclass(frozen=True)
class Told:
    """One request."""

    payload: Mapping[str, Any]
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> str:
        return str(self.payload["event"])

    @property
    def data(self) -> Any:
        return self.payload["data"]


@dataclass
class Listener:
    """What answers. `answer` gets the payload; bytes are sent as they are, None is an empty 200, an int a status."""

    answer: Callable[[Mapping[str, Any]], Any]
    port: int = 0
    told: list[Told] = field(default_factory=list)
    released: Signal = field(default_factory=Signal)  # lets go of `HANG`
    _news: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def events(self) -> list[str]:
        """What it was told of, in order."""
        return [each.event for each in self.told]

    def hear(self, told: Told) -> Any:
        with self._news:
            self.told.append(told)
            self._news.notify_all()
        return self.answer(told.payload)

    async def heard(self, count: int) -> None:
        """Returns once it was told so often."""

        def wait() -> bool:
            with self._news:
                return self._news.wait_for(lambda: len(self.told) >= count, timeout=10)

        assert await anyio.to_thread.run_sync(wait), f"told {self.events}, not {count} times"


HANG = object()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    listener: Listener

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = self.listener.hear(Told(json.loads(body), dict(self.headers), body))
        self.close_connection = True
        match said:
            case None:
                self._send(200, b"")
            case int():
                self._send(said, b"")
            case bytes():
                self._send(200, said)
            case _ if said is HANG:
                self.listener.released.wait_sync(timeout_seconds=20)
            case _:
                self._send(200, json.dumps(said).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def listening(answer: Any = None) -> Generator[Listener]:
    """A webhook; `answer`: always this, or a function of the payload."""
    listener = Listener(answer if callable(answer) else lambda payload: answer)
    handler = type("Handler", (_Handler,), {"listener": listener})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    listener.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.released.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


def hook(event: str, handler: Any, *, type: str = "webhook", **more: Any) -> dict[str, Any]:
    """A hook's definition; a listener stands for its URL."""
    return {"event": event, "type": type, "handler": handler.url if isinstance(handler, Listener) else handler, **more}
