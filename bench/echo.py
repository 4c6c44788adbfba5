"""Two ways to have another process repeat a value by hand: a pipe, and HTTP.

`python -m bench.echo` serves POST /echo on a free port, says which, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

__all__ = ["launched", "pipe"]


@contextmanager
def pipe() -> Generator[Connection[Any, Any]]:
    """A pipe to a child process that sends back what it gets."""
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    child = processes.Process(target=repeat, args=(theirs,), daemon=True)
    child.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        child.join(5)
        child.kill()


def repeat(connection: Connection[Any, Any]) -> None:
    """The child."""
    with suppress(EOFError):
        while True:
            connection.send(connection.recv())


@contextmanager
def launched(arguments: Sequence[str]) -> Generator[str]:
    """The first line that this program says, while it runs."""
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield process.stdout.readline()
        finally:
            process.stdin.close()
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


async def echo(request: Request) -> JSONResponse:
    """The whole server."""
    return JSONResponse(await request.json())


async def serve() -> None:
    """Serves until it is told to end."""
    app = Starlette(routes=[Route("/echo", echo, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, http="h11", lifespan="off", log_config=None))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:  # named: sent without delay
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        print(listener.getsockname()[1], flush=True)
        await server.serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(serve())
