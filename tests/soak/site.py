"""`agentkit serve` with workers, killed and started again on its port and its database; and what is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

__all__ = ["Site"]

STOP_SECONDS = 20.0
GONE_SECONDS = 10.0


@dataclass
class Site:
    """The server of one folder. Its temporary files are in the folder too, so that its workers are known by them."""

    folder: Path
    workers: int
    port: int = 0
    restarts: int = -1
    _process: subprocess.Popen[str] | None = None
    _started: list[float] = field(default_factory=list[float])

    @property
    def url(self) -> str:
        """Where it listens, in each of its lives."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process of this life."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts the next life; it listens when this returns."""
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "agentkit", "serve", "--json", "--port", str(self.port),
                   "--db", str(self.folder / "agentkit.db"), "--workers", str(self.workers)]  # fmt: skip
        said = (self.folder / "server.log").open("a")
        env = {"PATH": os.environ["PATH"], "TMPDIR": str(scratch)}
        begin = time.monotonic()
        with said:
            self._process = subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=said)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (self.folder / "server.log").read_text()
        self.port = int(json.loads(line)["port"])
        self.restarts += 1
        self._started.append(time.monotonic() - begin)

    def kill(self) -> None:
        """Ends this life with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._reap()

    def stop(self) -> int:
        """Ends this life in good order; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._reap()

    def close(self) -> None:
        """Ends whatever life there is."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def fleet(self) -> Any:
        """What the server says about its workers; None where it does not answer."""
        try:
            response = httpx.get(f"{self.url}/fleet", headers={"X-API-Version": "2"}, timeout=5)
        except httpx.HTTPError:
            return None
        return response.json() if response.status_code == 200 else None

    def kill_worker(self, pid: int) -> bool:
        """Ends a worker with SIGKILL, if that is what the number still means."""
        if pid not in self.processes():
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def processes(self) -> list[int]:
        """The processes that work in the folder: the workers of this life, and what others may have left behind."""
        return [pid for pid in _pids() if _is_below(pid, self.folder)]

    def until_no_workers(self, seconds: float = GONE_SECONDS) -> list[int]:
        """The processes that are still there when the time is over; none as soon as there is none."""
        until = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.05)
        return left

    def open_files(self) -> list[str]:
        """What the server holds open: where each of its descriptors leads."""
        found = list[str]()
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                found.append(os.readlink(f"/proc/{self.pid}/fd/{name}"))
            except OSError:
                continue
        return found

    def _reap(self) -> int:
        assert self._process is not None and self._process.stdout is not None
        code = self._process.wait(STOP_SECONDS)
        self._process.stdout.close()
        return code


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _is_below(pid: int, folder: Path) -> bool:
    """Whether the process works in the folder, which may have been removed under it."""
    try:
        return os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)").startswith(f"{folder}/")
    except OSError:
        return False
