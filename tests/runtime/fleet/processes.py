"""Looking at processes from outside, through /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import anyio

SECONDS = 10  # how long a test waits for what must happen


def is_there(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


async def all_gone(pids: Iterable[int]) -> None:
    left = list(pids)
    with anyio.move_on_after(SECONDS):
        while left := [pid for pid in left if is_there(pid)]:
            await anyio.sleep(0.02)
    assert not left, f"still there: {left}"


def marked(marker: str) -> list[int]:
    """The processes that have the text in their environment or command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and is_there(int(entry.name)):
            try:
                seen = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in seen:
                found.append(int(entry.name))
    return found


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
