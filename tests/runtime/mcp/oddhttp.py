"""An MCP server over streamable HTTP that forgets sessions, breaks answers off and answers with every status."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

READS = {"readOnlyHint": True}
NAMES = ("echo", "stream", "cut", "half", "forget", "forget_400", "big", "zipped", "html", "elsewhere", "hang_up")


class OddHttp:
    """What the server saw, and what it is like."""

    def __init__(self) -> None:
        self.sessions: dict[str, str] = {}
        self.calls: list[str] = []
        self.metas: list[dict[str, Any]] = []  # of the calls
        self.headers: list[dict[str, str]] = []
        self.deleted: list[str] = []
        self.is_gone_status = 404
        self.token: str | None = None
        self.url = ""
        self.keeps_connections = True

    def tools(self) -> list[dict[str, Any]]:
        schema = {"type": "object"}
        plain = [{"name": name, "inputSchema": schema} for name in NAMES]
        statuses = [{"name": f"status_{code}", "inputSchema": schema} for code in (429, 500, 503)]
        reading = [{"name": f"{name}_again", "inputSchema": schema, "annotations": READS} for name in ("cut", "half")]
        return [*plain, *statuses, *reading]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    odd: OddHttp

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.answer(405, b"")

    def do_DELETE(self) -> None:
        self.odd.deleted.append(self.headers.get("mcp-session-id", ""))
        self.answer(200, b"")

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.odd.headers.append({name.lower(): value for name, value in self.headers.items()})
        if self.odd.token is not None and self.headers.get("authorization") != f"Bearer {self.odd.token}":
            self.answer(401, b"who are you", kind="text/plain")
        elif message["method"] == "initialize":
            session = f"session{len(self.odd.sessions) + 1}"
            self.odd.sessions[session] = "open"
            capabilities = {"tools": {"listChanged": True}}
            version = message["params"]["protocolVersion"]
            result = {
                "protocolVersion": version,
                "capabilities": capabilities,
                "serverInfo": {"name": "o", "version": "1"},
            }
            self.result(message, result, **{"mcp-session-id": session})
        elif self.odd.sessions.get(self.headers.get("mcp-session-id", "")) != "open":
            error = {"code": -32000, "message": "Bad Request: No valid session ID provided"}
            self.answer(self.odd.is_gone_status, json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode())
        elif "id" not in message:
            self.answer(202, b"")
        elif message["method"] == "tools/list":
            self.result(message, {"tools": self.odd.tools()})
        else:
            self.call(message, message["params"]["name"])

    def call(self, message: dict[str, Any], name: str) -> None:
        self.odd.calls.append(name)
        self.odd.metas.append(message["params"].get("_meta") or {})
        match name.removesuffix("_again"):
            case "echo":
                self.result(message, text("echo"))
            case "stream":
                self.stream(message, text("streamed"))
            case "cut" | "half" if self.odd.calls.count(name) > 1:
                self.result(message, text("whole"))
            case "cut":
                self.stream(message, None)
            case "half":
                self.answer(200, b'{"jsonrpc": "2.0", ', length=1_000)
                self.close_connection = True
            case "hang_up":
                self.close_connection = True
            case "forget" | "forget_400":
                self.odd.is_gone_status = 400 if name == "forget_400" else 404
                self.odd.sessions = {session: "forgotten" for session in self.odd.sessions}
                self.result(message, text("what was I saying"))
            case "big":
                self.answer(200, b"", length=1 << 40)
                try:
                    while True:
                        self.wfile.write(b" " * (1 << 20))
                except OSError:
                    self.close_connection = True
            case "zipped":
                body = gzip.compress(json.dumps(answer(message, text("z"))).encode())
                self.answer(200, body, **{"content-encoding": "gzip"})
            case "html":
                self.answer(200, b"<h1>hello</h1>", kind="text/html")
            case "elsewhere":
                self.answer(307, b"", location="https://elsewhere.example/mcp")
            case status:
                self.answer(int(status.removeprefix("status_")), b"no", kind="text/plain")

    def stream(self, message: dict[str, Any], result: dict[str, Any] | None) -> None:
        token = message["params"]["_meta"]["progressToken"]
        told = {"progressToken": token, "progress": 1, "total": 2, "message": "half way"}
        parts: list[dict[str, Any]] = [{"jsonrpc": "2.0", "method": "notifications/progress", "params": told}]
        parts += [answer(message, result)] if result is not None else []
        body = "".join(f"event: message\ndata: {json.dumps(part)}\n\n" for part in parts).encode()
        self.answer(200, body, kind="text/event-stream")

    def result(self, message: dict[str, Any], result: dict[str, Any], **headers: str) -> None:
        self.answer(200, json.dumps(answer(message, result)).encode(), **headers)

    def answer(
        self, status: int, body: bytes, *, kind: str = "application/json", length: int | None = None, **headers: str
    ) -> None:
        self.send_response(status)
        if not self.odd.keeps_connections:
            self.send_header("connection", "close")
        for name, value in {"content-type": kind, "content-length": str(length or len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def answer(message: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    if message["method"] == "server/discover":
        return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no such method"}}
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def text(words: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}]}


@contextmanager
def odd_http(port: int = 0) -> Generator[OddHttp]:
    """The server while it runs, on a free port of this machine unless given."""
    odd = OddHttp()
    handler = type("Handler", (_Handler,), {"odd": odd})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        server.daemon_threads = True
        odd.url = f"http://127.0.0.1:{server.server_address[1]}/mcp"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield odd
        finally:
            server.shutdown()
            thread.join()
