"""A server in a process of its own, whose tool pays: `python -m tests.trust.served DATABASE`.

Its clock is the real one. It says its URL, and ends when its standard input does, or by `kill -9`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn

from agentkit.runtime.open import open_platform
from agentkit.runtime.server import create_app
from tests.runtime.serving import listening
from tests.trust import payments
from tests.trust.world import payer

__all__ = ["Served", "paying", "served"]

HOST_VARIABLE: Final = "TRUST_SERVICE"
LEDGER_VARIABLE: Final = "TRUST_LEDGER"


async def serve(db: str, listener: socket.socket) -> None:
    """Serves until standard input is closed."""
    ledger = payments.Ledger(Path(os.environ[LEDGER_VARIABLE]))
    platform = open_platform(
        db=db,
        providers={"scripted": payer()},
        environ={},
        synchronous="OFF",
        secrets=payments.secrets(ledger=ledger),
        allow_hosts=[os.environ[HOST_VARIABLE]],
    )
    async with platform:
        app = create_app(platform)
        server = uvicorn.Server(uvicorn.Config(app, http="h11", lifespan="off", log_config=None, backlog=1024))
        loop = asyncio.get_running_loop()

        def end() -> None:
            app.state.streams.close()
            server.should_exit = True

        threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(end)), daemon=True).start()
        print(listener.getsockname()[1], flush=True)
        await server.serve(sockets=[listener])


# -- from a test -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs."""

    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.wait(10)


@dataclass(frozen=True, slots=True)
class Paying:
    """The payment service, its ledger, and the agent that uses it."""

    port: int
    ledger: payments.Ledger

    def agent(self, **tool: Any) -> dict[str, Any]:
        """The agent; `tool` are further fields of its tool."""
        return {"core_app": {"ref": "scripted/model"}, "tools": [payments.tool(self.port, **tool)]}


@contextmanager
def paying(folder: Path) -> Generator[Paying]:
    """The payment service, on threads of this process."""
    service = payments.serve()
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Paying(service.server_port, payments.Ledger(folder / "ledger"))
    finally:
        service.shutdown()
        service.server_close()
        thread.join(10)


@contextmanager
def served(db: Path, service: Paying) -> Generator[Served]:
    """A server over this file."""
    told = {HOST_VARIABLE: f"127.0.0.1:{service.port}", LEDGER_VARIABLE: str(service.ledger.path)}
    command = [sys.executable, "-m", "tests.trust.served", str(db)]
    with subprocess.Popen(
        command, env={**os.environ, **told}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield Served(json.loads(process.stdout.readline()), process)
        finally:
            process.stdin.close()
            process.wait(20)


if __name__ == "__main__":
    with listening() as listener:
        listener.listen(1024)
        asyncio.run(serve(sys.argv[1], listener))
