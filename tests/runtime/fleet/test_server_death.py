"""A server that is killed takes its workers with it, and whatever they started, whatever they are doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.runtime.fleet.fleet_apps import write_app
from tests.runtime.fleet.processes import all_gone, is_there, marked

SERVER = """
import sys, anyio
from pathlib import Path
from agentkit.runtime.fleet.local import LocalFleet
from tests.runtime.fleet.desk_double import RecordingDesk, ticket

async def main(app, pids, function, marker):
    desk = RecordingDesk()
    desk.apps["v1"] = Path(app)
    desk.env["MARKER"] = marker
    fleet = LocalFleet(2)
    async with fleet.run(desk):
        task = desk.add("t1", "v1", {"path": pids, "seconds": 600}, function=function)
        fleet.submit(ticket(task))
        idle = desk.add("t2", "v1")
        fleet.submit(ticket(idle))
        await idle.over.wait()
        print("ready", flush=True)
        await anyio.sleep(600)

anyio.run(main, *sys.argv[2:], backend=sys.argv[1])
"""


@pytest.mark.parametrize("function", ["breed", "hold"])
@pytest.mark.requirement("fleet:nothing-left")
async def test_a_killed_server_leaves_nothing_behind(tmp_path: Path, function: str, anyio_backend_name: str) -> None:
    app, pids = write_app(tmp_path / "app"), tmp_path / "pids"
    marker = f"server-death-{os.getpid()}-{tmp_path.name}"
    command = [sys.executable, "-c", SERVER, anyio_backend_name, str(app), str(pids), function, marker]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        with anyio.fail_after(10):
            while not (pids.exists() and pids.read_text()):
                await anyio.sleep(0.02)
        started = [int(pid) for pid in pids.read_text().split()]
        scratch = [Path(os.readlink(f"/proc/{started[0]}/cwd")).parent]
        everything = marked(marker)
        assert all(is_there(pid) for pid in started)
        assert len(everything) >= 4, "two workers, each with its guardian"
        os.kill(server.pid, signal.SIGKILL)
    await all_gone([*started, *everything])
    assert marked(marker) == []
    assert not any(folder.exists() for folder in scratch), "their scratch folders are removed as well"


async def test_a_killed_guardian_takes_its_worker_along(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-u", "-m", "agentkit.apps.worker", str(scratch)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as guardian:
        assert guardian.stdout is not None
        hello = guardian.stdout.readline()
        worker = int(hello.rpartition(b":")[2].strip(b"}\n"))
        assert worker != guardian.pid
        guardian.kill()
        await all_gone([worker])
