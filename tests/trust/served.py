"""A server in a process of its own, whose tool pays: `python -m tests.trust.served DATABASE`.

Its clock is the real one. It says its URL, and ends when its standard input does, or by `kill -9`: that of a test, or
its own at the moment that the environment names, `answered` (a question was, and nothing was made of it yet) or
`asking` (a model, what to make of a result).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
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

from agentkit.runtime.asking import notices
from agentkit.runtime.open import open_platform
from agentkit.runtime.ports import Commit, ModelRequest
from agentkit.runtime.server import create_app
from agentkit.testing import Scripted, call
from tests.runtime.serving import listening
from tests.trust import payments
from tests.trust.world import OWNER, payer

__all__ = ["Served", "paying", "served"]

HOST_VARIABLE: Final = "TRUST_SERVICE"
LEDGER_VARIABLE: Final = "TRUST_LEDGER"
DIES_VARIABLE: Final = "TRUST_DIES"


class Deadly(Scripted):
    """A model that kills who asks it what to make of a result."""

    def __init__(self) -> None:
        def step(request: ModelRequest) -> Any:
            return die() if request.messages[-1].role == "tool" else call("pay", {"q": "ten"})

        super().__init__([step] * 2)


def die() -> None:
    """`kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


class Doomed:
    """Hears of the first change of the inbox, a question, and dies of the second, its answer."""

    def __init__(self) -> None:
        self._heard = 0

    def __call__(self, commit: Commit) -> None:
        self._heard += notices.log_of(OWNER) in commit.events
        if self._heard == 2:
            die()


async def serve(db: str, listener: socket.socket) -> None:
    """Serves until standard input is closed."""
    ledger, dies = payments.Ledger(Path(os.environ[LEDGER_VARIABLE])), os.environ[DIES_VARIABLE]
    platform = open_platform(
        db=db,
        providers={"scripted": Deadly() if dies == "asking" else payer()},
        environ={},
        synchronous="OFF",
        secrets=payments.secrets(ledger=ledger),
        allow_hosts=[os.environ[HOST_VARIABLE]],
    )
    if dies == "answered":
        platform._store.on_commit(Doomed())
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

    @property
    def host(self) -> str:
        """Where it is."""
        return f"127.0.0.1:{self.port}"

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
def served(db: Path, service: Paying, *, dies: str = "") -> Generator[Served]:
    """A server over this file; `dies`: when it kills itself, if it does."""
    told = {HOST_VARIABLE: service.host, LEDGER_VARIABLE: str(service.ledger.path), DIES_VARIABLE: dies}
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
