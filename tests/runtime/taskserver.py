"""A server with real workers, to be killed: `python -m tests.runtime.taskserver DATABASE APPS WORKERS`.

APPS is a folder of app folders, served as `acme/<folder>`. It prints its port when it listens.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

START_SECONDS = 30.0


async def serve(db: str, apps: Path, workers: int, **more: Any) -> None:
    """Serves until it is killed; `more` goes to `open_platform`."""
    import uvicorn

    from agentkit.runtime.open import FleetConfig, open_platform
    from agentkit.runtime.server import create_app

    folders = {f"acme/{each.name}": each for each in apps.iterdir()}
    fleet = FleetConfig(size=workers, cancel_seconds=1, kill_seconds=1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with open_platform(db=db, environ={}, apps=folders, fleet=fleet, **more) as platform:
            app = create_app(platform)
            server = uvicorn.Server(uvicorn.Config(app, http="h11", lifespan="off", log_config=None))
            server.config.timeout_graceful_shutdown = 2
            print(listener.getsockname()[1], flush=True)
            await server.serve(sockets=[listener])


@dataclass
class Life:
    """One process of the server."""

    process: subprocess.Popen[bytes]
    port: int

    def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        sent = None if method == "GET" else {} if body is None else body
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.request(method, url, headers={"X-API-Version": "2"}, timeout=20, json=sent)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        response = self.send(method, path, body)
        assert response.status_code == 200, response.text
        return response.json()

    def run(self, app: str, **more: Any) -> dict[str, Any]:
        """POST /apps/run."""
        options = {name: more.pop(name) for name in ("session", "webhook", "run_at") if name in more}
        return dict(self.ask("POST", "/apps/run", {"app": f"acme/{app}", "input": more, **options}))

    def until(self, task: dict[str, Any], wanted: Any, seconds: float = 20.0) -> dict[str, Any]:
        """The task once it is as wanted."""
        until = time.monotonic() + seconds
        while not wanted(found := self.ask("GET", f"/tasks/{task['id']}")):
            assert time.monotonic() < until, found
            time.sleep(0.02)
        return dict(found)

    def over(self, task: dict[str, Any], seconds: float = 20.0) -> dict[str, Any]:
        """The task once it is over."""
        return self.until(task, lambda each: each["status"] >= 10, seconds)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


@contextmanager
def living(db: Path, apps: Path, *, workers: int = 2, module: str = "tests.runtime.taskserver") -> Iterator[Life]:
    """A life, killed at the end if it is not dead by then."""
    command = [sys.executable, "-m", module, str(db), str(apps), str(workers)]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    assert process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        assert ready, "the server did not start"
        yield Life(process, int(process.stdout.readline()))
    finally:
        process.stdout.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
