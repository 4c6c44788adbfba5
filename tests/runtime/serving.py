"""A platform with a scripted model behind the real server: in process for plain calls, behind a socket for streams."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import uvicorn
from starlette.applications import Starlette

from agentkit.runtime.config import ServerConfig
from agentkit.runtime.open import open_platform
from agentkit.runtime.platform import Platform
from agentkit.runtime.server import create_app
from agentkit.testing import Scripted

KEY = "inf_0123456789abcdef"
BARE = {"X-API-Version": "2"}
LINES = {"Accept": "application/x-ndjson", **BARE}
AGENT: dict[str, Any] = {"core_app": {"ref": "scripted/model"}}
WEATHER = {
    "name": "get_weather",
    "description": "The weather",
    "type": "client",
    "client": {"input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}


def message(text: str = "hi", *, chat_id: str | None = None, **more: Any) -> dict[str, Any]:
    """The body of POST /agents/run for the scripted agent."""
    return {"chat_id": chat_id, "agent_config": AGENT, "input": {"text": text}, **more}


@dataclass
class Desk:
    """A server in this process and a client of it."""

    client: httpx.AsyncClient
    app: Starlette
    platform: Platform

    async def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """The bare answer of a POST that must go well."""
        response = await self.client.post(path, json={} if body is None else body, headers={**BARE, **headers})
        assert response.status_code == 200, response.text
        return response.json()

    async def get(self, path: str) -> Any:
        """The bare answer of a GET that must go well."""
        response = await self.client.get(path, headers=BARE)
        assert response.status_code == 200, response.text
        return response.json()

    async def until(self, chat_id: str, status: str) -> dict[str, Any]:
        """The chat once it has this status."""
        with anyio.fail_after(10):
            while (chat := await self.platform.chats.get("local", chat_id))["status"] != status:
                await anyio.sleep(0.005)
        return dict(chat)


@asynccontextmanager
async def in_process(
    *steps: Any, config: ServerConfig | None = None, base_url: str = "http://agentkit.local", **more: Any
) -> AsyncGenerator[Desk]:
    """The server without a socket; `more` goes to `open_platform`."""
    providers = {"scripted": Scripted(steps)}
    async with open_platform(**{"providers": providers, "environ": {}, "synchronous": "OFF", **more}) as platform:
        app = create_app(platform, config=config)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
            yield Desk(client, app, platform)


@dataclass
class Served:
    """A server behind a socket, on its own thread."""

    port: int
    app: Starlette
    platform: Platform
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def wait(self, coroutine: Any) -> Any:
        """The result of a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=10)

    async def until_streams(self, count: int) -> None:
        """Returns once so many streams are open."""
        while len(self.app.state.streams) != count:
            await asyncio.sleep(0.005)


def listening() -> socket.socket:
    """A socket on a free port of 127.0.0.1; with its protocol named, because only then asyncio sends without delay."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.bind(("127.0.0.1", 0))
    found.listen(128)
    return found


@contextmanager
def served(*steps: Any, config: ServerConfig | None = None, **more: Any) -> Generator[Served]:
    """The server under uvicorn on a free port of 127.0.0.1."""
    ready: list[Served] = []
    up, failures = threading.Event(), list[BaseException]()
    stop: list[Any] = []

    async def serve(listener: socket.socket) -> None:
        providers = {"scripted": Scripted(steps)}
        async with open_platform(**{"providers": providers, "environ": {}, "synchronous": "OFF", **more}) as platform:
            app = create_app(platform, config=config)
            server = uvicorn.Server(
                uvicorn.Config(app, http="h11", lifespan="off", log_config=None, timeout_graceful_shutdown=5)
            )
            loop = asyncio.get_running_loop()
            ready.append(Served(listener.getsockname()[1], app, platform, loop))

            def end() -> None:
                app.state.streams.close()
                server.should_exit = True

            stop.append(lambda: loop.call_soon_threadsafe(end))
            up.set()
            await server.serve(sockets=[listener])

    def run() -> None:
        try:
            asyncio.run(serve(listener))
        except BaseException as error:
            failures.append(error)
        finally:
            up.set()

    with listening() as listener:
        thread = threading.Thread(target=run, name="agentkit-test-server")
        thread.start()
        assert up.wait(60)
        try:
            if ready:
                yield ready[0]
        finally:
            if stop:
                stop[0]()
            thread.join(10)
    if failures:
        raise failures[0]


@dataclass
class RawStream:
    """A GET or POST over a plain socket, read chunk by chunk as the server sent them."""

    connection: socket.socket
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    _held: bytes = b""

    @classmethod
    def open(cls, port: int, path: str, *, body: Any = None, **headers: str) -> RawStream:
        """Sends the request and reads the answer's head."""
        connection = socket.create_connection(("127.0.0.1", port), timeout=15)
        sent = b"" if body is None else json.dumps(body).encode()
        head = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json", "Content-Length": str(len(sent))}
        head |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        method = "GET" if body is None else "POST"
        connection.sendall(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + sent)
        stream = cls(connection)
        status, *fields = stream._until(b"\r\n\r\n").decode().split("\r\n")
        stream.status = int(status.split()[1])
        stream.headers = {line.split(":")[0].lower(): line.split(":", 1)[1].strip() for line in fields if line}
        return stream

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._held:
            self._fill()
        found, _, self._held = self._held.partition(mark)
        return found

    def _fill(self) -> None:
        data = self.connection.recv(65536)
        if not data:
            raise EOFError("the server closed the connection")
        self._held += data

    def chunk(self) -> bytes:
        """The next chunk; b"" is the regular end of the answer."""
        size = int(self._until(b"\r\n"), 16)
        while len(self._held) < size + 2:
            self._fill()
        data, end, self._held = self._held[:size], self._held[size : size + 2], self._held[size + 2 :]
        assert end == b"\r\n"
        return data

    def chunks_until(self, wanted: Any) -> list[bytes]:
        """The chunks up to the one that `wanted(chunk)` is true of, or to the end."""
        found: list[bytes] = []
        while chunk := self.chunk():
            found.append(chunk)
            if wanted(chunk):
                break
        return found

    def items_until(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """The items up to the event of this name whose data hold these fields."""

        def is_wanted(chunk: bytes) -> bool:
            item = json.loads(chunk)
            data = item.get("data") or {}
            return item.get("event") == event and all(data.get(name) == value for name, value in fields.items())

        return [json.loads(chunk) for chunk in self.chunks_until(is_wanted)]

    def close(self) -> None:
        """Hangs up."""
        self.connection.close()

    def __enter__(self) -> RawStream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def events(items: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """What a stream told, short: (event, status or state)."""
    named = [each for each in items if "event" in each]
    return [(each["event"], str(each["data"].get("status") or each["data"].get("state") or "")) for each in named]
