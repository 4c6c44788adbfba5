"""A real OAuth 2 server on loopback: it checks what it is sent, PKCE included, and uses up codes and refresh tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit

CLIENT_ID, CLIENT_SECRET = "agent kit", "s3cret/of:client"


@dataclass
class OAuthServer:
    """What it does next, and what it was asked."""

    url: str
    lifetime_seconds: float | None = 3600
    is_down: bool = False
    error: str = ""  # the token URL's next answers
    is_form: bool = False  # it answers as GitHub may
    rotates: bool = True
    more: dict[str, Any] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)  # refreshes wait for it
    asked: list[dict[str, str]] = field(default_factory=list)
    given: list[str] = field(default_factory=list)  # every token, in order
    refreshed: int = 0
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _good: set[str] = field(default_factory=set)  # refresh tokens
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def provider(self, **more: Any) -> dict[str, Any]:
        """The server as a provider to connect."""
        return {
            "authorize_url": f"{self.url}/authorize?tenant=1", "token_url": f"{self.url}/token",
            "client_id": CLIENT_ID, "scopes": ["read"], "capabilities": {"sheets": ["sheets.read", "sheets.write"]},
            **more,
        }  # fmt: skip

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser goes after a yes."""
        assert (query["client_id"], query["response_type"], query["tenant"]) == (CLIENT_ID, "code", "1")
        code = f"code-{len(self._codes)}"
        self._codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, told: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """The token URL."""
        self.asked.append(told)
        if self.is_down:
            return 503, {"message": "down"}
        if self.error:
            return 400, {"error": self.error, "error_description": f"no good: {' '.join(told.values())}"}
        if not self._is_client(told, authorization):
            return 401, {"error": "invalid_client"}
        if told["grant_type"] == "authorization_code":
            query = self._codes.pop(told["code"], None)
            if query is None or told["redirect_uri"] != query["redirect_uri"] or not _is_proven(query, told):
                return 400, {"error": "invalid_grant"}
            return 200, self._tokens({"scope": query.get("scope", "")})
        with self._turn:
            if told["refresh_token"] not in self._good:
                return 400, {"error": "invalid_grant", "error_description": f"used up: {told['refresh_token']}"}
            if self.rotates:
                self._good.discard(told["refresh_token"])
            self.refreshed += 1
        self.gate.wait(10)
        return 200, self._tokens({})

    def _tokens(self, more: dict[str, Any]) -> dict[str, Any]:
        number = len(self.given)
        access, refresh = f"access-token-{number}", f"refresh-token-{number}"
        self.given += [access, refresh]
        told: dict[str, Any] = {"access_token": access, "token_type": "bearer", **more, **self.more}
        if self.rotates or not self._good:
            self._good.add(refresh)
            told["refresh_token"] = refresh
        return told | ({} if self.lifetime_seconds is None else {"expires_in": self.lifetime_seconds})

    def revoke(self) -> None:
        """No refresh token is good any more."""
        self._good.clear()

    @staticmethod
    def _is_client(told: dict[str, str], authorization: str) -> bool:
        if authorization:
            name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            return (unquote_plus(name), unquote_plus(secret)) == (CLIENT_ID, CLIENT_SECRET)
        return (told.get("client_id"), told.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)


def _is_proven(query: dict[str, str], told: dict[str, str]) -> bool:
    if "code_challenge" not in query:
        return True
    digest = hashlib.sha256(told["code_verifier"].encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == query["code_challenge"]


@contextmanager
def oauth_server() -> Generator[OAuthServer]:
    """The server, running."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = dict(parse_qsl(urlsplit(self.path).query))
            self._answer(302, b"", Location=server.authorize(query))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            is_json = self.headers["Content-Type"].startswith("application/json")
            told = json.loads(body) if is_json else {name: values[0] for name, values in parse_qs(body).items()}
            status, answer = server.token(told, self.headers.get("Authorization", ""))
            if server.is_form and status == 200:
                self._answer(200, urlencode(answer).encode())
            else:
                self._answer(status, json.dumps(answer).encode())

        def _answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = OAuthServer(f"http://127.0.0.1:{httpd.server_address[1]}")
    server.gate.set()
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        httpd.shutdown()
        thread.join(10)
        httpd.server_close()
