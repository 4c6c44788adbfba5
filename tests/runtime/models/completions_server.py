"""A chat-completions server on a loopback port that answers as it is told, down to the cuts between the bytes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DONE = "data: [DONE]\n\n"


def chunk(finish: str | None = None, **delta: Any) -> str:
    """A chunk of an event stream."""
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def event(data: Any) -> str:
    """Any JSON as an event."""
    return f"data: {json.dumps(data)}\n\n"


@dataclass
class Stream:
    """An event stream; `pieces` are the writes. `hold` is waited for before the last piece; `cut` drops the line."""

    pieces: Iterable[str | bytes]
    content_type: str = "text/event-stream; charset=utf-8"
    cut: bool = False
    hold: threading.Event | None = None


@dataclass
class Whole:
    """An answer in one piece."""

    body: Any
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Hangup:
    """The line is dropped before a word is said."""


Answer = Stream | Whole | Hangup | Callable[[], "Answer"]


@dataclass
class Server:
    """What it was asked, and what it will answer."""

    answers: list[Answer]
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    ports: set[int] = field(default_factory=set)  # of the clients: one per connection
    gone: threading.Event = field(default_factory=threading.Event)  # a client left in the middle


@contextmanager
def serving(*answers: Answer) -> Iterator[Server]:
    """A server that gives these answers, one per request."""
    server = Server(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            server.bodies.append(json.loads(self.rfile.read(size)))
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            server.ports.add(self.client_address[1])
            answer = server.answers.pop(0)
            try:
                _give(self, answer() if callable(answer) else answer)
            except OSError:
                server.gone.set()
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = False
        server.url = f"http://127.0.0.1:{listener.server_address[1]}/v1"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join(10)


def _give(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    match answer:
        case Whole(body, status, content_type, headers):
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            handler.send_response(status)
            for name, value in {"Content-Type": content_type, "Content-Length": str(len(data)), **headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(data)
        case Stream():
            _stream(handler, answer)
        case _:
            handler.close_connection = True


def _stream(handler: BaseHTTPRequestHandler, answer: Stream) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", answer.content_type)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    pieces = list(answer.pieces)
    for position, piece in enumerate(pieces):
        if answer.hold is not None and position == len(pieces) - 1:
            answer.hold.wait(10)
        data = piece.encode() if isinstance(piece, str) else piece
        if data:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            handler.wfile.flush()
    if answer.cut:
        handler.close_connection = True
    else:
        handler.wfile.write(b"0\r\n\r\n")
