"""A small web server: paths to functions, each request in a thread of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

LARGEST_BODY = 20 << 20  # bytes


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


Handle = Callable[[Request], Reply]


def server(routes: Mapping[tuple[str, str], Handle], *, host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """A server of these, by method and path; `serve_forever()` runs it. Behind a proxy that speaks TLS, in earnest."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > LARGEST_BODY:
                return self._send(Reply(413, "send a Content-Length, and less"))
            self._answer(self.rfile.read(int(length)))

        def _answer(self, body: bytes) -> None:
            parts = urlsplit(self.path)
            handle = routes.get((self.command, parts.path))
            request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers), body)
            self._send(handle(request) if handle else Reply(404, "there is nothing here"))

        def _send(self, reply: Reply) -> None:
            body = reply.body.encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "text/plain; charset=utf-8", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: paths hold tokens."""

    return ThreadingHTTPServer((host, port), Handler)
