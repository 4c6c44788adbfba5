"""A platform that says what the test tells it to, rightly or wrongly, and remembers what it was asked.

    with crooked({"POST /agents/run": TAKEN, "GET /chats/c1/stream": Lines(BUSY, IDLE)}) as platform:
        ...
        assert platform.asked("POST /agents/run")[0].headers["user-agent"].startswith("agentkit/")

A route's list of answers is given in turn, its last one for ever. What has no route is answered 404.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

__all__ = ["Asked", "Crooked", "Lines", "Mark", "Reply", "Route", "Until", "crooked", "event", "message"]

WAIT_SECONDS = 10


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An ordinary answer. `body` as it is where it is text, as JSON otherwise; `after` a stream came to this mark."""

    body: Any = None
    status: int = 200
    content_type: str = "application/json"
    after: str = ""


@dataclass(frozen=True)
class Mark:
    """In a stream: everything before it was sent."""

    name: str


@dataclass(frozen=True)
class Until:
    """In a stream: wait until this was asked so many times."""

    route: str
    times: int = 1


Line: TypeAlias = str | dict[str, Any] | Until | Mark


class Lines:
    """A stream of these lines. Stays open afterwards until the reader leaves, unless it `closes`."""

    def __init__(self, *lines: Line, content_type: str = "application/x-ndjson", closes: bool = False) -> None:
        self.lines = lines
        self.content_type = content_type
        self.closes = closes


Route: TypeAlias = Reply | Lines | Sequence[Reply | Lines]


@dataclass
class Crooked:
    """The running platform."""

    url: str
    routes: Mapping[str, Route]
    log: list[Asked] = field(default_factory=list[Asked])
    marks: set[str] = field(default_factory=set[str])
    changed: threading.Condition = field(default_factory=threading.Condition)
    closing: bool = False

    def asked(self, route: str) -> list[Asked]:
        """The requests of `METHOD /path`, in their order."""
        return [each for each in self.log if f"{each.method} {each.path}" == route]

    def took(self, asked: Asked) -> Reply | Lines:
        """Remembers a request; returns its answer."""
        route = f"{asked.method} {asked.path}"
        with self.changed:
            self.log.append(asked)
            self.changed.notify_all()
            found = self.routes.get(route, Reply({"detail": f"no {route} here"}, 404))
            if isinstance(found, Reply | Lines):
                return found
            return found[min(len(self.asked(route)), len(found)) - 1]

    def wait(self, until: Until) -> None:
        """Returns once the request came so often, or the platform closes."""
        with self.changed:
            self.changed.wait_for(lambda: self.closing or len(self.asked(until.route)) >= until.times, WAIT_SECONDS)

    def wait_for_mark(self, name: str) -> None:
        """Returns once a stream came to the mark, or the platform closes."""
        with self.changed:
            self.changed.wait_for(lambda: self.closing or name in self.marks, WAIT_SECONDS)

    def mark(self, name: str) -> None:
        """A stream came to a mark."""
        with self.changed:
            self.marks.add(name)
            self.changed.notify_all()

    def stop(self) -> None:
        """Lets streams end."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()


@contextmanager
def crooked(routes: Mapping[str, Route]) -> Generator[Crooked]:
    """The platform while it runs, on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    platform = Crooked(f"http://127.0.0.1:{server.server_port}", routes)
    server.platform = platform  # type: ignore[attr-defined]  # the way to a handler is through its server
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="crooked")
    thread.start()
    try:
        yield platform
    finally:
        platform.stop()
        server.shutdown()
        server.server_close()  # joins the handlers
        thread.join()


def message(id_: str = "m2", **fields: Any) -> dict[str, Any]:
    """An assistant's message of chat c1 with this text, or what else `fields` say."""
    said = fields.pop("text", "")
    content = [{"type": "text", "text": said}] if said else []
    return {
        "id": id_, "chat_id": "c1", "order": int(id_[1:]), "role": "assistant", "status": "pending",
        "content": content, "tool_invocations": [], **fields,
    }  # fmt: skip


def event(name: str, **data: Any) -> dict[str, Any]:
    """A line of a stream."""
    return {"event": name, "data": data}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = WAIT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        platform: Crooked = self.server.platform  # type: ignore[attr-defined]
        length = int(self.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = platform.took(Asked(self.command, self.path.split("?")[0], headers, self.rfile.read(length)))
        self.close_connection = True
        try:
            self._reply(answer) if isinstance(answer, Reply) else self._stream(answer, platform)
        except OSError:  # the reader left
            return

    do_POST = do_PUT = do_DELETE = do_GET

    def _reply(self, reply: Reply) -> None:
        if reply.after:
            self.server.platform.wait_for_mark(reply.after)  # type: ignore[attr-defined]
        text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        body = b"" if reply.status == 204 else text.encode()
        self.send_response(reply.status)
        self.send_header("Connection", "close")
        if body:
            self.send_header("Content-Type", reply.content_type)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, stream: Lines, platform: Crooked) -> None:
        self.send_response(200)
        self.send_header("Content-Type", stream.content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        self._chunk('{"type":"heartbeat"}')
        for line in stream.lines:
            match line:
                case Until():
                    platform.wait(line)
                case Mark(name):
                    platform.mark(name)
                case str():
                    self._chunk(line)
                case _:
                    self._chunk(json.dumps(line, ensure_ascii=False))
        while not stream.closes and not platform.closing:
            with platform.changed:
                platform.changed.wait(0.2)
            self._chunk('{"type":"heartbeat"}')  # fails once the reader has left
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, line: str) -> None:
        data = f"{line}\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()
