"""A server with several lives, each ended by SIGKILL: `python -m tests.faults.server DATABASE LIVES`.

LIVES is a JSON list: `{"point": 17}` dies by its own hand when it gets to its 17th point (a request comes in, a
transaction begins or is durable, a piece of an answer is about to leave or has left), `{"seconds": 0.2}` is killed from
outside so long after it began to listen. When all are spent, one more life lasts until standard input is closed.

All lives have one port, written to standard output first; then each death is a line. A life is a fork of this process,
which has imported everything and opened nothing, so that the next one listens within milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeVar

import uvicorn

from agentkit.runtime.bus.local import LocalBus
from agentkit.runtime.engine.local import LocalEngine
from agentkit.runtime.open import files_beside, open_models
from agentkit.runtime.platform import Platform
from agentkit.runtime.ports import Writing
from agentkit.runtime.server import create_app
from agentkit.runtime.store.blobs import Blobs
from agentkit.runtime.store.sqlite import SqliteStore
from tests.faults.desk import Desk

__all__ = ["Mortal", "mortal"]

T = TypeVar("T")

PAUSE_SECONDS = 0.002  # between two deltas, so that there is time to die in
START_SECONDS = 20.0
STOP_SECONDS = 10.0
LIFE: TypeAlias = Mapping[str, float]


# -- one life --------------------------------------------------------------------------------------------------------


class Fate:
    """Counts the points; the process ends at its last one."""

    def __init__(self, last: float | None) -> None:
        self._left = last

    def point(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class FatedStore(SqliteStore):
    """A store whose process may end before a transaction, or after it is durable and before anybody knows."""

    def __init__(self, path: str, fate: Fate) -> None:
        super().__init__(path)
        self._fate = fate

    async def write(self, change: Callable[[Writing], T]) -> T:
        self._fate.point()
        found = await super().write(change)
        self._fate.point()
        return found


def fated(app: Any, fate: Fate) -> Any:
    """The app; its process may end when a request comes in, and before and after each piece of an answer."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            fate.point()
            await send(message)
            fate.point()

        fate.point()
        await app(scope, receive, told)

    return call


async def live(db: str, listener: socket.socket, fate: Fate, up: Callable[[], object]) -> None:
    platform = Platform(
        store=FatedStore(db, fate),
        engine=LocalEngine(),
        bus=LocalBus(),
        models=open_models(providers={"desk": Desk(pause_seconds=PAUSE_SECONDS)}, environ={}),
        blobs=Blobs(files_beside(db)),
    )
    async with platform:
        app = fated(create_app(platform), fate)
        server = uvicorn.Server(uvicorn.Config(app, http="h11", lifespan="off", log_config=None))
        listener.listen(64)
        up()
        await server.serve(sockets=[listener])


def begin(db: str, port: int, fate: Fate) -> tuple[int, int]:
    """Forks a life; its process id, and the pipe that says it is up, and ends when it does."""
    news, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        return child, news
    try:
        os.close(news)
        asyncio.run(live(db, bound(port), fate, lambda: os.write(tell, b"u")))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)  # a life ends by SIGKILL; anything else is a failure


# -- one after the other ---------------------------------------------------------------------------------------------


def bound(port: int) -> socket.socket:
    """A socket at the port that does not listen: it keeps the port for the lives to come."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # or asyncio would send with delay
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    return found


def spend(db: str, port: int, life: LIFE) -> bool:
    """Lets one life pass. False: standard input was closed, it is over with all of them."""
    child, news = begin(db, port, Fate(life.get("point")))
    deadline: float | None = None
    try:
        while True:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([news, 0], [], [], wait)
            if 0 in ready and not os.read(0, 1):
                return False
            if not ready:
                os.kill(child, signal.SIGKILL)
                deadline = None
            elif news in ready and not os.read(news, 1):
                return True
            elif news in ready and "seconds" in life:
                deadline = time.monotonic() + life["seconds"]
    finally:
        os.close(news)
        os.kill(child, signal.SIGKILL)  # it may be dead, but it is ours until it is waited for
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            raise SystemExit(f"a life ended by itself: {status}")


def main(db: str, lives: str) -> None:
    keeper = bound(0)
    port = keeper.getsockname()[1]
    print(port, flush=True)
    for life in json.loads(lives):
        if not spend(db, port, life):
            return
        print(json.dumps(life), flush=True)
    spend(db, port, {})


# -- from a test -----------------------------------------------------------------------------------------------------


@dataclass
class Mortal:
    """A server with several lives, as its test sees it."""

    port: int
    db: Path
    said: Path
    kills: int  # how often it is going to be killed

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def deaths(self) -> int:
        """How often it has been killed."""
        return self.said.read_text().count("\n") - 1


@contextmanager
def mortal(folder: Path, lives: Sequence[LIFE]) -> Generator[Mortal]:
    """The server in processes of its own; what it complains of shows in the test's output."""
    db, said = folder / "agentkit.db", folder / "lives"
    with said.open("wb") as out, started(db, lives, out) as process:
        until = time.monotonic() + START_SECONDS
        while not (port := said.read_text()).endswith("\n"):
            assert process.poll() is None and time.monotonic() < until, "the server does not start"
            time.sleep(0.01)
        yield Mortal(int(port.split()[0]), db, said, len(lives))
    assert process.returncode == 0


@contextmanager
def started(db: Path, lives: Sequence[LIFE], out: IO[bytes]) -> Generator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.faults.server", str(db), json.dumps(list(lives))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(STOP_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
