"""A platform that misbehaves on purpose: a socket server whose every byte a test decides.

    def play(request, wire):
        if request.is_a("GET", "/chats/c1/stream"):
            wire.begin()
            wire.line(chat("busy"))
            wire.cut()

    with hostile(play) as server: ...

`Bad` is a platform that does what is right but for the stream, which the test writes.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


@dataclass(frozen=True)
class Request:
    """What came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    def is_a(self, method: str, path: str) -> bool:
        """Whether it is this request."""
        return (self.method, self.path) == (method, path)


class Hangup(Exception):
    """The connection is to be closed."""


class Wire:
    """One connection, to be written to."""

    def __init__(self, sock: socket.socket, closing: threading.Event) -> None:
        self._sock = sock
        self._closing = closing

    def send(self, data: bytes) -> None:
        """These bytes."""
        try:
            self._sock.sendall(data)
        except OSError:
            raise Hangup from None

    def answer(self, status: int = 200, body: bytes = b"", content_type: str = "application/json", **more: str) -> None:
        """A whole answer."""
        headers = {"Content-Type": content_type, "Content-Length": str(len(body))}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.send(f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode() + body)

    def json(self, value: Any, status: int = 200, **more: str) -> None:
        """A whole answer in JSON."""
        self.answer(status, json.dumps(value).encode(), **more)

    def begin(self, content_type: str = "application/x-ndjson") -> None:
        """The head of a stream."""
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.send(head.encode())

    def chunk(self, data: bytes) -> None:
        """A piece of a stream."""
        self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def line(self, *items: Mapping[str, Any] | bytes) -> None:
        """Lines of a stream; bytes as they are."""
        for item in items:
            self.chunk(item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n")

    def end(self) -> None:
        """The regular end of a stream."""
        self.send(b"0\r\n\r\n")

    def cut(self) -> None:
        """The connection breaks."""
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        raise Hangup

    def stay(self) -> None:
        """Keeps the connection open, saying nothing, until the test is over or the client hangs up."""
        self._sock.settimeout(0.02)
        while not self._closing.is_set():
            try:
                if not self._sock.recv(65536):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        raise Hangup


Play = Callable[[Request, Wire], None]


@dataclass
class Hostile:
    """The server, while it is up."""

    port: int
    requests: list[Request] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def count(self, method: str, path: str) -> int:
        """How many of these requests came."""
        return sum(request.is_a(method, path) for request in self.requests)


@contextmanager
def hostile(play: Play) -> Iterator[Hostile]:
    """A server that lets `play` answer each request; what `play` raises fails the test."""
    closing = threading.Event()
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Hostile(listener.getsockname()[1])

        def accept() -> None:
            while not closing.is_set():
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                sockets.append(sock)
                thread = threading.Thread(target=serve, args=(sock,), name="hostile-connection", daemon=True)
                threads.append(thread)
                thread.start()

        def serve(sock: socket.socket) -> None:
            with sock, suppress(Hangup, OSError), sock.makefile("rb") as reader:
                while (request := _read(reader)) is not None:
                    server.requests.append(request)
                    try:
                        play(request, Wire(sock, closing))
                    except (Hangup, OSError):
                        raise
                    except BaseException as error:
                        server.failures.append(error)
                        raise Hangup from None

        accepting = threading.Thread(target=accept, name="hostile-accept", daemon=True)
        accepting.start()
        try:
            yield server
        finally:
            closing.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for sock in sockets:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join(5)
    if server.failures:
        raise server.failures[0]


def _read(reader: Any) -> Request | None:
    first = reader.readline()
    if not first:
        return None
    method, target, _ = first.decode().split()
    headers: dict[str, str] = {}
    while line := reader.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", 0)))
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return Request(method, parts.path, query, headers, body)


# -- what a platform says ------------------------------------------------------------------------------------------


def message(
    id: str = "m2", status: str = "pending", text: str = "", *, order: int = 1, run: str = "r1", **more: Any
) -> dict[str, Any]:
    """A message of chat c1."""
    content = [{"type": "text", "text": text}] if text else []
    head = {"id": id, "chat_id": "c1", "agent_run_id": run, "order": order, "role": "assistant", "status": status}
    return {**head, "content": content, "tool_invocations": [], **more}


def chat(status: str = "busy", *, run: str = "r1", **more: Any) -> dict[str, Any]:
    """Chat c1; its run is at work while it is busy."""
    state = {"busy": "working", "idle": "completed", "awaiting_input": "input_required"}[status]
    active = {"id": run, "state": state, "chat_id": "c1"}
    return {"id": "c1", "status": status, "active_run": active, "pending_interrupts": [], "output": None, **more}


def event(name: str, data: Any, **more: Any) -> dict[str, Any]:
    """A line of the stream."""
    return {"event": name, "data": data, **more}


def accepted(run: str = "r1", *, order: int = 0) -> dict[str, Any]:
    """The answer of POST /agents/run."""
    asked = message(f"u-{run}", "ready", "go", order=order, run=run, role="user")
    return {"user_message": asked, "assistant_message": message(f"a-{run}", order=order + 1, run=run)}


HEARTBEAT = {"type": "heartbeat"}


@dataclass
class Bad:
    """A platform with one chat, whose runs are over as soon as `is_over` is set; the stream is the test's.

    `stream(wire, n)` writes the n-th stream, counted from 1. A GET of the chat says how things are.
    """

    stream: Callable[[Wire, int], None]
    text: str = "Done."
    is_over: threading.Event = field(default_factory=threading.Event)
    was_fetched: threading.Event = field(default_factory=threading.Event)  # as the client does once the stream is open
    was_answered: threading.Event = field(default_factory=threading.Event)  # a call of a client tool
    post: Callable[[Request, Wire, int], None] | None = None
    streams: int = 0
    posts: int = 0

    def __call__(self, request: Request, wire: Wire) -> None:
        match request.method, request.path:
            case "POST", "/agents/run":
                self.posts += 1
                if self.post is not None:
                    self.post(request, wire, self.posts)
                else:
                    wire.json(accepted())
            case "GET", "/chats/c1/stream":
                self.streams += 1
                self.stream(wire, self.streams)
            case "GET", "/chats/c1":
                wire.json(self.chat())
                self.was_fetched.set()
            case _:
                wire.json({"success": True})
                self.was_answered.set()

    def chat(self) -> dict[str, Any]:
        """The chat with its messages, as it is."""
        if not self.is_over.is_set():
            return chat("busy", chat_messages=[message("a-r1", "pending")])
        return chat("idle", chat_messages=[message("a-r1", "ready", self.text)])

    def ending(self) -> list[dict[str, Any]]:
        """The lines that end the run."""
        self.is_over.set()
        return [event("chat_messages", message("a-r1", "ready", self.text)), event("chats", chat("idle"))]
